package torture_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/torture"
	"github.com/linux-patch/enroll/internal/torture/tally"
)

// TestSecretsInProc looks, at each call of an enrollment, at what other users
// can see of a process: its arguments, and with the same user its environment.
func TestSecretsInProc(t *testing.T) {
	needTracing(t)
	s := newSite(t, scenarios()[1])
	s.prepare(scenarios()[1])
	var seen [][]byte
	looks := 0
	ended := s.attack(s.commandOf(scenarios()[1]), torture.Attack{At: -1, AtCall: func(pid int, _ torture.Call) {
		looks++
		for _, name := range []string{"cmdline", "environ", "comm"} {
			raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
			if err == nil {
				seen = append(seen, raw)
			}
		}
	}})
	secrets := s.lab.canaries()
	if ended.Exit != 0 || looks < 100 || len(seen) < looks || len(secrets) < 3 {
		t.Fatalf("got exit %d, %d looks, %d texts, %d secrets, want 0, 100, as many texts, 3", ended.Exit, looks, len(seen), len(secrets))
	}
	for _, secret := range secrets {
		for _, raw := range seen {
			if bytes.Contains(raw, []byte(secret)) {
				counted.add("secrets", func(r *tally.Row) { r.Leaks++ })
				t.Fatal("got a secret in /proc, want none")
			}
		}
		if strings.Contains(ended.Stdout+ended.Stderr, secret) {
			counted.add("secrets", func(r *tally.Row) { r.Leaks++ })
			t.Fatal("got a secret in the result, want none")
		}
	}
	counted.add("secrets", func(r *tally.Row) { r.Points += looks; r.All += looks; r.Runs++ })
}

// hanging starts a program that has its token and waits for the answer to a
// poll.
func hanging(t *testing.T, h *host, env ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	m := newRaw(t)
	asked := make(chan struct{}, 9)
	m.get = func(c net.Conn) {
		asked <- struct{}{}
		<-m.ended
	}
	cmd := h.command(nil, h.commandFor(m, options{"wait": true}))
	c := exec.Command(cmd.Path, cmd.Args...)
	c.Env, c.Dir = slices.Concat(cmd.Env, env), h.dir
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	must(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill() })
	select {
	case <-asked:
	case <-time.After(30 * time.Second):
		_ = c.Process.Kill()
		_ = c.Wait()
		t.Fatalf("never polled: %s", out.String())
	}
	return c, &out
}

// TestNoCoreAndNoSecretInATraceback: a program that is killed by a signal that
// makes cores leaves none, and what the Go runtime prints holds no token.
func TestNoCoreAndNoSecretInATraceback(t *testing.T) {
	var old unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_CORE, &old))
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: old.Max, Max: old.Max}); err != nil || old.Max == 0 {
		t.Skipf("core files can't be allowed here: %v", err)
	}
	defer func() { must(t, unix.Setrlimit(unix.RLIMIT_CORE, &old)) }()
	// That a core would be made here at all.
	plain := exec.Command("sleep", "60")
	plain.Dir = t.TempDir()
	must(t, plain.Start())
	must(t, plain.Process.Signal(syscall.SIGSEGV))
	_ = plain.Wait()
	if !plain.ProcessState.Sys().(syscall.WaitStatus).CoreDump() {
		t.Log("no program leaves a core on this machine, so that part shows nothing")
	}
	for _, signal := range []syscall.Signal{syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGSEGV} {
		h := newHost(t)
		c, out := hanging(t, h, "GOTRACEBACK=crash")
		must(t, c.Process.Signal(signal))
		_ = c.Wait()
		if status := c.ProcessState.Sys().(syscall.WaitStatus); status.CoreDump() {
			t.Errorf("%v: got a core, want none", signal)
		}
		if out.Len() == 0 {
			t.Errorf("%v: no traceback, so this shows nothing, want some", signal)
		}
		if strings.Contains(out.String(), canary) || strings.Contains(out.String(), "PRIVATE KEY") {
			counted.add("secrets", func(r *tally.Row) { r.Leaks++ })
			t.Errorf("%v: got a secret in the traceback, want none", signal)
		}
		if !h.token() {
			t.Errorf("%v: got no token any more, want it kept", signal)
		}
	}
}

