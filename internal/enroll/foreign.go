package enroll

import (
	"fmt"

	"github.com/linux-patch/enroll/internal/contract"
)

// leaveForeign ends a run on a host whose set is somebody else's: near its
// expiry too it is theirs to renew.
func (r *run) leaveForeign(why string) error {
	r.Result.State = contract.StateForeign
	r.Result.Warn(r.Disk.Warnings...)
	r.Result.Msg = fmt.Sprintf("%s; it is valid until %s, nothing was changed and no manager was asked; %s",
		why, r.Disk.Set.Server.NotAfter.UTC().Format("2006-01-02 15:04 MST"), r.TakeOverHint())
	return nil
}
