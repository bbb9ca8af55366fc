package torture_test

import (
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
	dir := filepath.Join(bin.Dir(), "0.1.0")
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
	must(t, err)
	return dir
}

// side is a program of one version: what begins or ends an enrollment.
type side struct {
	name, path string
	agent      bool
	// more are the options of the module.
	more options
}

func (s *site) sideCommand(p side) torture.Command {
	c := s.command(s.lab, p.more)
	if p.agent {
		c = s.agentCommand(s.lab, "status.json")
	}
	c.Path = p.path
	return c
}

func (s *site) has(name string) bool {
	_, err := os.Stat(s.path(name))
	return err == nil
}

// whole reports whether a set is in place.
func (s *site) whole() bool {
	set := s.set()
	return set != "none" && !strings.HasPrefix(set, "mixture")
}

// over reports whether the host is enrolled and nothing is under way.
func (s *site) over() bool { return s.has("state/provenance.json") && s.settled() && s.whole() }

// begin runs a program until it is killed at a call that does something, or has
// enrolled the host. It returns how many calls there were.
func (s *site) begin(p side, at int) int {
	s.lab.forget()
	s.layOut()
	s.agentConfig()
	attack := torture.Attack{At: at, Counts: func(c torture.Call) bool { return c.Kind == torture.Changing }}
	if p.agent {
		attack.AtCall = func(pid int, _ torture.Call) {
			if s.over() {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	calls := len(s.attack(s.sideCommand(p), attack).Calls)
	s.lab.settle()
	return calls
}

// finish lets the other program end what was begun.
func (s *site) finish(t *testing.T, p side) {
	t.Helper()
	if !p.agent {
		for range 3 {
			if r := s.run(s.sideCommand(p)); r.Failed {
				t.Fatalf("%s: got %s, want no error", p.name, r.raw)
			}
			if s.over() {
				return
			}
		}
		t.Fatalf("%s has not enrolled the host", p.name)
	}
	a := s.startCommand(t, s.sideCommand(p), "status.json")
	if !a.eventually(s.over) {
		t.Fatalf("%s has not enrolled the host: %s", p.name, a.log)
	}
	a.stop(t)
}

// taken begins, kills, and ends. It returns false where the kill came between
// the manager's act and the answer's way to the disk, the one window there is.
func (s *site) taken(t *testing.T, pair [2]side, at int) bool {
	t.Helper()
	s.begin(pair[0], at)
	token, bundle := s.stored()
	_, registered, handedOut := s.lab.counts()
	if s.acted(token, bundle || s.has("state/journal") || s.whole(), registered, handedOut) {
		return false
	}
	s.finish(t, pair[1])
	_, again, got := s.lab.counts()
	if registered > 0 && again != registered {
		t.Errorf("killed at %d: got %d requests, want the one whose token was stored", at, again)
	}
	if got != 1 {
		t.Errorf("killed at %d: got %d bundles handed out, want one", at, got)
	}
	// A killed agent leaves its status behind, perhaps half written, for the next
	// agent, and 0.1.0 knows no proof.
	left, err := filepath.Glob(s.path("run/*status.json*"))
	must(t, err)
	for _, file := range left {
		must(t, os.Remove(file))
	}
	must(t, os.RemoveAll(s.path("state/proof")))
	for _, wrong := range s.check(s.lab.serial(), s.admitted(), s.lab.canaries()) {
		t.Errorf("killed at %d: %s", at, wrong)
	}
	// The one that began finds nothing to do.
	if p := pair[0]; !p.agent {
		if r := s.run(s.sideCommand(p)); r.Changed || r.State != "enrolled" {
			t.Errorf("killed at %d, and again: got %s, want nothing to do", at, r.raw)
		}
	}
	return true
}

// TestSection5_NewBesideOld begins an enrollment with a program of one version,
// kills it, and ends it with one of the other version.
func TestSection5_NewBesideOld(t *testing.T) {
	needTracing(t)
	before := oldPrograms(t)
	// 0.1.0 writes no manager_url, and knows no option that says so.
	oldModule := side{"module 0.1.0", before + "/enrollment", false, options{"config_manager_url": nil}}
	oldAgent := side{"agent 0.1.0", before + "/linux_patch_api", true, nil}
	module, agent := side{"module", bin.Path("enrollment"), false, nil}, side{"agent", bin.Path("linux_patch_api"), true, nil}
	for _, pair := range [][2]side{{oldModule, agent}, {agent, oldModule}, {module, oldAgent}, {oldAgent, module}, {oldModule, module}, {module, oldModule}} {
		t.Run(pair[0].name+", then "+pair[1].name, func(t *testing.T) {
			t.Parallel()
			const points = 10
			s := newSite(t, scenario{})
			n, lost := s.begin(pair[0], -1), 0
			for i := range points {
				if !s.taken(t, pair, i*n/points) {
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
