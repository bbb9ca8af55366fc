package torture_test

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/manager"
	"github.com/linux-patch/enroll/internal/torture"
	"github.com/linux-patch/enroll/internal/torture/tally"
)

// untilListening kills a traced daemon at the call after the one that tells in
// the status file that it listens, with the last set: it would go on for ever.
func (s *site) untilListening(a torture.Attack) torture.Attack {
	told := false
	a.AtCall = func(pid int, c torture.Call) {
		switch {
		case told:
			_ = unix.Kill(pid, unix.SIGKILL)
		case strings.HasPrefix(c.Name, "rename") && strings.HasSuffix(c.To, "/run/status.json"):
			raw, _ := os.ReadFile(c.Path)
			told = strings.Contains(string(raw), `"state":"listening"`) && s.set() == s.lab.serial()
		}
	}
	return a
}

// TestKillTheDaemonAtEverySystemCall kills the daemon at each call that does
// something, from its start until it listens, and starts it again.
func TestKillTheDaemonAtEverySystemCall(t *testing.T) {
	needTracing(t)
	changes := func(c torture.Call) bool { return c.Kind != torture.Looking }
	for _, c := range []scenario{
		{name: "enroll", conflict409: true, prepare: func(s *site) { s.lab.forget(); s.layOut(); s.agentConfig() }},
		{name: "finish a killed run", setup: func(s *site) { s.enrollLongAgo(); s.killBetweenRenames() }, prepare: func(s *site) {
			s.restore(s.template)
		}},
		{name: "renew while it serves", setup: func(s *site) { s.agentConfig(); s.enrollLongAgo() }, prepare: func(s *site) {
			s.lab.forget()
			s.restore(s.template)
			s.lab.auto.Store(false)
			if r := s.run(s.command(s.lab, options{"state": "registered"})); r.State != "registered" && r.State != "pending" {
				s.t.Fatal(r.raw)
			}
			s.lab.auto.Store(true)
			s.lab.approve()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, c)
			s.prepare(c)
			cmd := s.agentCommand(s.lab, "status.json")
			calm := s.attack(cmd, s.untilListening(torture.Attack{Counts: changes, At: -1}))
			if set := s.set(); !calm.Killed || set != s.lab.serial() {
				t.Fatalf("undisturbed: the set is %s: %s", set, calm.Stderr)
			}
			name := "kill the daemon: " + c.name
			stride := 1
			if !full {
				stride = max(1, len(calm.Calls)/sample)
				t.Logf("every %d. of %d points", stride, len(calm.Calls))
			}
			counted.add(name, func(r *tally.Row) { r.All = len(calm.Calls) })
			for at := 0; ; at += stride {
				s.prepare(c)
				ended := s.attack(cmd, s.untilListening(torture.Attack{Counts: changes, At: at}))
				if ended.Hit == nil {
					break
				}
				counted.hit(name, ended.Hit)
				s.restart(t, c, name, at, ended)
			}
		})
	}
}

// restart starts the daemon after a kill and judges what it makes of it.
func (s *site) restart(t *testing.T, c scenario, name string, at int, ended torture.Ended) {
	t.Helper()
	s.lab.settle()
	token, bundle := s.stored()
	before, registered, handedOut := s.lab.counts()
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
	for secret := range strings.SplitSeq(strings.Join(s.lab.canaries(), "\n"), "\n") {
		if secret != "" && strings.Contains(ended.Stderr, secret) {
			counted.add(name, func(r *tally.Row) { r.Leaks++ })
			t.Errorf("at %d, %s: got a secret in the log, want none", at, ended.Hit)
		}
	}
	renewing := s.old != "" && s.old != "none" && !strings.HasPrefix(s.old, "mixture")
	lostRenewal := renewing && s.acted(token, bundle, registered, handedOut) && s.set() == s.old
	a := s.start(t, s.lab, "status.json")
	runs := 1
	// Who finds a manager that knows the host already waits, and tells what an
	// administrator does.
	told := func() bool {
		text := a.log.String()
		return strings.Contains(text, "administrator removes the host") && !strings.Contains(text, "level=error")
	}
	up := a.eventually(func() bool { return a.address() != "" || told() }) && a.address() != ""
	if posts, _, _ := s.lab.counts(); (token || bundle) && posts > before {
		lost("registered again, though a token or bundle was stored")
	}
	if !up && s.acted(token, bundle, registered, handedOut) {
		counted.lostInWindow(name, ended.Hit)
		s.lab.removeHosts()
		switch {
		case !a.over() && told():
			s.lab.approve()
		case a.over() && strings.Contains(a.log.String(), "administrator"):
			s.lab.deny()
			a = s.start(t, s.lab, "status.json")
			runs++
		default:
			lost("in the window, and the daemon says %s", a.log)
		}
		up = a.listening()
	}
	if up && lostRenewal {
		// It serves on with the old set, and tells of the renewal.
		if !a.eventually(func() bool {
			return strings.Contains(a.log.String(), "renewal: ") && strings.Contains(a.log.String(), "administrator")
		}) {
			lost("in the window, and the daemon says %s", a.log)
		}
		counted.lostInWindow(name, ended.Hit)
		s.lab.removeHosts()
		s.lab.deny()
		if next := s.run(s.command(s.lab, nil)); next.State != "enrolled" {
			lost("the next run: %s", next.raw)
		}
		runs++
	}
	counted.add(name, func(r *tally.Row) { r.Runs += 1 + runs })
	if !up {
		lost("does not listen: %s", a.log)
		return
	}
	// What the killed one had not come to, the next one does while it listens.
	if !a.eventually(func() bool { serial, err := a.serial(); return err == nil && serial == s.lab.serial() && s.settled() }) {
		serial, err := a.serial()
		lost("it serves %s, %v, and has ended its work: %v: %s", serial, err, s.settled(), a.log)
	}
	a.stop(t)
	for _, wrong := range s.checkEnd(c) {
		lost("%s", wrong)
	}
}

