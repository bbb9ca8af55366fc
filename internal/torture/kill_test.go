package torture_test

import (
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/torture"
	"github.com/linux-patch/enroll/internal/torture/tally"
)

// sample is how many points of a scenario are attacked where not all are.
const sample = 6

// TestKillAtEverySystemCall kills the program at each system call in turn and
// runs it again undisturbed. Inner and Looking calls are left out, but with
// TORTURE_FULL=all: being killed at one is being killed at the next call that
// does something.
func TestKillAtEverySystemCall(t *testing.T) {
	needTracing(t)
	for _, c := range scenarios() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, c)
			counts := func(call torture.Call) bool { return every || call.Kind != torture.Looking }
			s.prepare(c)
			calm := s.attack(s.commandOf(c), torture.Attack{Counts: counts, At: -1})
			if wrong := s.checkEnd(c); calm.Exit != 0 || len(wrong) > 0 {
				t.Fatalf("undisturbed: %s%v, want 0, none", calm.Stdout, wrong)
			}
			name := "kill: " + c.name
			counted.add(name, func(r *tally.Row) { r.All = len(calm.Calls) })
			stride := 1
			if !full {
				stride = max(1, len(calm.Calls)/sample)
				t.Logf("every %d. of %d points", stride, len(calm.Calls))
			}
			for at := 0; ; at += stride {
				s.prepare(c)
				ended := s.attack(s.commandOf(c), torture.Attack{Counts: counts, At: at})
				if ended.Hit == nil {
					break
				}
				counted.hit(name, ended.Hit)
				s.recover(t, c, name, at, ended, true)
			}
		})
	}
}

func (s *site) prepare(c scenario) { c.prepare(s) }

func (s *site) commandOf(c scenario) torture.Command {
	if c.absent {
		return s.command(nil, c.options)
	}
	all := options{}
	maps.Copy(all, c.options)
	maps.Copy(all, s.carried)
	return s.command(s.lab, all)
}

// recover runs the program after an attack and judges what was left. A kill,
// which mayLose, can come between the manager's act and the fsync of its answer.
func (s *site) recover(t *testing.T, c scenario, name string, at int, ended torture.Ended, mayLose bool) {
	t.Helper()
	s.lab.settle()
	token, bundle := s.stored()
	_, registered, handedOut := s.lab.counts()
	lost := func(format string, args ...any) {
		counted.add(name, func(r *tally.Row) { r.Lost++ })
		t.Errorf("at %d, %s: "+format, append([]any{at, ended.Hit}, args...)...)
	}
	if set := s.set(); strings.HasPrefix(set, "mixture") {
		if _, err := os.Stat(s.path("state/journal")); err != nil {
			counted.add(name, func(r *tally.Row) { r.Mixed++ })
			t.Errorf("at %d, %s: got %s, and no journal, want no error", at, ended.Hit, set)
		}
	}
	if c.between != nil {
		for _, wrong := range c.between(s) {
			lost("%s", wrong)
		}
	}
	postsBefore, _, _ := s.lab.counts()
	next := s.run(s.commandOf(c))
	runs := 1
	posts, _, _ := s.lab.counts()
	switch {
	case (token || bundle) && posts > postsBefore:
		lost("registered again, though a token or bundle was stored")
	case !next.Failed && (c.absent || next.State == "enrolled"):
	case mayLose && s.acted(token, bundle, registered, handedOut):
		counted.lostInWindow(name, ended.Hit)
		s.actAsTold(t, at, ended, next)
		next = s.run(s.commandOf(c))
		runs++
	}
	counted.add(name, func(r *tally.Row) { r.Runs += 1 + runs })
	if next.Failed || !c.absent && next.State != "enrolled" {
		lost("the next run: %s", next.raw)
		return
	}
	for _, wrong := range s.checkEnd(c) {
		switch {
		case strings.Contains(wrong, "mixture"):
			counted.add(name, func(r *tally.Row) { r.Mixed++ })
		case strings.Contains(wrong, "secret"), strings.Contains(wrong, "left behind"):
			counted.add(name, func(r *tally.Row) { r.Leaks++ })
		default:
			counted.add(name, func(r *tally.Row) { r.Lost++ })
		}
		t.Errorf("at %d, %s: %s", at, ended.Hit, wrong)
	}
	if !mayLose {
		return
	}
	if again := s.run(s.commandOf(c)); again.Changed || again.Failed {
		lost("one more run is not idempotent: %s", again.raw)
	}
	counted.add(name, func(r *tally.Row) { r.Runs++ })
}

// acted says whether the manager acted on a request whose answer is not on
// disk: no one can get it back.
func (s *site) acted(token, bundle bool, registered, handedOut int) bool {
	return registered > 0 && !token && !bundle || handedOut > 0 && !bundle
}

// actAsTold is the administrator who does what the run after the window says.
func (s *site) actAsTold(t *testing.T, at int, ended torture.Ended, next result) {
	t.Helper()
	switch {
	case next.State == "pending" && !next.Failed && strings.Contains(next.Msg, "administrator removes the host"):
		s.lab.removeHosts()
		s.lab.approve()
	case (next.code() == "ENROLL_BUNDLE_LOST" || next.code() == "ENROLL_CONFLICT") && strings.Contains(next.Error.Hint, "administrator"):
		s.lab.removeHosts()
		s.lab.deny()
	default:
		t.Errorf("at %d, %s: in the window, the next run: got %s, want what happened", at, ended.Hit, next.raw)
	}
}

// holds says whether a file has this text.
func (s *site) holds(name, text string) bool {
	raw, err := os.ReadFile(s.path(name))
	return err == nil && strings.Contains(string(raw), text)
}
