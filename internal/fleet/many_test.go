package fleet_test

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/testbuild"
)

func contains(line []byte, text string) bool { return bytes.Contains(line, []byte(text)) }

// served is a linux_patch_manager in a process of its own.
type served struct {
	program, data, url string
	process            *os.Process
}

func serve(t *testing.T, flags ...string) *served {
	t.Helper()
	dir := t.TempDir()
	bin, err := testbuild.Build(dir+"/", "", "../cmd/linux_patch_manager")
	if err != nil {
		t.Fatal(err)
	}
	s := &served{program: bin.Path("linux_patch_manager"), data: filepath.Join(dir, "data")}
	file := filepath.Join(dir, "url")
	cmd := exec.Command(s.program, append([]string{"serve", "--data", s.data, "--url-file", file, "--rate-limit", "off"}, flags...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.process = cmd.Process
	t.Cleanup(func() {
		_ = s.process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for range 600 {
		if url, err := os.ReadFile(file); err == nil && len(url) > 0 {
			s.url = strings.TrimSpace(string(url))
			return s
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the manager did not start")
	return nil
}

// approved is when each host was approved, as the command line says it.
func (s *served) approve(t *testing.T) map[string]time.Time {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.program, "approve", "--data", s.data, "--all")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	at := map[string]time.Time{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == "approved" {
			at[words[1]] = time.Now()
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("approve: got %v, want no error", err)
	}
	return at
}

// requests counts what hosts asked, by the manager's access log.
func (s *served) requests(t *testing.T) int {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(s.data, "access.log"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(log, []byte(`"path":"/api/v1/enroll`))
}

// peak is the largest resident set of a process so far, in MB.
func peak(t *testing.T, pid int) float64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "VmHWM:" {
			kb, err := strconv.Atoi(words[1])
			if err != nil {
				t.Fatal(err)
			}
			return float64(kb) / 1024
		}
	}
	t.Fatal("the kernel tells no peak")
	return 0
}

// size is how many hosts there are: few in a test, as many as it is told by
// `make bench`.
func size(t *testing.T) int {
	t.Helper()
	return number(t, "LINUX_PATCH_FLEET", 100)
}

func number(t *testing.T, variable string, usual int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestManyHosts registers many hosts at one manager, lets all of them wait at
// the same time, approves them, and counts what each got.
func TestManyHosts(t *testing.T) {
	hosts := size(t)
	// So that the manager is asked a hundred times a second, however many hosts
	// there are: what is measured is no overload, unless the bench asks for one.
	interval := number(t, "LINUX_PATCH_FLEET_INTERVAL", max(10, hosts/100))
	s := serve(t)
	f := newFleet(t, fleetDir(t), s.url, filepath.Join(s.data, "ca.pem"), interval)
	before := peak(t, os.Getpid())

	// A controller's forks register, one host after the other.
	start := time.Now()
	crowd(hosts, 50, func(n simulated) {
		if res := f.enroll(t.Context(), n, func(p *options.Params) { p.State = string(contract.StateRegistered) }); res.State != contract.StateRegistered {
			t.Errorf("%s: %s: got %s, want %v", n.fqdn(), res.State, res.Msg, contract.StateRegistered)
		}
	})
	registered := time.Since(start)

	// All wait, not all since the same moment.
	var mu sync.Mutex
	done := map[string]time.Time{}
	lost := 0
	waiting := make(chan struct{}, hosts)
	var approved map[string]time.Time
	var all sync.WaitGroup
	spread := time.Duration(hosts) * 4 * time.Millisecond
	for n := range hosts {
		all.Go(func() {
			time.Sleep(rand.N(spread + 1))
			res := f.enroll(t.Context(), simulated(n), func(p *options.Params) {
				waiting <- struct{}{}
			})
			mu.Lock()
			defer mu.Unlock()
			if res.State == contract.StateEnrolled {
				done[res.FQDN] = time.Now()
			} else {
				lost++
				t.Errorf("%s: %s: %s", res.FQDN, res.State, res.Msg)
			}
		})
	}
	for range hosts {
		<-waiting
	}
	start = time.Now()
	approved = s.approve(t)
	approving := time.Since(start)
	all.Wait()
	provisioned := time.Since(start)

	var delays []float64
	for name, at := range done {
		delays = append(delays, max(0, at.Sub(approved[name]).Seconds()))
	}
	slices.Sort(delays)
	if len(delays) != hosts {
		t.Fatalf("got %d of %d hosts were provisioned, want %v", len(delays), hosts, hosts)
	}
	printed(t, "many hosts", map[string]any{
		"hosts": hosts, "interval": interval, "lost": lost,
		"registrations per second": float64(hosts) / registered.Seconds(),
		"approvals per second":     float64(hosts) / approving.Seconds(),
		"enrollments per second":   float64(hosts) / provisioned.Seconds(),
		"requests":                 s.requests(t),
		"p50":                      delays[hosts/2], "p99": delays[hosts*99/100],
		"client MB": peak(t, os.Getpid()), "client KB per host": (peak(t, os.Getpid()) - before) * 1024 / float64(hosts),
		"manager MB": peak(t, s.process.Pid),
	})
}

// crowd does something for each host, some at the same time.
func crowd(hosts, forks int, do func(simulated)) {
	var all sync.WaitGroup
	next := make(chan simulated)
	for range forks {
		all.Go(func() {
			for n := range next {
				do(n)
			}
		})
	}
	for n := range hosts {
		next <- simulated(n)
	}
	close(next)
	all.Wait()
}

// fleetDir is in memory where that is possible: what is measured is not the
// disk of this machine, which stands for the disks of all hosts.
func fleetDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "linux_patch_fleet")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
