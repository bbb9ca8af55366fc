package deployed_test

import (
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/torture"
)

// released is the commit that version 0.1.0 was built from.
const released = "81859b8"

// old builds the programs of 0.1.0 from this repository's history, and returns
// their directory.
var old = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(work, "0.1.0")
	out, err := exec.Command("sh", "-ec", `
mkdir -p "$1/bin"
git -C "$(git rev-parse --show-toplevel)" archive `+released+` | tar -x -C "$1"
cd "$1"
CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -tags validator_novalidatefn,nethttpomithttp2 -o bin ./module/enrollment ./internal/cmd/linux_patch_api
`, "old", dir).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build 0.1.0: %w: %s", err, out)
	}
	return filepath.Join(dir, "bin"), nil
})

func oldPrograms(t *testing.T) string {
	t.Helper()
	if out, err := exec.Command("git", "cat-file", "-e", released+"^{commit}").CombinedOutput(); err != nil {
		t.Skipf("the programs of 0.1.0 are built from git's history, which is not here: %v: %s", err, out)
	}
	dir, err := old()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// side is a program of one version: what begins or ends an enrollment.
type side struct {
	name  string
	path  string
	agent bool
}

func (s *site) sideCommand(p side) torture.Command {
	s.t.Helper()
	args := s.agentArgs()
	if !p.agent {
		args = []string{s.path("args.json")}
	}
	return torture.Command{Path: p.path, Args: args, Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}}
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

// begin runs a program until it is killed at a call that does something, or has
// enrolled the host. It returns how many calls there were.
func (s *site) begin(p side, at int) int {
	s.t.Helper()
	attack := torture.Attack{At: at, Counts: func(c torture.Call) bool { return c.Kind == torture.Changing }}
	if p.agent {
		attack.AtCall = func(pid int, _ torture.Call) {
			s.approveAll()
			if s.ended() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	n := 0
	for range 2 {
		ended, err := torture.Run(s.t.Context(), s.sideCommand(p), attack)
		if err != nil {
			s.t.Fatal(err)
		}
		n += len(ended.Calls)
		if ended.Hit != nil || p.agent {
			break
		}
		// The module asked once and ended: its request is approved, and it runs again.
		s.approveAll()
		if at >= 0 {
			attack.At = at - n
		}
	}
	return n
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

// TestSection5_NewBesideOld begins an enrollment with a program of one version,
// kills it, and ends it with one of the other version.
func TestSection5_NewBesideOld(t *testing.T) {
	if err := traceable(t); err != nil {
		t.Skip(err)
	}
	before := oldPrograms(t)
	oldModule, oldAgent := side{"module 0.1.0", before + "/enrollment", false}, side{"agent 0.1.0", before + "/linux_patch_api", true}
	module, agent := side{"module", bin.Path("enrollment"), false}, side{"agent", bin.Path("linux_patch_api"), true}
	for _, pair := range [][2]side{{oldModule, agent}, {agent, oldModule}, {module, oldAgent}, {oldAgent, module}, {oldModule, module}, {module, oldModule}} {
		t.Run(pair[0].name+", then "+pair[1].name, func(t *testing.T) {
			t.Parallel()
			const points = 10
			n := hostFor(t).begin(pair[0], -1)
			lost := 0
			for i := range points {
				if !hostFor(t).taken(pair, i*n/points) {
					lost++
				}
			}
			t.Logf("%d points of %d calls, %d of them between the manager's act and the disk", points, n, lost)
			if lost > points/2 {
				t.Errorf("got %d points that no client can close, want few", lost)
			}
		})
	}
}

func hostFor(t *testing.T) *site {
	t.Helper()
	s := newSite(t, "127.0.0.1:0", "127.0.0.1")
	s.manager.Dialect2 = true
	s.write("etc/linux_patch_api/config.yaml", strings.Replace(s.read("etc/linux_patch_api/config.yaml"), s.url+"/api/v1/enroll", s.url, 1))
	return s
}

// taken begins, kills, and ends. It returns false where the kill came between
// the manager's act and the answer's way to the disk, the one window there is.
func (s *site) taken(pair [2]side, at int) bool {
	s.t.Helper()
	s.begin(pair[0], at)
	token, bundle := s.kept()
	requests := len(s.manager.Requests())
	if requests > 0 && !token && !bundle || s.manager.HandedOut() > 0 && !bundle {
		return false
	}
	s.finish(pair[1])
	if got := len(s.manager.Requests()); requests > 0 && got != requests {
		s.t.Errorf("killed at %d: got %d requests, want the one whose token was stored", at, got)
	}
	if got := s.manager.HandedOut(); got != 1 {
		s.t.Errorf("killed at %d: got %d bundles handed out, want one", at, got)
	}
	s.deployedAgentStarts(loopback)
	// The one that began finds nothing to do.
	if p := pair[0]; !p.agent {
		out, err := exec.CommandContext(s.t.Context(), p.path, s.path("args.json")).Output()
		if err != nil || !strings.Contains(string(out), `"changed":false`) || !strings.Contains(string(out), `"state":"enrolled"`) {
			s.t.Errorf("killed at %d, and again: got %v: %s, want nothing to do", at, err, out)
		}
	}
	return true
}

func traceable(t *testing.T) error {
	t.Helper()
	_, err := torture.Run(t.Context(), torture.Command{Path: bin.Path("enrollment"), Args: []string{"--help"}}, torture.Attack{At: -1})
	return err
}
