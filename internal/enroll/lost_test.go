package enroll_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/linux-patch/enroll/internal/options"
)

// A manager that approved a request whose answer never reached this host takes
// a second request, and then refuses to approve it (contract, admin API). The
// run that makes the second one tells the approver.
func TestLostAnswerToARegistrationIsToldWhileTheNextIsPending(t *testing.T) {
	r := newRig(t)
	r.manager.approved = false
	r.manager.lose = true
	if lost := r.run(nil, nil); !lost.Failed {
		t.Fatalf("no answer came, and the run says %q", lost.Msg)
	}
	r.manager.lose = false
	r.manager.forget() // approved: it is a host now, and no request
	for range 2 {
		res := r.run(nil, nil)
		if res.Failed || !strings.Contains(res.Msg, "was lost") || !strings.Contains(res.Msg, "its certificates can be re-issued there") {
			t.Errorf("the approver is not told: %q", res.Msg)
		}
	}
}

// A disk error in the slot that waits for the token lost the token, which is
// handed out once, though another file would have taken it.
func TestTokenIsKeptElsewhereWhenItsSlotFails(t *testing.T) {
	for _, late := range []bool{false, true} {
		for _, op := range []string{"write", "sync"} {
			r := newRig(t)
			seen := 0
			r.run(&faultfs.Fs{At: 1, Err: syscall.EIO, Late: late, Match: func(o faultfs.Op) bool {
				// The first is the mark before the request, the second the token.
				if !strings.Contains(filepath.Base(o.Path), "request") || o.Name != op {
					return false
				}
				seen++
				return seen == 2
			}}, nil)
			if res := r.run(nil, nil); res.Failed || res.State != contract.StateEnrolled || r.manager.posts != 1 {
				t.Errorf("%s: %d registrations, and the next run says %s", op, r.manager.posts, res.Msg)
			}
		}
	}
}

// A registration that was answered and not yet made the token, and then another
// manager: each run failed on the slot that holds the answer.
func TestAnsweredRegistrationAndThenAnotherManager(t *testing.T) {
	r := newRig(t)
	res := r.run(&faultfs.Fs{At: 1, Err: syscall.ENOSPC, Match: func(o faultfs.Op) bool {
		return o.Name == "rename" && strings.HasSuffix(o.Path, "/token")
	}}, nil)
	if !res.Failed || res.Error.Code != contract.CodeFilesystem || r.read("/var/lib/linux_patch_enroll/request") == "" {
		t.Fatalf("the fault was not met: %s", res.Msg)
	}
	r.manager.forget() // the other one has no request of this host
	res = r.run(nil, func(p *options.Params) { p.ManagerURL = "https://other.example.com" })
	if res.Failed || res.State != contract.StateEnrolled {
		t.Errorf("%+v %s", res.Error, res.Msg)
	}
	for _, wrong := range r.end() {
		t.Error(wrong)
	}
}
