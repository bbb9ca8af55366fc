package install

import (
	"context"
	"fmt"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/plan"
)

// Provision verifies a bundle, plans, and in a real run puts it in place.
func (in *Installer) Provision(ctx context.Context, bundle *contract.PkiBundle, from Source) error {
	set, err := in.accept(bundle)
	if err != nil {
		return err
	}
	changes := in.changes(set)
	ip := from.Ip
	if in.ManagerAddr.IsValid() {
		ip = in.ManagerAddr
	}
	change, needed, err := in.planWhitelist(ip)
	if err != nil {
		return err
	}
	var admit *plan.Change
	if needed {
		admit = &change
	}
	if in.Check {
		in.showFiles(changes)
		if admit != nil {
			in.Result.Show(*admit)
		}
		if err := in.tellAgent(ctx); err != nil {
			return err
		}
		if err := in.installRepo(); err != nil {
			return err
		}
		in.Result.State, in.Result.Msg = contract.StateEnrolled, "would be enrolled"
		return in.foreseeClear(false)
	}
	if err := in.apply(ctx, set, admit, Source{url: from.url, Ip: ip}); err != nil {
		return err
	}
	in.Result.State = contract.StateEnrolled
	in.Result.Msg = fmt.Sprintf("enrolled; the certificate is valid until %s", set.Server.NotAfter.UTC().Format("2006-01-02 15:04 MST"))
	return nil
}
