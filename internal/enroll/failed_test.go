package enroll_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/linux-patch/enroll/internal/options"
)

// A run that fails tells what it did, not what it had planned: a bundle that
// waits on disk for its directory to be fixed is pending.
func TestFailedRunClaimsNothingThatItDidNot(t *testing.T) {
	r := newRig(t)
	res := r.run(&faultfs.Fs{At: 1, Forever: true, Err: syscall.EIO, Match: func(o faultfs.Op) bool {
		return r.manager.taken && strings.HasPrefix(o.Path, filepath.Dir(certFile)+"/.")
	}}, nil)
	if !res.Failed || res.State != contract.StatePending || r.read(certFile) != "" {
		t.Fatalf("the fault was not met: %s, %s", res.State, res.Msg)
	}
	certs := filepath.Dir(r.path(certFile))
	must(t, os.Chmod(certs, 0o777))
	res = r.run(nil, nil)
	if !res.Failed || res.Error.Code != contract.CodeFilesystem || res.State != contract.StatePending || res.Changed ||
		len(res.Actions) > 0 || len(res.Diff) > 0 {
		t.Errorf("%s, changed %v, actions %q: %s", res.State, res.Changed, res.Actions, res.Msg)
	}
	must(t, os.Chmod(certs, 0o755))
	foreseen := r.run(nil, func(p *options.Params) { p.Check = true })
	if foreseen.State != contract.StateEnrolled || !foreseen.Changed || len(foreseen.Diff) == 0 || r.read(certFile) != "" {
		t.Errorf("check mode: %s, changed %v: %s", foreseen.State, foreseen.Changed, foreseen.Msg)
	}
	res = r.run(nil, nil)
	if res.Failed || res.State != contract.StateEnrolled || !strings.HasPrefix(res.Actions[0], "put the bundle in place") ||
		!strings.Contains(strings.Join(res.Actions, "\n"), "create "+certFile) {
		t.Errorf("%s, actions %q: %s", res.State, res.Actions, res.Msg)
	}
}

// Where it fails halfway, it tells the half that it did.
func TestFailedRunTellsTheHalfThatItDid(t *testing.T) {
	r := newRig(t)
	res := r.run(&faultfs.Fs{At: 1, Forever: true, Err: syscall.EIO, Match: func(o faultfs.Op) bool {
		return o.Name == "rename" && strings.HasSuffix(o.Path, "/whitelist.yaml")
	}}, nil)
	did := strings.Join(res.Actions, "\n")
	if !res.Failed || res.State != contract.StatePending || !res.Changed || r.read(certFile) == "" ||
		!strings.Contains(did, "create "+certFile) || strings.Contains(did, "whitelist.yaml") {
		t.Errorf("%s, changed %v, actions %q: %s", res.State, res.Changed, res.Actions, res.Msg)
	}
}
