package enroll_test

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// hold takes the lock of the certificates' directory, as a run with another
// state directory does.
func (r *rig) hold() (release func()) {
	r.t.Helper()
	f, err := os.Open(filepath.Dir(r.path(certFile)))
	must(r.t, err)
	must(r.t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	return func() { _ = f.Close() }
}

// put writes a set that another run has put in place.
func (r *rig) put(ca *pkitest.CA) {
	r.t.Helper()
	leaf := ca.Issue(r.t, r.manager.who...)
	r.write(filepath.Dir(certFile)+"/ca.pem", ca.PEM(), 0o644)
	r.write(keyFile, leaf.KeyPEM(r.t), 0o600)
	r.write(certFile, leaf.PEM(), 0o644)
}

// A run plans, and then the whole set is replaced, by hand or by a run with
// another state directory. What the first one puts in place is whole all the
// same; the CA that it finds then is one that it may not change unasked.
func TestSetReplacedSincePlanning(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		r := newRig(t)
		if res := r.run(nil, nil); res.State != contract.StateEnrolled {
			t.Fatal(res.Msg)
		}
		r.manager.forget()
		var other *pkitest.CA
		faults := &faultfs.Fs{Before: func(op faultfs.Op) {
			if op.Name == "flock" && strings.HasSuffix(op.Path, "/certs") && other == nil {
				other = pkitest.NewCA(t)
				r.put(other)
			}
		}}
		res := r.run(faults, func(p *options.Params) { p.Force, p.AllowCAChange = true, allowed })
		if other == nil {
			t.Fatal("never replaced: " + res.Msg)
		}
		if allowed {
			if res.Failed || res.State != contract.StateEnrolled || r.read(filepath.Dir(certFile)+"/ca.pem") != r.manager.ca.PEM() {
				t.Errorf("allowed: %s", res.Msg)
			}
			for _, wrong := range r.end() {
				t.Error(wrong)
			}
			continue
		}
		if !res.Failed || res.Error.Code != contract.CodeBundleInvalid || !strings.Contains(res.Msg, "brings another CA") || !strings.Contains(res.Msg, "is kept in") {
			t.Errorf("not allowed: %s", res.Msg)
		}
		if r.read(filepath.Dir(certFile)+"/ca.pem") != other.PEM() {
			t.Error("the set was replaced")
		}
		// The bundle is kept for who allows it; no one else is asked.
		polls := r.manager.polls
		if res := r.run(nil, nil); !res.Failed || !strings.Contains(res.Msg, "brings another CA") {
			t.Errorf("the next run: %s", res.Msg)
		}
		res = r.run(nil, func(p *options.Params) { p.AllowCAChange = true })
		if res.Failed || res.State != contract.StateEnrolled || r.manager.polls != polls {
			t.Errorf("allowed afterwards: %s", res.Msg)
		}
		for _, wrong := range r.end() {
			t.Error(wrong)
		}
	}
}

// The same on a host that had no set when the run began.
func TestSetPlacedByHandWhileEnrolling(t *testing.T) {
	r := newRig(t)
	var other *pkitest.CA
	faults := &faultfs.Fs{Before: func(op faultfs.Op) {
		if op.Name == "flock" && strings.HasSuffix(op.Path, "/certs") && other == nil {
			other = pkitest.NewCA(t)
			r.put(other)
		}
	}}
	res := r.run(faults, nil)
	if other == nil || !res.Failed || res.Error.Code != contract.CodeBundleInvalid || r.read(filepath.Dir(certFile)+"/ca.pem") != other.PEM() {
		t.Errorf("%s", res.Msg)
	}
	if info := r.read("/var/lib/linux_patch_enroll/provenance.json"); strings.Contains(info, pki.Fingerprint(r.manager.ca.Cert.Raw)) {
		t.Errorf("the host says that it is under a CA that was refused: %s", info)
	}
}

// What looks like a mixture may be a run with another state directory at work:
// it is waited for, and the manager is not asked.
func TestAnotherRunsCommitIsNoMixture(t *testing.T) {
	r := newRig(t)
	if res := r.run(nil, nil); res.State != contract.StateEnrolled {
		t.Fatal(res.Msg)
	}
	r.manager.forget()
	key := r.read(keyFile)
	r.write(keyFile, r.manager.ca.Issue(t, r.manager.who...).KeyPEM(t), 0o600)
	release := r.hold()
	waiting := make(chan struct{}, 1)
	faults := &faultfs.Fs{Before: func(op faultfs.Op) {
		if op.Name == "flock" && strings.HasSuffix(op.Path, "/certs") {
			select {
			case waiting <- struct{}{}:
			default:
			}
		}
	}}
	go func() {
		<-waiting
		r.write(keyFile, key, 0o600)
		release()
	}()
	posts := r.manager.posts
	if res := r.run(faults, nil); res.Failed || res.Changed || r.manager.posts != posts {
		t.Errorf("%d registrations: %s", r.manager.posts-posts, res.Msg)
	}
}

