package daemon

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// systemd is the other side of the notify socket.
func systemd(t *testing.T, name string) func(want string) {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return func(want string) {
		t.Helper()
		buffer := make([]byte, 4096)
		for {
			if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			n, err := conn.Read(buffer)
			if err != nil {
				t.Fatalf("waiting for %q: got %v, want no error", want, err)
			}
			if strings.HasPrefix(string(buffer[:n]), want) {
				return
			}
		}
	}
}

func TestSystemdIsToldOfEachPhase(t *testing.T) {
	for _, kind := range []string{"path", "abstract"} {
		t.Run(kind, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "notify")
			if kind == "abstract" {
				name = "@" + strings.ReplaceAll(name, "/", "-")
			}
			expect := systemd(t, name)
			h := newHost(t)
			h.install(h.leaf())
			h.getenv = func(key string) string {
				return map[string]string{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "200000"}[key]
			}
			r := h.start()
			expect("READY=1\nSTATUS=listening on 127.0.0.1:")
			expect("WATCHDOG=1")
			h.hangup <- nil
			expect("RELOADING=1\nMONOTONIC_USEC=")
			expect("READY=1")
			r.stop()
			expect("STOPPING=1")
			if code := r.code(); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
		})
	}
}

func TestWatchdogIsForThisProcess(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want time.Duration
	}{
		{map[string]string{"NOTIFY_SOCKET": "/run/s", "WATCHDOG_USEC": "30000000"}, 30 * time.Second},
		{map[string]string{"NOTIFY_SOCKET": "/run/s", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 30 * time.Second},
		{map[string]string{"NOTIFY_SOCKET": "/run/s", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, 0},
		{map[string]string{"NOTIFY_SOCKET": "/run/s", "WATCHDOG_USEC": "-1"}, 0},
		{map[string]string{"NOTIFY_SOCKET": "/run/s", "WATCHDOG_USEC": "x"}, 0},
		{map[string]string{"NOTIFY_SOCKET": "vsock:1:2", "WATCHDOG_USEC": "30000000"}, 0},
		{map[string]string{"WATCHDOG_USEC": "30000000"}, 0},
	} {
		if got := newNotifier(func(key string) string { return test.env[key] }, 42).watchdog; got != test.want {
			t.Errorf("%v: %s, want %s", test.env, got, test.want)
		}
	}
}

// A notify socket that no one reads is no reason to end.
func TestDaemonRunsOnWithoutItsSocket(t *testing.T) {
	h := newHost(t)
	h.install(h.leaf())
	h.getenv = func(key string) string {
		return map[string]string{"NOTIFY_SOCKET": h.path("nobody")}[key]
	}
	if _, err := ask(h.start().listening(), h.clientTLS()); err != nil {
		t.Error(err)
	}
}
