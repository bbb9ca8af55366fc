package enroll_test

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/torture/tally"
)

var diskErrors = []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EACCES, syscall.EDQUOT}

const certFile, keyFile = "/etc/linux_patch_api/certs/server.pem", "/etc/linux_patch_api/certs/server.key.pem"

// Each operation on a file fails once, before it takes effect and after it. The
// run fails with a code that names the file system, or does without; the set is
// the old one or the new one, or a journal is there; and the next run
// converges, with nothing lost and no one's help.
func TestEveryOperationFailing(t *testing.T) {
	for _, c := range []struct {
		name string
		// before brings the host to where the run starts.
		before func(*rig)
	}{
		{"first enrollment", func(*rig) {}},
		{"from a saved token", func(r *rig) {
			r.manager.approved = false
			if res := r.run(nil, nil); res.Failed || res.State != contract.StatePending {
				r.t.Fatal(res.Msg)
			}
			r.manager.approved = true
		}},
		{"renewal", func(r *rig) {
			if res := r.run(nil, nil); res.State != contract.StateEnrolled {
				r.t.Fatal(res.Msg)
			}
			r.manager.forget()
			r.write("/etc/linux_patch_api/whitelist.yaml", whitelistText, 0o644)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			c.before(r)
			calm := &faultfs.Fs{}
			if res := r.run(calm, force); res.State != contract.StateEnrolled || len(r.end()) > 0 {
				t.Fatalf("undisturbed: %s %v", res.Msg, r.end())
			}
			stride := 13
			if os.Getenv("TORTURE_FULL") != "" {
				stride = 1
			}
			t.Logf("every %d. of %d operations", stride, len(calm.Ops()))
			points, runs := 0, 0
			tally.Note(t, func() tally.Row {
				return tally.Row{Attack: "fault: " + c.name, Points: points, All: len(calm.Ops()), Runs: runs}
			})
			for at := 1; at <= len(calm.Ops()); at += stride {
				r := newRig(t)
				c.before(r)
				points, runs = points+1, runs+2
				r.failAt(t, &faultfs.Fs{At: at, Err: diskErrors[at%len(diskErrors)], Late: at%2 == 0})
			}
		})
	}
}

// force lets a renewal begin; a first enrollment is the same with it.
func force(p *options.Params) { p.Force = true }

func (r *rig) failAt(t *testing.T, faults *faultfs.Fs) {
	t.Helper()
	before, issued := r.manager.posts, len(r.manager.keys)
	oldCert, oldKey := r.read(certFile), r.read(keyFile)
	res := r.run(faults, force)
	// Not that of the undisturbed run: a backup's name, of the second, may have
	// been taken there, and free here.
	ops := faults.Ops()
	op := ops[min(faults.At, len(ops))-1]
	if res.Failed && (res.Error.Code != contract.CodeFilesystem && !(res.Error.Code == contract.CodeConfig && strings.Contains(op.Path, "config.yaml"))) {
		t.Errorf("%v at %s: fails with %s: %s", faults.Err, op, res.Error.Code, res.Msg)
	}
	cert, key := r.read(certFile), r.read(keyFile)
	untouched := cert == oldCert && key == oldKey
	complete := cert != oldCert && slices.Contains(r.manager.keys, key) && key != oldKey
	if !untouched && !complete && r.read("/var/lib/linux_patch_enroll/journal") == "" {
		t.Errorf("%v at %s: a mixture, and no journal", faults.Err, op)
	}
	posts := r.manager.posts
	if res.State != contract.StateEnrolled || res.Failed {
		asked := posts > before || len(r.manager.keys) > issued
		next := r.run(nil, func(p *options.Params) { p.Force = !asked })
		if next.Failed || next.State != contract.StateEnrolled {
			t.Errorf("%v at %s: the next run: %s (after %q)", faults.Err, op, next.Msg, res.Msg)
			return
		}
		if posts > before && r.manager.posts > posts {
			t.Errorf("%v at %s: registered again", faults.Err, op)
		}
	}
	for _, wrong := range r.end() {
		t.Errorf("%v at %s: %s", faults.Err, op, wrong)
	}
}

// A disk that takes nothing from the moment at which the bundle comes: it is
// lost then, and the result says so and what an administrator does.
func TestBundleThatCanGoNowhereIsToldAsLost(t *testing.T) {
	r := newRig(t)
	polled := false
	faults := &faultfs.Fs{At: 1, Forever: true, Err: syscall.EIO, Match: func(op faultfs.Op) bool {
		polled = polled || r.manager.polls > 0
		return polled && op.Name != "open" && op.Name != "read" && op.Name != "stat" && op.Name != "lstat"
	}}
	res := r.run(faults, nil)
	if !res.Failed || res.Error.Code != contract.CodeFilesystem || !strings.Contains(res.Msg, "is lost") ||
		!strings.Contains(res.Error.Hint, "for host web1.example.com, its certificates can be re-issued") {
		t.Fatalf("%+v: %s", res.Error, res.Msg)
	}
	if res := r.run(nil, nil); !res.Failed || res.Error.Code != contract.CodeBundleLost {
		t.Errorf("the next run: %s", res.Msg)
	}
}
