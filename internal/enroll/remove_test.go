package enroll_test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
)

// A removal that was killed at its very end left the record of what was ours,
// and the next one, with nothing to remove, did not clear it: a whitelist entry
// that an administrator added later would have been taken for ours.
func TestRemovalKilledAtItsEndForgetsWhatWasOurs(t *testing.T) {
	r := newRig(t)
	if res := r.run(nil, nil); res.Failed {
		t.Fatal(res.Msg)
	}
	absent := func(p *enroll.Params) { p.State = "absent" }
	res := r.run(&faultfs.Fs{At: 2, Err: syscall.EIO, Match: func(o faultfs.Op) bool {
		return o.Name == "rename" && strings.HasSuffix(o.Path, "/provenance.json")
	}}, absent)
	if !res.Failed || r.read(certFile) != "" {
		t.Fatalf("the fault was not met: %s", res.Msg)
	}
	if res := r.run(nil, absent); res.Failed || res.Changed {
		t.Errorf("the next run: %s", res.Msg)
	}
	r.write("/etc/linux_patch_api/whitelist.yaml", admittedText, 0o644)
	if res := r.run(nil, absent); res.Failed || res.Changed || r.read("/etc/linux_patch_api/whitelist.yaml") != admittedText {
		t.Errorf("an administrator's entry was taken for ours: %s", res.Msg)
	}
}
