package enroll_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/contract"
)

// A file of the state directory that can't be replaced was found only after
// the registration that needs it.
func TestStateFilesAreCheckedBeforeTheManagerIsAsked(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a file immutable")
	}
	r := newRig(t)
	must(t, os.MkdirAll(r.path("/var/lib/linux_patch_enroll"), 0o700))
	must(t, os.Chmod(r.path("/var/lib/linux_patch_enroll"), 0o700))
	r.write("/var/lib/linux_patch_enroll/spool", "", 0o600)
	f, err := os.Open(r.path("/var/lib/linux_patch_enroll/spool"))
	must(t, err)
	defer f.Close()
	const immutable = 0x10 // FS_IMMUTABLE_FL
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, immutable); err != nil {
		t.Skipf("no immutable files here: %v", err)
	}
	defer func() { must(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0)) }()
	res := r.run(nil, nil)
	if !res.Failed || res.Error.Code != contract.CodeFilesystem || r.manager.posts != 0 {
		t.Errorf("%d registrations: %s", r.manager.posts, res.Msg)
	}
}
