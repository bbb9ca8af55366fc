package enroll_test

import (
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
)

// A manager's certificates begin at its own now (contract). What this host's
// clock makes of them must never cost a bundle that a right clock would take.
func TestClocks(t *testing.T) {
	for _, c := range []struct {
		name string
		off  time.Duration
		code contract.Code // "" where the run enrolls
		// asked says that the manager was asked, so that the bundle has to be kept.
		asked bool
	}{
		{"4 minutes behind", -4 * time.Minute, "", true},
		{"6 minutes behind", -6 * time.Minute, contract.CodeIdentity, true},
		{"a year ahead", 366 * 24 * time.Hour, contract.CodeIdentity, true},
		{"1970", -time.Since(time.Unix(30, 0)), contract.CodeIdentity, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.now = func() time.Time { return time.Now().Add(c.off) }
			res := r.run(nil, nil)
			if c.code == "" {
				if res.Failed || len(r.end()) > 0 {
					t.Errorf("%s %v", res.Msg, r.end())
				}
				return
			}
			if !res.Failed || res.Error.Code != c.code || !strings.Contains(res.Error.Hint, "clock") {
				t.Fatalf("%s (%+v)", res.Msg, res.Error)
			}
			if asked := r.manager.posts > 0; asked != c.asked {
				t.Errorf("asked: %v", asked)
			}
			polls := r.manager.polls
			r.now = time.Now
			next := r.run(nil, nil)
			if next.Failed || next.State != contract.StateEnrolled || c.asked && r.manager.polls != polls {
				t.Errorf("with the clock mended: %s, %d more polls", next.Msg, r.manager.polls-polls)
			}
			for _, wrong := range r.end() {
				t.Error(wrong)
			}
		})
	}
}