// settled tells whether nothing is left of a request.
func (s *site) settled() bool {
	for _, name := range []string{"token", "request", "spool", "journal"} {
		if _, err := os.Stat(s.path("state/" + name)); err == nil {
			return false
		}
	}
	return true
}

// TestCrowdOfDaemonsAndModules: daemons that enroll the host and runs of the
// module at the same time are one enrollment, and each daemon comes to listen.
func TestCrowdOfDaemonsAndModules(t *testing.T) {
	const name, daemons = "crowd with daemons", 4
	modules := 40
	if full {
		modules = 200
	}
	s := &site{host: newHost(t), lab: newLab(t, manager.Options{})}
	s.agentConfig()
	cmd := s.command(s.lab, options{"fqdn": nil, "report_ip": nil})
	var all sync.WaitGroup
	var agents [daemons]*agent
	for i := range daemons {
		agents[i] = s.start(t, s.lab, fmt.Sprintf("status%d.json", i))
	}
	for range modules {
		all.Go(func() {
			if r := s.run(cmd); r.Failed || r.State != "enrolled" && r.State != "pending" {
				counted.add(name, func(r *tally.Row) { r.Lost++ })
				t.Errorf("a module: got %s, want it enrolled or pending", r.raw)
			}
		})
	}
	all.Wait()
	for _, a := range agents {
		if !a.listening() {
			counted.add(name, func(r *tally.Row) { r.Lost++ })
			t.Errorf("got a daemon that does not listen, want one that does: %s", a.log)
			continue
		}
		// One that came upon the set before the whitelist was written lets no one in
		// until it has seen that too.
		if !a.eventually(func() bool { serial, err := a.serial(); return err == nil && serial == s.lab.serial() }) {
			serial, err := a.serial()
			t.Errorf("got %s, %v, want the serial number that the manager issued: %s", serial, err, a.log)
		}
	}
	counted.add(name, func(r *tally.Row) { r.Runs += modules + daemons })
	if posts, registered, handedOut := s.lab.counts(); posts != 1 || registered != 1 || handedOut != 1 {
		counted.add(name, func(r *tally.Row) { r.Lost++ })
		t.Errorf("got %d registrations, %d taken, %d bundles, want 1, 1, 1", posts, registered, handedOut)
	}
	for _, a := range agents {
		if !a.over() {
			a.stop(t)
		}
	}
	for _, wrong := range s.checkEnd(scenario{}) {
		t.Error(wrong)
	}
}

// TestDaemonSecrets looks, at each call of a daemon that enrolls, at what other
// users can see of it, then at what it logged, and at what a listening one
// leaves when a signal ends it that makes cores.
func TestDaemonSecrets(t *testing.T) {
	needTracing(t)
	s := &site{host: newHost(t), lab: newLab(t, manager.Options{})}
	s.agentConfig()
	var seen []string
	a := s.untilListening(torture.Attack{At: -1})
	until := a.AtCall
	a.AtCall = func(pid int, c torture.Call) {
		for _, name := range []string{"cmdline", "environ", "comm"} {
			if raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name)); err == nil {
				seen = append(seen, string(raw))
			}
		}
		until(pid, c)
	}
	ended := s.attack(s.agentCommand(s.lab, "status.json"), a)
	running := s.start(t, s.lab, "status.json")
	if !running.listening() {
		t.Fatalf("got an agent that does not listen, want one that does: %s", running.log)
	}
	must(t, running.cmd.Process.Signal(syscall.SIGABRT))
	<-running.ended
	if running.cmd.ProcessState.Sys().(syscall.WaitStatus).CoreDump() {
		t.Error("got a core, want none")
	}
	seen = append(seen, ended.Stdout+ended.Stderr, running.log.String())
	audit, err := os.ReadFile(s.path("log/audit.log"))
	must(t, err)
	status, err := os.ReadFile(s.path("run/status.json"))
	must(t, err)
	seen = append(seen, string(audit), string(status))
	secrets := s.lab.canaries()
	if len(secrets) < 3 || len(seen) < 300 || !strings.Contains(running.log.String(), "SIGABRT") {
		t.Fatalf(`got %d secrets, %d texts: %s, want 3 at least, 300 at least, "SIGABRT" in it`, len(secrets), len(seen), running.log)
	}
	for _, secret := range secrets {
		for _, text := range seen {
			if strings.Contains(text, secret) {
				counted.add("secrets of the daemon", func(r *tally.Row) { r.Leaks++ })
				t.Fatalf("got a secret in %.300q, want none", text)
			}
		}
	}
	counted.add("secrets of the daemon", func(r *tally.Row) { r.Points += len(seen); r.All += len(seen); r.Runs += 2 })
}
