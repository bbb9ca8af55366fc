package enroll_test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
)

// An error of the disk while the token's copy was taken out of config.yaml was
// reported as a fault of that file.
func TestDiskErrorWhileTheTokensCopyIsClearedNamesTheFileSystem(t *testing.T) {
	r := newRig(t)
	r.manager.approved = false
	if res := r.run(nil, nil); res.Failed || !strings.Contains(r.read("/etc/linux_patch_api/config.yaml"), "TokenCanary") {
		t.Fatalf("the token was not copied: %s", res.Msg)
	}
	r.manager.approved = true
	res := r.run(&faultfs.Fs{At: 1, Err: syscall.ENOSPC, Match: func(o faultfs.Op) bool {
		return o.Name == "write" && strings.Contains(o.Path, ".config.yaml.")
	}}, nil)
	if !res.Failed || res.Error.Code != contract.CodeFilesystem || !strings.Contains(res.Error.Hint, "free space") {
		t.Errorf("%s: %s (%+v)", res.State, res.Msg, res.Error)
	}
	if res := r.run(nil, nil); res.Failed || r.read("/etc/linux_patch_api/config.yaml") != configText {
		t.Errorf("the next run: %s", res.Msg)
	}
}
