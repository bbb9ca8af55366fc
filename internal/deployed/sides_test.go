package deployed_test

import (
	"crypto/tls"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// side is a program of one version: what begins or ends an enrollment.
type side struct {
	name  string
	path  string
	agent bool
}

// kept reports whether a token, and whether a bundle or a new set, is on disk.
func (s *site) kept() (token, bundle bool) {
	exists := func(name string) bool {
		info, err := os.Stat(s.path(name))
		return err == nil && info.Size() > 0
	}
	// A journal names staged files of the set.
	return exists("state/token"), exists("state/journal") || s.whole() || s.spooled()
}

// spooled reports whether the spool holds an answer; it is made, and filled with
// zeros, before a poll.
func (s *site) spooled() bool {
	raw, err := os.ReadFile(s.path("state/spool"))
	return err == nil && strings.Contains(string(raw), "PRIVATE KEY") || err == nil && len(strings.Trim(string(raw), "\x00 \n")) > 1000
}

// whole reports whether certificate and key are on disk and fit.
func (s *site) whole() bool {
	certs := s.path("etc/linux_patch_api/certs/")
	_, err := tls.LoadX509KeyPair(certs+"/server.pem", certs+"/server.key")
	return err == nil
}

// ended reports whether nothing of an enrollment is under way.
func (s *site) ended() bool {
	token, _ := s.kept()
	_, err := os.Stat(s.path("state/provenance.json"))
	return s.whole() && !token && err == nil
}

// stop runs a module until it has reached a phase, and kills it there; false is
// one that was too quick.
func (s *site) stop(path string, reached func(*site) bool) bool {
	s.t.Helper()
	for range 2 {
		cmd := exec.CommandContext(s.t.Context(), path, s.path("args.json"))
		if err := cmd.Start(); err != nil {
			s.t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait() // what is on disk tells
			close(ended)
		}()
		for over := false; !over && !reached(s); {
			select {
			case <-ended:
				over = true
			default:
			}
		}
		_ = cmd.Process.Kill()
		<-ended
		if reached(s) {
			return true
		}
		// The module asked once and ended: its request is approved, and it runs again.
		s.approveAll()
	}
	return false
}

// approveAll approves what waits, if anything does.
func (s *site) approveAll() {
	for _, r := range s.manager.Requests() {
		_ = s.manager.Approve(r.MachineID)
	}
}

// finish lets the other program end what was begun.
func (s *site) finish(p side) {
	s.t.Helper()
	s.approveAll()
	if !p.agent {
		for range 3 {
			if out, err := exec.CommandContext(s.t.Context(), p.path, s.path("args.json")).Output(); err != nil {
				s.t.Fatalf("%s: %v: got %s, want no error", p.name, err, out)
			}
			if s.ended() {
				return
			}
			s.approveAll()
		}
		s.t.Fatalf("%s has not enrolled the host", p.name)
	}
	a := s.startAgentOf(p.path)
	defer a.stop()
	a.untilDone(s.ended, s.approveAll)
}

func hostFor(t *testing.T) *site {
	t.Helper()
	s := newSite(t, "127.0.0.1:0", "127.0.0.1")
	s.manager.Dialect2 = true
	s.write("etc/linux_patch_api/config.yaml", strings.Replace(s.read("etc/linux_patch_api/config.yaml"), s.url+"/api/v1/enroll", s.url, 1))
	return s
}