// A stranger who may read the directory can hold its lock. That costs
// lock_timeout and a warning, never the enrollment.
func TestStrangerHoldsTheDirectoryLock(t *testing.T) {
	r := newRig(t)
	must(t, os.MkdirAll(filepath.Dir(r.path(certFile)), 0o755))
	defer r.hold()()
	res := r.run(nil, func(p *options.Params) { p.LockTimeout = options.Span(50 * time.Millisecond) })
	if res.Failed || res.State != contract.StateEnrolled || !strings.Contains(strings.Join(res.Warnings, " "), "went on without the lock") {
		t.Errorf("%s, warnings %q", res.Msg, res.Warnings)
	}
	for _, wrong := range r.end() {
		t.Error(wrong)
	}
}

// A signal ends the wait for the lock, and the bundle is kept.
func TestInterruptedWhileWaitingForTheDirectoryLock(t *testing.T) {
	r := newRig(t)
	must(t, os.MkdirAll(filepath.Dir(r.path(certFile)), 0o755))
	release := r.hold()
	ctx, stop := context.WithCancel(context.Background())
	faults := &faultfs.Fs{Before: func(op faultfs.Op) {
		if op.Name == "flock" && strings.HasSuffix(op.Path, "/certs") {
			stop()
		}
	}}
	p := options.DefaultParams()
	p.ManagerURL, p.Wait = "https://manager.example.com", false
	res := r.enroller(faults).Run(ctx, p)
	if !res.Failed || res.Error.Code != contract.CodeInterrupted || !strings.Contains(res.Msg, "the bundle is kept") {
		t.Fatalf("%+v %s", res.Error, res.Msg)
	}
	release()
	if res := r.run(nil, nil); res.Failed || res.State != contract.StateEnrolled {
		t.Error(res.Msg)
	}
	for _, wrong := range r.end() {
		t.Error(wrong)
	}
}

// A signal ends the wait for a lock that another writer holds, of the whitelist
// and of config.yaml, and the next run goes on.
func TestInterruptedWhileWaitingForAFilesLock(t *testing.T) {
	for _, name := range []string{"whitelist.yaml", "config.yaml"} {
		r := newRig(t)
		h := hostfs.New(r.root, hostfs.Options{UID: os.Geteuid(), GID: os.Getegid(), Now: r.now, Random: rand.Reader})
		held, err := h.Lock(context.Background(), "/etc/linux_patch_api/"+name+".lock", false, true)
		must(t, err)
		ctx, stop := context.WithCancel(context.Background())
		faults := &faultfs.Fs{Before: func(op faultfs.Op) {
			if op.Name == "flock" && strings.HasSuffix(op.Path, name+".lock") {
				stop()
			}
		}}
		p := options.DefaultParams()
		p.ManagerURL, p.Wait = "https://manager.example.com", false
		began := time.Now()
		res := r.enroller(faults).Run(ctx, p)
		if !res.Failed || res.Error.Code != contract.CodeInterrupted || time.Since(began) > 10*time.Second {
			t.Errorf("%s, after %s: %+v %s", name, time.Since(began), res.Error, res.Msg)
		}
		held.Unlock()
		if res := r.run(nil, nil); res.Failed || res.State != contract.StateEnrolled {
			t.Errorf("%s, the next run: %s", name, res.Msg)
		}
		for _, wrong := range r.end() {
			t.Error(wrong)
		}
	}
}

// The first run of a host looks without a lock, since there is none yet. One that
// another run makes in between, and holds, ends it: it asks for nothing.
func TestLockThatComesAfterTheFirstLook(t *testing.T) {
	for _, wait := range []bool{false, true} {
		r := newRig(t)
		lock, looks := "/var/lib/linux_patch_enroll/lock", 0
		faults := &faultfs.Fs{Before: func(op faultfs.Op) {
			if op.Name != "open" || !strings.HasSuffix(op.Path, lock) {
				return
			}
			if looks++; looks == 2 {
				r.write(lock, "", 0o600)
				f, err := os.Open(r.path(lock))
				must(t, err)
				t.Cleanup(func() { _ = f.Close() })
				must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
			}
		}}
		res := r.run(faults, func(p *options.Params) { p.Wait, p.WaitTimeout = wait, options.Span(time.Second) })
		if looks < 2 || res.State != contract.StatePending && !wait || res.Failed != wait || r.manager.posts != 0 {
			t.Errorf("wait %v, %d looks: got state %s, failed %v, %d registrations, want none: %s", wait, looks, res.State, res.Failed, r.manager.posts, res.Msg)
		}
	}
}
