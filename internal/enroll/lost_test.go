package enroll_test

import (
	"strings"
	"testing"
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
		if res.Failed || !strings.Contains(res.Msg, "was lost") || !strings.Contains(res.Msg, "administrator removes the host") {
			t.Errorf("the approver is not told: %q", res.Msg)
		}
	}
}
