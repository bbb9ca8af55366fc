package torture_test

import (
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/torture"
	"github.com/linux-patch/enroll/internal/torture/tally"
)

// at runs the program on a host whose clock is wrong by that much.
func (s *site) at(t *testing.T, clock time.Duration, cmd torture.Command) result {
	t.Helper()
	ended := s.attack(cmd, torture.Attack{At: -1, Clock: clock})
	r, err := parse(ended.Stdout, ended.Stderr, ended.Exit)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestClocks enrolls hosts whose clock is wrong, and then right. Nothing that
// the manager handed out is lost by it.
func TestClocks(t *testing.T) {
	needTracing(t)
	c := scenarios()[0]
	for _, w := range []struct {
		name  string
		clock time.Duration
		// code is how the run under the wrong clock fails; empty where it enrolls.
		code string
		// posts are the registrations that it makes.
		posts int
	}{
		{"4 minutes behind", -4 * time.Minute, "", 1},
		{"6 minutes behind", -6 * time.Minute, "ENROLL_IDENTITY", 1},
		// The manager's own HTTPS certificate has expired by then.
		{"a year ahead", 366 * day, "ENROLL_TLS_UNTRUSTED", 0},
		{"1970", -time.Duration(time.Now().Unix()-100) * time.Second, "ENROLL_IDENTITY", 0},
	} {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			name := "clock " + w.name
			s := newSite(t, c)
			s.prepare(c)
			r := s.at(t, w.clock, s.commandOf(c))
			posts, _, _ := s.lab.counts()
			if r.code() != w.code || posts != w.posts {
				t.Errorf("got %d registrations: %s, want %v, %v", posts, r.raw, w.code, w.posts)
			}
			if r.Failed && !strings.Contains(r.Error.Hint, "clock") {
				t.Errorf("got %s, want the clock in its hint", r.raw)
			}
			if next := s.run(s.commandOf(c)); next.Failed || next.State != "enrolled" {
				counted.add(name, func(r *tally.Row) { r.Lost++ })
				t.Errorf("with the right clock: got %s, want it enrolled", next.raw)
			}
			if posts, _, handedOut := s.lab.counts(); posts != 1 || handedOut != 1 {
				t.Errorf("got %d registrations, %d bundles, want 1, 1", posts, handedOut)
			}
			for _, wrong := range s.checkEnd(c) {
				t.Error(wrong)
			}
			counted.add(name, func(r *tally.Row) { r.Points++; r.All++; r.Runs += 2 })
		})
	}
}

// TestClockAheadKeepsTheBundle: a year ahead, the bundle has expired when it
// comes from a manager whose own certificate has not. It is kept.
func TestClockAheadKeepsTheBundle(t *testing.T) {
	needTracing(t)
	h := newHost(t)
	m := newRaw(t, pkitest.Valid(time.Now().Add(-day), time.Now().Add(3650*day)))
	m.get = answers(200, m.bundle(t, nil))
	s := &site{host: h}
	r := s.at(t, 366*day, h.command(nil, h.commandFor(m, nil)))
	if r.code() != "ENROLL_IDENTITY" || !strings.Contains(r.Error.Hint, "clock") {
		t.Errorf("got %s, want ENROLL_IDENTITY with the clock in its hint", r.raw)
	}
	h.unharmed(t, r)
	m.get = answers(200, `{"status":"notfound"}`)
	if next := h.run(h.command(nil, h.commandFor(m, nil))); next.State != "enrolled" || next.Failed {
		counted.add("clock ahead", func(r *tally.Row) { r.Lost++ })
		t.Errorf("with the right clock: got %s, want it enrolled", next.raw)
	}
	counted.add("clock ahead", func(r *tally.Row) { r.Points++; r.All++; r.Runs += 2 })
}

// TestClocksOfAnEnrolledHost: a clock that goes wrong costs no set that serves.
func TestClocksOfAnEnrolledHost(t *testing.T) {
	needTracing(t)
	c := scenarios()[0]
	for name, clock := range map[string]time.Duration{
		"6 minutes behind": -6 * time.Minute, "1970": -time.Duration(time.Now().Unix()-100) * time.Second, "a year ahead": 366 * day,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, c)
			s.prepare(c)
			if r := s.run(s.commandOf(c)); r.State != "enrolled" {
				t.Fatal(r.raw)
			}
			set := s.set()
			posts, _, _ := s.lab.counts()
			r := s.at(t, clock, s.commandOf(c))
			after, _, _ := s.lab.counts()
			if !r.Failed || s.set() != set {
				t.Errorf("got the set %s, want %s as before, and a failure: %s", s.set(), set, r.raw)
			}
			if clock < 0 && (after != posts || !strings.Contains(r.Error.Hint, "clock")) {
				t.Errorf("got %d registrations, want 0, and the clock in the hint: %s", after-posts, r.raw)
			}
			next := s.run(s.commandOf(c))
			if next.Failed || next.State != "enrolled" || s.set() != set {
				counted.add("clock "+name+", enrolled", func(r *tally.Row) { r.Lost++ })
				t.Errorf("with the right clock: got %s, want it enrolled", next.raw)
			}
			counted.add("clock "+name+", enrolled", func(r *tally.Row) { r.Points++; r.All++; r.Runs += 3 })
		})
	}
}