// TestFullDisk enrolls on a real file system that is full, at each amount of
// free space up to enough.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a tmpfs")
	}
	c := scenarios()[1]
	s := newSite(t, c)
	must(t, os.RemoveAll(s.dir))
	must(t, os.Mkdir(s.dir, 0o755))
	if err := unix.Mount("torture", s.dir, "tmpfs", 0, "size=8m,mode=0755"); err != nil {
		t.Skipf("no tmpfs can be mounted: %v", err)
	}
	defer func() { must(t, unix.Unmount(s.dir, unix.MNT_DETACH)) }()
	refused, enrolled := 0, 0
	// Preflight asks for two spools, 3 MiB, and the slot takes half of that.
	for free := 0; free <= 4096; free += 256 {
		s.lab.forget()
		s.empty()
		must(t, os.MkdirAll(s.path("etc"), 0o755))
		must(t, os.WriteFile(s.path("etc/config.yaml"), []byte(s.config), 0o640))
		must(t, os.WriteFile(s.path("etc/whitelist.yaml"), []byte(s.whitelist), 0o644))
		s.fill(free << 10)
		r := s.run(s.commandOf(c))
		counted.add("full disk", func(r *tally.Row) { r.Points++; r.All++; r.Runs++ })
		posts, _, _ := s.lab.counts()
		switch {
		case !r.Failed:
			enrolled++
		case r.code() != "ENROLL_FILESYSTEM" || posts != 0 || !strings.Contains(r.Error.Hint, "free space"):
			t.Errorf("%d KiB free: got %d registrations, %s, want none, and the free space in the hint", free, posts, r.raw)
		default:
			refused++
		}
		must(t, os.RemoveAll(s.path("ballast")))
		if r := s.run(s.commandOf(c)); r.State != "enrolled" {
			counted.add("full disk", func(r *tally.Row) { r.Lost++ })
			t.Errorf(`got %d KiB free, and then enough: %s, want "enrolled"`, free, r.raw)
		}
		for _, wrong := range s.checkEnd(c) {
			t.Errorf("%d KiB free: %s", free, wrong)
		}
	}
	if refused == 0 || enrolled == 0 {
		t.Errorf("got %d refused, %d enrolled, want some, some", refused, enrolled)
	}
}

// TestNoInodes enrolls on a real file system that has no inode left, and at
// each number of them up to enough. statfs(2) tells of none before it is too
// late for some, so a run may fail on its way; what came is kept.
func TestNoInodes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a tmpfs")
	}
	c := scenarios()[1]
	s := newSite(t, c)
	must(t, os.RemoveAll(s.dir))
	must(t, os.Mkdir(s.dir, 0o755))
	if err := unix.Mount("torture", s.dir, "tmpfs", 0, "size=32m,mode=0755,nr_inodes=64"); err != nil {
		t.Skipf("no tmpfs can be mounted: %v", err)
	}
	defer func() { must(t, unix.Unmount(s.dir, unix.MNT_DETACH)) }()
	refused, enrolled, onTheWay := 0, 0, 0
	for free := range 21 {
		s.lab.forget()
		s.empty()
		must(t, os.MkdirAll(s.path("etc"), 0o755))
		must(t, os.WriteFile(s.path("etc/config.yaml"), []byte(s.config), 0o640))
		must(t, os.WriteFile(s.path("etc/whitelist.yaml"), []byte(s.whitelist), 0o644))
		must(t, os.Mkdir(s.path("ballast"), 0o755))
		var st unix.Statfs_t
		must(t, unix.Statfs(s.dir, &st))
		for i := free; i < int(st.Ffree); i++ {
			must(t, os.WriteFile(s.path(fmt.Sprintf("ballast/%d", i)), nil, 0o600))
		}
		r := s.run(s.commandOf(c))
		posts, _, _ := s.lab.counts()
		switch {
		case !r.Failed:
			enrolled++
		case r.code() != "ENROLL_FILESYSTEM" || r.Error.Hint == "":
			t.Errorf("%d free: got %s, want ENROLL_FILESYSTEM with a hint", free, r.raw)
		case posts == 0:
			refused++
		default:
			onTheWay++
		}
		if set := s.set(); strings.HasPrefix(set, "mixture") && !s.holds("state/journal", "{") {
			counted.add("no inodes", func(r *tally.Row) { r.Mixed++ })
			t.Errorf("%d free: %s", free, set)
		}
		must(t, os.RemoveAll(s.path("ballast")))
		if r := s.run(s.commandOf(c)); r.State != "enrolled" || r.Failed {
			counted.add("no inodes", func(r *tally.Row) { r.Lost++ })
			t.Errorf("%d free, and then enough: %s", free, r.raw)
		}
		if posts, _, handedOut := s.lab.counts(); posts != 1 || handedOut != 1 {
			t.Errorf("got %d free: %d registrations, %d bundles, want posts 1, handedOut 1", free, posts, handedOut)
		}
		for _, wrong := range s.checkEnd(c) {
			t.Errorf("%d free: %s", free, wrong)
		}
		counted.add("no inodes", func(r *tally.Row) { r.Points++; r.All++; r.Runs += 2 })
	}
	t.Logf("%d refused before any request, %d failed on their way, %d enrolled", refused, onTheWay, enrolled)
	if refused == 0 || onTheWay == 0 || enrolled == 0 {
		t.Error("one of them was not tried")
	}
}

// empty removes all that is in the host's directory.
func (h *host) empty() {
	names, err := os.ReadDir(h.dir)
	must(h.t, err)
	for _, name := range names {
		must(h.t, os.RemoveAll(h.path(name.Name())))
	}
}

// fill leaves that many bytes free.
func (h *host) fill(free int) {
	var st unix.Statfs_t
	must(h.t, unix.Statfs(h.dir, &st))
	size := int(st.Bavail)*int(st.Bsize) - free
	must(h.t, os.WriteFile(h.path("ballast"), make([]byte, max(size, 0)), 0o600))
}
