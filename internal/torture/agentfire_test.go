package torture_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/torture/tally"
)

// serving is a daemon that serves a set of ca, and a client of that CA.
func serving(t *testing.T, list string) (*agent, *pkitest.CA, client) {
	t.Helper()
	h := newHost(t)
	h.whitelist = list
	h.layOut()
	ca := pkitest.NewCA(t)
	h.provision(t, ca)
	a := h.start(t, nil, "status.json")
	if !a.listening() {
		t.Fatalf("got an agent that does not listen, want one that does: %s", a.log)
	}
	leaf := ca.Issue(t, pkitest.EKU(x509.ExtKeyUsageClientAuth))
	c := client{config: &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: ca.Pool(), Certificates: []tls.Certificate{leaf.TLS()}, ServerName: "127.0.0.1",
	}}
	return a, ca, c.from("127.0.0.1")
}

// assaults are what clients do to the daemon's port, each until its connection
// ends or ctx does. evil may make a good connection.
var assaults = map[string]func(ctx context.Context, evil client, address string){
	"half-open": func(ctx context.Context, evil client, address string) {
		hold(ctx, evil, address, nil)
	},
	"half a greeting": func(ctx context.Context, evil client, address string) {
		hold(ctx, evil, address, []byte{22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3})
	},
	"a greeting of 16 KiB that never ends": func(ctx context.Context, evil client, address string) {
		hold(ctx, evil, address, append([]byte{22, 3, 1, 64, 0, 1, 255, 255, 255}, make([]byte, 9000)...))
	},
	"rubbish": func(ctx context.Context, evil client, address string) {
		noise := make([]byte, 4096)
		_, _ = rand.Read(noise)
		hold(ctx, evil, address, noise)
	},
	"plain HTTP": func(ctx context.Context, evil client, address string) {
		hold(ctx, evil, address, []byte("GET /health HTTP/1.1\r\nHost: agent\r\n\r\n"))
	},
	"reset at once": func(_ context.Context, evil client, address string) {
		if conn, err := evil.dialer.Dial("tcp", address); err == nil {
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	},
	"no certificate": func(_ context.Context, evil client, address string) {
		evil.config = evil.config.Clone()
		evil.config.Certificates = nil
		_ = evil.ask(address)
	},
	"slow loris": func(ctx context.Context, evil client, address string) {
		conn, err := evil.connect(address)
		if err != nil {
			return
		}
		defer conn.Close()
		for _, b := range []byte("GET /health HTTP/1.1\r\nHost: " + strings.Repeat("a", 5000)) {
			if _, err := conn.Write([]byte{b}); err != nil || !pause(ctx, 50*time.Millisecond) {
				return
			}
		}
	},
	"requests whose answers nobody reads": func(ctx context.Context, evil client, address string) {
		conn, err := evil.connect(address)
		if err != nil {
			return
		}
		defer conn.Close()
		many := []byte(strings.Repeat("GET /health HTTP/1.1\r\nHost: agent\r\n\r\n", 500))
		for ctx.Err() == nil {
			if _, err := conn.Write(many); err != nil {
				return
			}
		}
	},
	"an endless body": func(ctx context.Context, evil client, address string) {
		conn, err := evil.connect(address)
		if err != nil {
			return
		}
		defer conn.Close()
		_, err = io.WriteString(conn, "POST /health HTTP/1.1\r\nHost: agent\r\nTransfer-Encoding: chunked\r\n\r\n")
		for chunk := []byte("1000\r\n" + strings.Repeat("x", 4096) + "\r\n"); err == nil && ctx.Err() == nil; {
			_, err = conn.Write(chunk)
		}
	},
	"kept alive": func(ctx context.Context, evil client, address string) {
		conn, err := evil.connect(address)
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: agent\r\n\r\n")
		_, _ = conn.Read(make([]byte, 1024))
		pause(ctx, time.Minute)
	},
}

// hold connects, sends something, and waits for the other side to end it.
func hold(ctx context.Context, evil client, address string, first []byte) {
	conn, err := evil.dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := conn.Write(first); err == nil {
		_, _ = io.Copy(io.Discard, conn)
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// TestDaemonUnderFire: a client that the daemon may listen to, and strangers,
// do their worst at its port, and hold all connections that one address may
// have. A good client gets each of its answers meanwhile, and what the daemon
// holds open and in memory stays bounded.
func TestDaemonUnderFire(t *testing.T) {
	held := assaults["half-open"]
	for _, f := range []struct {
		name string
		what map[string]func(context.Context, client, string)
		each int
	}{
		{"everything at once", assaults, 6},
		{"more connections than one address may have", map[string]func(context.Context, client, string){"held": held}, 250},
	} {
		t.Run(f.name, func(t *testing.T) {
			name, maxKiB, lasts := "daemon under fire: "+f.name, 96<<10, 3*time.Second
			if full {
				lasts = 60 * time.Second
			}
			a, _, good := serving(t, whitelistText+"  - 127.0.0.2\n")
			address, before := a.address(), a.files()
			// On a busy machine it takes longer until there is enough of both.
			ctx, stop := context.WithTimeout(context.Background(), lasts+time.Minute)
			defer stop()
			var all sync.WaitGroup
			var made atomic.Int64
			evil := good.from("127.0.0.2")
			evil.dialer.Timeout = 10 * time.Second // the test waits for its connections to end
			for _, attack := range f.what {
				for range f.each {
					all.Go(func() {
						for ctx.Err() == nil {
							attack(ctx, evil, address)
							made.Add(1)
							pause(ctx, 20*time.Millisecond)
						}
					})
				}
			}
			all.Go(func() {
				for ctx.Err() == nil {
					if err := good.from("127.0.0.3").ask(address); err == nil {
						t.Error("got an answer for a stranger, want none")
					}
					made.Add(1)
					pause(ctx, 5*time.Millisecond)
				}
			})
			var asked, failed, files int
			var worst time.Duration
			enough := func() bool { return asked >= 5 && made.Load() >= 100 }
			for end := time.Now().Add(lasts); ctx.Err() == nil && (time.Now().Before(end) || !enough()); {
				began := time.Now()
				if err := good.ask(address); err != nil {
					failed++
					t.Errorf("request %d of a good client: got %v, want an answer", asked, err)
				}
				asked++
				worst, files = max(worst, time.Since(began)), max(files, a.files())
				pause(ctx, 5*time.Millisecond)
			}
			stop()
			all.Wait()
			kib := a.memory(t)
			t.Logf("%d assaults, %d good requests, %d failed, the slowest took %s; at most %d files open, %d KiB in memory",
				made.Load(), asked, failed, worst.Round(time.Millisecond), files, kib)
			counted.add(name, func(r *tally.Row) {
				r.Points += int(made.Load())
				r.All += int(made.Load())
				r.Runs += asked
				r.Lost += failed
			})
			// Beside the 128 of one address: the good client's, strangers' that are
			// being dropped, and the daemon's own files.
			if !enough() || files > before+128+32 || kib > maxKiB {
				t.Errorf("got %d asked, %d assaults, %d files, %d KiB, want 5 and 100 at least, %d and %d at most", asked, made.Load(), files, kib, before+128+32, maxKiB)
			}
			if !a.eventually(func() bool { return a.files() <= before+2 }) {
				t.Errorf("got %d open files, want %d, which were open before, or two more", a.files(), before)
			}
			if err := good.ask(address); err != nil {
				t.Errorf("after it all: got %v, want an answer", err)
			}
			a.stop(t)
			if strings.Contains(a.log.String(), "panic") || len(a.log.String()) > 1<<20 {
				t.Errorf("got the log %.2000s, want no panic in it, and 1 MiB at most", a.log)
			}
		})
	}
}

// swaps are what a careless or hostile hand puts in a file's place.
var swaps = append(slices.Clone(hostilities[:4]), []hostility{
	{"rubbish", false, func(t *testing.T, path, _ string) func() {
		must(t, os.WriteFile(path, bytes.Repeat([]byte("\x00\xff[{"), 4096), 0o600))
		return nothing
	}},
	{"a file of a terabyte", false, func(t *testing.T, path, _ string) func() {
		must(t, os.WriteFile(path, []byte("x"), 0o600))
		must(t, os.Truncate(path, 1<<40))
		return nothing
	}},
	{"a socket", false, func(t *testing.T, path, _ string) func() {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		must(t, err)
		must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
		return func() { _ = unix.Close(fd) }
	}},
}...)

var daemonFiles = []string{
	"certs/ca.pem", "certs/server.pem", "certs/server.key.pem", "certs/crl.pem", "etc/whitelist.yaml", "etc/config.yaml",
}

// TestDaemonAndHostileSwaps puts things in the place of each file of a daemon
// that serves. It does not block, does not end, and serves on with what it had,
// and takes up what comes next.
func TestDaemonAndHostileSwaps(t *testing.T) {
	const name = "daemon, hostile swaps"
	// Names short enough for a socket's.
	a, ca, good := serving(t, whitelistText)
	for _, target := range daemonFiles {
		for _, bad := range swaps {
			t.Run(target+" as "+bad.name, func(t *testing.T) {
				// In one step: a whitelist that is missing for a moment lets no one in.
				path, aside := a.path(target), a.path(target)+".aside"
				exchange := func() { must(t, unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, aside, unix.RENAME_EXCHANGE)) }
				victim := a.path("victim")
				must(t, os.WriteFile(victim, []byte("mine"), 0o600))
				undo := bad.make(t, aside, victim)
				exchange()
				logged := len(a.log.String())
				must(t, a.cmd.Process.Signal(syscall.SIGHUP))
				if !a.eventually(func() bool { return strings.Contains(a.log.String()[logged:], "reading everything again") }) {
					t.Errorf("after SIGHUP: got %s, want that it reads everything again", a.log)
				}
				for range 3 {
					if err := good.ask(a.address()); err != nil {
						counted.add(name, func(r *tally.Row) { r.Lost++ })
						t.Errorf("a good client: got %v, want an answer: %v", err, a.log.String()[logged:])
					}
				}
				undo()
				exchange()
				must(t, os.RemoveAll(aside))
				if raw, err := os.ReadFile(victim); err != nil || string(raw) != "mine" {
					t.Errorf("the victim is %q", raw)
				}
				counted.add(name, func(r *tally.Row) { r.Points++; r.All++; r.Runs++ })
			})
		}
	}
	a.host.provision(t, ca)
	if !a.eventually(func() bool { serial, err := a.serial(); return err == nil && serial == a.set() }) {
		t.Errorf("got the old set, want the next one: %s", a.log)
	}
	a.stop(t)
}

// TestDaemonStartsAmongHostileFiles starts it with each of those in place: it
// says what is wrong, and ends, or waits, and never hangs or crashes.
func TestDaemonStartsAmongHostileFiles(t *testing.T) {
	const name = "daemon, hostile start"
	h := newHost(t)
	h.provision(t, pkitest.NewCA(t))
	good := h.image()
	for _, target := range append(slices.Clone(daemonFiles), "state/lock", "state/journal", "state/provenance.json") {
		for _, bad := range swaps {
			t.Run(target+" as "+bad.name, func(t *testing.T) {
				h.restore(good)
				path := h.path(target)
				must(t, os.RemoveAll(path))
				victim := h.path("victim")
				must(t, os.WriteFile(victim, []byte("mine"), 0o600))
				defer bad.make(t, path, victim)()
				a := h.start(t, nil, "status.json")
				// Without a CRL that it can load it lets no one in, and waits for one.
				closed := func() bool {
					return strings.Contains(a.log.String(), "no client is served until the CRL can be loaded")
				}
				a.eventually(func() bool { return a.address() != "" || closed() })
				up := a.address() != "" || closed()
				text := a.log.String()
				if !up && (!a.over() || a.cmd.ProcessState.ExitCode() <= 0 || !strings.Contains(text, "level=error")) {
					counted.add(name, func(r *tally.Row) { r.Lost++ })
					t.Errorf("got an agent that does not listen, want why: %s", text)
				}
				if strings.Contains(text, "panic") || strings.Contains(text, "goroutine ") {
					t.Errorf("got a crash, want none: %s", text)
				}
				if up {
					a.stop(t)
				}
				if raw, err := os.ReadFile(victim); err != nil || string(raw) != "mine" {
					t.Errorf("the victim is %q", raw)
				}
				counted.add(name, func(r *tally.Row) { r.Points++; r.All++; r.Runs++ })
			})
		}
	}
}
