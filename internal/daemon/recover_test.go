package daemon

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// Whatever moment a run was killed at while it put a new set in place: the
// daemon starts, with the old set or the new one, and leaves no journal.
func TestKilledRunIsFinishedAtStart(t *testing.T) {
	var finished, undone int
	for at := 1; ; at++ {
		h := newHost(t)
		before, after := h.leaf(pkitest.Serial(1)), h.leaf(pkitest.Serial(2))
		h.install(before)
		h.write("state/lock", "")
		dying := &faultfs.Fs{Inner: afero.NewOsFs(), At: at, Err: errors.New("killed"), Forever: true, NoSync: true}
		_, err := h.over(dying).Commit(h.path("state/journal"), h.changes(after))
		if err == nil {
			break
		}
		_, err = os.Stat(h.path("state/journal"))
		journal := err == nil
		r := h.start()
		fingerprint := r.status(func(s status) bool { return s.State == stateListening }).Fingerprint
		switch fingerprint {
		case pki.Fingerprint(after.Cert.Raw):
			finished++
		case pki.Fingerprint(before.Cert.Raw):
			undone++
			if journal {
				t.Errorf("killed at %d: the journal was there, and the old set is served", at)
			}
		default:
			t.Errorf("killed at %d: %s is served", at, fingerprint)
		}
		if _, err := os.Stat(h.path("state/journal")); err == nil {
			t.Errorf("killed at %d: the journal is still there, want an error", at)
		}
		if left, _ := filepath.Glob(h.path("certs/.*tmp")); len(left) > 0 {
			t.Errorf("killed at %d: %v left, want none", at, left)
		}
		r.stop()
		r.code()
	}
	if finished == 0 || undone == 0 {
		t.Errorf("got %d went forward, %d back: one side was not tried, want some, some", finished, undone)
	}
}

// A run that holds the lock finishes its own work: the daemon does not meddle,
// and starts with what is there.
func TestStartLeavesAnotherRunAlone(t *testing.T) {
	h := newHost(t)
	h.install(h.leaf())
	lock, err := h.files.Lock(t.Context(), h.path("state/lock"), false, true)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	h.write("state/journal", "another run's")
	if _, err := ask(h.start().listening(), h.clientTLS()); err != nil {
		t.Error(err)
	}
	if raw, err := os.ReadFile(h.path("state/journal")); err != nil || string(raw) != "another run's" {
		t.Errorf(`got %q, %v, want "another run's"`, raw, err)
	}
}

func TestIPv6AndIPv4AreOneListener(t *testing.T) {
	if ln, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skipf("this machine has no IPv6 on loopback, as in many containers: %v", err)
	} else if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	h := newHost(t)
	leaf := h.leaf(pkitest.IP("127.0.0.1", "::1"))
	h.install(leaf)
	h.write("whitelist.yaml", "entries: ['127.0.0.1', '::1']\n")
	r := h.start("--listen", "[::]:0")
	_, port, err := net.SplitHostPort(r.listening())
	if err != nil {
		t.Fatal(err)
	}
	for _, ip := range []string{"127.0.0.1", "::1"} {
		config := h.clientTLS()
		config.ServerName = ip
		if _, err := ask(net.JoinHostPort(ip, port), config); err != nil {
			t.Errorf("%s: got %v, want no error", ip, err)
		}
	}
	h.write("whitelist.yaml", "entries: ['::1']\n")
	r.status(func(s status) bool { return len(s.Whitelist) == 1 })
	config := h.clientTLS()
	if _, err := ask(net.JoinHostPort("127.0.0.1", port), config); err == nil {
		t.Error("127.0.0.1 came in as ::ffff:127.0.0.1")
	}
}

// A stop while nothing is served is as quick as any other.
func TestStopWhileIdle(t *testing.T) {
	h := newHost(t)
	h.install(h.leaf())
	r := h.start()
	r.listening()
	for _, name := range []string{"server.pem", "server.key.pem", "ca.pem"} {
		if err := os.Remove(h.path("certs/" + name)); err != nil {
			t.Fatal(err)
		}
	}
	r.status(func(s status) bool { return s.State == stateIdle && s.Fingerprint == "" && s.Listen == "" })
	begun := time.Now()
	r.stop()
	if code := r.code(); code != 0 || time.Since(begun) > 10*time.Second {
		t.Errorf("exit code %d after %s, want 0, %v at most", code, time.Since(begun), 10*time.Second)
	}
}

// A file that is away for a moment, while someone replaces it by hand, is no
// reason to stop.
func TestAMissingFileIsWaitedFor(t *testing.T) {
	h := newHost(t)
	h.install(h.leaf())
	r := h.start()
	for range 100 {
		address := r.listening()
		gone := time.Now()
		if err := os.Rename(h.path("certs/server.pem"), h.path("certs/away")); err != nil {
			t.Fatal(err)
		}
		failed := h.asksFor(address, goneFor/2)
		if err := os.Rename(h.path("certs/away"), h.path("certs/server.pem")); err != nil {
			t.Fatal(err)
		}
		if time.Since(gone) >= goneFor {
			continue // this machine is busy: it was away for longer than a moment
		}
		if err := errors.Join(failed, h.asksFor(address, goneFor)); err != nil {
			t.Error(err)
		}
		return
	}
	t.Error("got no file that was away for a moment in 100 times, want one")
}

// asksFor asks again and again for so long, until it fails.
func (h *host) asksFor(address string, span time.Duration) error {
	for end := time.Now().Add(span); time.Now().Before(end); {
		if _, err := ask(address, h.clientTLS()); err != nil {
			return err
		}
	}
	return nil
}

// A set that is refused is judged again at every look, since time may heal it,
// and told of once.
func TestTimeHealsARefusedSet(t *testing.T) {
	h := newHost(t)
	now := time.Now()
	h.install(h.leaf(pkitest.Valid(now.Add(time.Hour), now.Add(48*time.Hour))))
	d := h.daemon()
	d.enroller.Now = func() time.Time { return now }
	a := d.newAgent()
	a.state = stateIdle
	for range 3 {
		if err := a.take(); !errors.Is(err, pki.ErrNotYetValid) {
			t.Fatal(err)
		}
	}
	if n := strings.Count(h.log.String(), "refused"); n != 1 {
		t.Errorf("told of %d times: got %s, want 1", n, h.log)
	}
	now = now.Add(time.Hour)
	if err := a.take(); err != nil || a.listener.set.Load() == nil {
		t.Error(err)
	}
}

// A link in place of a file is refused, and told of once.
func TestALinkIsRefused(t *testing.T) {
	h := newHost(t)
	h.install(h.leaf())
	r := h.start()
	address := r.listening()
	if err := os.Rename(h.path("certs/server.pem"), h.path("elsewhere.pem")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(h.path("elsewhere.pem"), h.path("certs/server.pem")); err != nil {
		t.Fatal(err)
	}
	h.logged("server.pem is a symbolic link")
	if _, err := ask(address, h.clientTLS()); err != nil {
		t.Error(err)
	}
}

// A daemon that was killed while it wrote its status leaves a temporary file,
// which the next one removes.
func TestStatusTempOfAKilledDaemonIsSwept(t *testing.T) {
	h := newHost(t)
	h.install(h.leaf())
	h.write("run/.status.json.0123456789abcdef.enroll~tmp", "half")
	h.start().listening()
	if left, _ := filepath.Glob(h.path("run/.*tmp")); len(left) > 0 {
		t.Errorf("%v left, want none", left)
	}
}
