package torture_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/torture"
	"github.com/linux-patch/enroll/internal/torture/tally"
)

var errnos = []syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EACCES, syscall.EDQUOT}

// fileChange says whether a call changes files: those that a disk can refuse.
func fileChange(c torture.Call) bool {
	switch c.Name {
	case "exit_group", "flock":
		return false
	}
	return c.Kind == torture.Changing && !strings.HasPrefix(c.Path, "torture") // stdout
}

// TestDiskThatStaysBroken lets each call that changes files fail from some
// point on, as on a disk that is full or gone for good. What was in place
// serves on, and once the disk is back the next run converges.
func TestDiskThatStaysBroken(t *testing.T) {
	needTracing(t)
	for _, c := range scenarios() {
		if c.absent {
			continue
		}
		c.conflict409 = true
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, c)
			s.prepare(c)
			calm := s.attack(s.commandOf(c), torture.Attack{Counts: fileChange, At: -1})
			name := "broken disk: " + c.name
			stride := max(1, len(calm.Calls)/sample)
			if full {
				stride = 1
			}
			counted.add(name, func(r *tally.Row) { r.All = len(calm.Calls) })
			for at := 0; at < len(calm.Calls); at += stride {
				s.prepare(c)
				s.fail(t, c, name, torture.Attack{At: at, Errno: errnos[at/stride%len(errnos)], Forever: true})
			}
		})
	}
}

// TestErrorAtEverySystemCall lets each call that changes files fail once, with
// each error in full and with one of them in the sample. The run then fails
// with ENROLL_FILESYSTEM or does without, and the next one converges without an
// administrator's help.
func TestErrorAtEverySystemCall(t *testing.T) {
	needTracing(t)
	for _, c := range scenarios() {
		c.conflict409 = true
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, c)
			s.prepare(c)
			calm := s.attack(s.commandOf(c), torture.Attack{Counts: fileChange, At: -1})
			name := "error: " + c.name
			stride, each := max(1, len(calm.Calls)/sample), 1
			if full {
				stride, each = 1, len(errnos)
			} else {
				t.Logf("every %d. of %d points, one error each", stride, len(calm.Calls))
			}
			counted.add(name, func(r *tally.Row) { r.All = len(calm.Calls) * len(errnos) })
			for at := 0; at < len(calm.Calls); at += stride {
				for i := range each {
					s.prepare(c)
					s.fail(t, c, name, torture.Attack{At: at, Errno: errnos[(at/stride+i)%len(errnos)]})
				}
			}
		})
	}
}

func (s *site) fail(t *testing.T, c scenario, name string, a torture.Attack) {
	a.Counts = fileChange
	ended := s.attack(s.commandOf(c), a)
	if ended.Hit == nil {
		return
	}
	counted.hit(name, ended.Hit)
	r, err := parse(ended.Stdout, ended.Stderr, ended.Exit)
	switch {
	case err != nil:
		t.Errorf("at %d, %s, %v: %v", a.At, ended.Hit, a.Errno, err)
	case r.Failed && r.code() != "ENROLL_FILESYSTEM":
		t.Errorf("at %d, %s, %v: got %s, want ENROLL_FILESYSTEM: %s", a.At, ended.Hit, a.Errno, r.code(), r.Msg)
	case r.Failed && r.Error.Hint == "":
		t.Errorf("at %d, %s, %v: got no hint, want one: %s", a.At, ended.Hit, a.Errno, r.Msg)
	}
	if !renamedSet(ended.Calls) && s.set() != s.old && !c.absent {
		counted.add(name, func(r *tally.Row) { r.Lost++ })
		t.Errorf("at %d, %s, %v: nothing was renamed: got the set %s, want the old one", a.At, ended.Hit, a.Errno, s.set())
	}
	for _, secret := range s.lab.canaries() {
		if strings.Contains(ended.Stdout, secret) {
			counted.add(name, func(r *tally.Row) { r.Leaks++ })
			t.Errorf("at %d, %s, %v: got a secret in the result, want none", a.At, ended.Hit, a.Errno)
		}
	}
	// With a disk that takes nothing any more, an answer that has come can go
	// nowhere: the window of a kill.
	s.recover(t, c, name, a.At, ended, a.Forever)
}

// renamedSet tells whether a file of the set was, or may have been, renamed.
func renamedSet(calls []torture.Call) bool {
	return slices.ContainsFunc(calls, func(c torture.Call) bool {
		return strings.HasPrefix(c.Name, "rename") && strings.Contains(c.To, "/certs/")
	})
}
