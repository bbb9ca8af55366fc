package enroll_test

import (
	"context"
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/linux-patch/enroll/internal/options"
)

// account is who runs the program.
type account struct {
	options.HostAccounts
	uid int
}

func (a account) Self() (uid, gid int) { return a.uid, a.uid }

// TestField4_3_WithoutRightsRunAsRoot: what root alone may read is asked of root.
func TestField4_3_WithoutRightsRunAsRoot(t *testing.T) {
	for uid, want := range map[int]bool{65534: true, 0: false} {
		r := newRig(t)
		e := r.enroller(&faultfs.Fs{At: 1, Forever: true, Err: syscall.EACCES, Match: func(o faultfs.Op) bool {
			return strings.Contains(o.Path, "linux_patch_enroll") || strings.HasSuffix(o.Path, "/server.key.pem")
		}})
		e.Accounts = account{uid: uid}
		info := e.Info(context.Background(), options.DefaultInfoParams())
		if !info.Failed || (info.Error.Hint == "run as root") != want {
			t.Errorf("uid %d: got failed %t, %+v, want the hint: %t", uid, info.Failed, info.Error, want)
		}
	}
}
