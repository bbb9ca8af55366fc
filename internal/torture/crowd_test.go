package torture_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/manager"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/torture/tally"
	"github.com/linux-patch/enroll/internal/whitelist"
)

func pemBlock(text string) ([]byte, []byte) {
	block, rest := pem.Decode([]byte(text))
	return block.Bytes, rest
}

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func sum(raw []byte) []byte {
	s := sha256.Sum256(raw)
	return s[:]
}

// TestCrowd lets 200 runs loose on one host at once: one registration, one set,
// one entry, and no run fails.
func TestCrowd(t *testing.T) {
	const crowd = 200
	for _, wait := range []bool{false, true} {
		t.Run(fmt.Sprintf("wait %v", wait), func(t *testing.T) {
			name := fmt.Sprintf("crowd, wait %v", wait)
			s := &site{host: newHost(t), lab: newLab(t, manager.Options{})}
			cmd := s.command(s.lab, options{"wait": wait})
			results := make([]result, crowd)
			errs := make([]error, crowd)
			var all sync.WaitGroup
			for i := range crowd {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
					defer cancel()
					c := exec.CommandContext(ctx, cmd.Path, cmd.Args...)
					c.Env = cmd.Env
					var out, stderr bytes.Buffer
					c.Stdout, c.Stderr = &out, &stderr
					_ = c.Run() // the exit code tells
					results[i], errs[i] = parse(out.String(), stderr.String(), c.ProcessState.ExitCode())
				})
			}
			all.Wait()
			changed := 0
			for i, r := range results {
				if errs[i] != nil {
					t.Error(errs[i])
				}
				if r.Failed || r.State != "enrolled" && (wait || r.State != "pending") {
					counted.add(name, func(r *tally.Row) { r.Lost++ })
					t.Errorf("a run of the crowd: got %s, want it enrolled or pending", r.raw)
				}
				if r.Changed {
					changed++
				}
			}
			counted.add(name, func(r *tally.Row) { r.Runs += crowd })
			posts, registered, handedOut := s.lab.counts()
			if posts != 1 || registered != 1 || handedOut != 1 || changed != 1 {
				t.Errorf("got %d registrations, %d taken, %d bundles, %d runs that changed something, want one of each", posts, registered, handedOut, changed)
			}
			for _, wrong := range s.checkEnd(scenario{}) {
				t.Error(wrong)
			}
		})
	}
}

// TestCrowdOfWhitelistWriters: 50 writers at once, half of them a shell that
// takes the lock with flock(1) and appends a line. No entry is lost or stands
// twice, and all else is as it was.
func TestCrowdOfWhitelistWriters(t *testing.T) {
	if _, err := exec.LookPath("flock"); err != nil {
		t.Skip("there is no flock(1) here")
	}
	const writers = 50
	h := newHost(t)
	ca := pkitest.NewCA(t)
	h.provision(t, ca)
	block, _ := pemBlock(ca.PEM())
	list := h.path("etc/whitelist.yaml")
	var all sync.WaitGroup
	for i := range writers {
		ip := fmt.Sprintf("10.1.0.%d", i+1)
		if i%2 == 0 {
			all.Go(func() {
				c := exec.Command("flock", list+".lock", "sh", "-c", `sleep 0.01; echo "  - `+ip+`" >> "$1"`, "sh", list)
				if out, err := c.CombinedOutput(); err != nil {
					t.Errorf("flock: %v %s", err, out)
				}
			})
			continue
		}
		// A state directory of its own, so that the run lock keeps none waiting.
		own := *h
		own.args = t.TempDir()
		cmd := own.command(nil, options{
			"state_dir": h.path(fmt.Sprintf("state%d", i)), "manager_ip": ip, "lock_timeout": 120,
			"manager_url": "https://192.0.2.1", "backup": false, "bundle_ca_fingerprint": fmt.Sprintf("%x", sum(block)),
		})
		all.Go(func() {
			if r := own.run(cmd); r.Failed || !r.Changed {
				t.Errorf("a writer: got %s, want a change", r.raw)
			}
		})
	}
	all.Wait()
	counted.add("whitelist writers", func(r *tally.Row) { r.Runs += writers })
	raw, err := os.ReadFile(list)
	must(t, err)
	rest := string(raw)
	for i := range writers {
		line := fmt.Sprintf("  - 10.1.0.%d\n", i+1)
		if n := strings.Count(rest, line); n != 1 {
			counted.add("whitelist writers", func(r *tally.Row) { r.Lost++ })
			t.Errorf("%q: got %d, want 1", line, n)
		}
		rest = strings.Replace(rest, line, "", 1)
	}
	if want := h.admitted(); rest != want {
		t.Errorf("the rest of the file is %q, want %q", rest, want)
	}
	parsed, err := whitelist.Parse(raw)
	must(t, err)
	if _, ok := parsed.Covering(netip.MustParseAddr("10.1.0.50")); !ok {
		t.Error("got no entrance by the last entry, want one")
	}
}
