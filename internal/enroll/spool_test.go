package enroll_test

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/linux-patch/enroll/internal/options"
)

// A run that is killed between storing a pending answer and dropping it leaves
// a spool without a bundle. The next real run polls on, so check mode must not
// call that a failure.
func TestCheckModePassesOverASpooledPendingAnswer(t *testing.T) {
	r := newRig(t)
	r.manager.approved = false
	if res := r.run(nil, nil); res.State != contract.StatePending {
		t.Fatal(res.Msg)
	}
	r.spool(`{"status":"pending"}`, nil)
	polls := r.manager.polls
	res := r.run(nil, func(p *options.Params) { p.Check = true })
	if res.Failed || !res.Changed || r.manager.polls != polls || r.read("/var/lib/linux_patch_enroll/spool") == "" {
		t.Errorf("check mode: %s, %d polls", res.Msg, r.manager.polls-polls)
	}
	r.manager.approved = true
	if res := r.run(nil, nil); res.State != contract.StateEnrolled {
		t.Errorf("the real run: %s", res.Msg)
	}
}

// A run that is killed once everything is in place was reported by no one: the
// next one, which ends the request, is the one that a handler hangs on.
func TestEndingAKilledRunIsAChange(t *testing.T) {
	r := newRig(t)
	res := r.run(&faultfs.Fs{At: 1, Forever: true, Err: syscall.EIO, Match: func(o faultfs.Op) bool {
		return o.Name == "remove" && strings.HasSuffix(o.Path, "/proof")
	}}, nil)
	if !res.Failed || r.read(certFile) == "" || r.read("/var/lib/linux_patch_enroll/spool") == "" {
		t.Fatalf("got %s, want everything in place and the answer still there", res.Msg)
	}
	for _, check := range []bool{true, false} {
		res := r.run(nil, func(p *options.Params) { p.Check = check })
		if res.Failed || !res.Changed || len(res.Actions) == 0 {
			t.Errorf("check %v: got changed %v, %q: %s; want changed, with actions", check, res.Changed, res.Actions, res.Msg)
		}
	}
	if again := r.run(nil, nil); again.Failed || again.Changed || len(again.Actions) > 0 {
		t.Errorf("again: got changed %v, %q: %s; want nothing", again.Changed, again.Actions, again.Msg)
	}
}

// A poll is lost, the next one meets a login page, and its run is killed before
// it has dropped the page: the lost poll is not forgotten.
func TestLostPollIsRememberedBesideASpooledPage(t *testing.T) {
	for _, body := range []string{"<html>", `{"status":"notfound"}`} {
		r := newRig(t)
		r.manager.approved = false
		if res := r.run(nil, nil); res.State != contract.StatePending {
			t.Fatal(res.Msg)
		}
		r.manager.forget()
		lost := r.now()
		r.spool(body, &lost)
		res := r.run(nil, nil)
		if res.Error.Code == contract.CodeBadAnswer {
			res = r.run(nil, nil)
		}
		if !res.Failed || res.Error.Code != contract.CodeBundleLost {
			t.Errorf("after %s: %+v %s", body, res.Error, res.Msg)
		}
	}
}

// spool leaves an answer on disk, as a run that is killed does.
func (r *rig) spool(body string, lost *time.Time) {
	r.t.Helper()
	h := hostfs.New(r.root, hostfs.Options{UID: os.Geteuid(), GID: os.Getegid(), Now: r.now, Random: rand.Reader})
	slot, err := h.PrepareSlot("/var/lib/linux_patch_enroll/spool", 4096)
	must(r.t, err)
	record, err := json.Marshal(map[string]any{
		"http_status": 200, "url": "https://manager.example.com", "body": []byte(body), "lost_poll": lost})
	must(r.t, err)
	must(r.t, slot.Store(record))
	must(r.t, slot.Close())
}
