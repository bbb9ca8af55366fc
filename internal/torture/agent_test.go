package torture_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/torture"
)

// agentConfig makes config.yaml one with which the daemon asks every second.
func (h *host) agentConfig() {
	h.config = strings.Replace(fmt.Sprintf(configText, h.dir), "enrollment:\n", "enrollment:\n  polling_interval_seconds: 1\n  report_ip: 127.0.0.1\n", 1)
	must(h.t, os.WriteFile(h.path("etc/config.yaml"), []byte(h.config), 0o640))
}

// agentCommand is the daemon, on a port of its own; l is the manager that it
// is told of, or nil.
func (h *host) agentCommand(l *lab, status string) torture.Command {
	args := []string{
		"--config", h.path("etc/config.yaml"), "--state-dir", h.path("state"), "--status-file", h.path("run/" + status),
		"--listen", "127.0.0.1:0",
	}
	if l != nil {
		args = append(args, "--enroll", l.http.URL, "--enroll-ca", l.caPath)
	}
	return torture.Command{Path: bin.Path("linux_patch_api"), Args: args, Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}}
}

// agent is a daemon under way.
type agent struct {
	*host
	cmd    *exec.Cmd
	log    *agentLog
	ended  chan struct{}
	status string
}

// agentLog is what a daemon wrote to standard error.
type agentLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *agentLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *agentLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start runs the daemon until the test ends or it is stopped.
func (h *host) start(t *testing.T, l *lab, status string) *agent {
	t.Helper()
	return h.startCommand(t, h.agentCommand(l, status), status)
}

func (h *host) startCommand(t *testing.T, c torture.Command, status string) *agent {
	t.Helper()
	// A killed one has left its own, which would be taken for this one's.
	must(t, os.RemoveAll(h.path("run/"+status)))
	a := &agent{host: h, cmd: exec.Command(c.Path, c.Args...), log: &agentLog{}, ended: make(chan struct{}), status: status}
	a.cmd.Env, a.cmd.Stderr, a.cmd.Stdout = c.Env, a.log, a.log
	must(t, a.cmd.Start())
	go func() {
		_ = a.cmd.Wait() // the exit code tells
		close(a.ended)
	}()
	t.Cleanup(func() { _ = a.cmd.Process.Kill(); <-a.ended })
	return a
}

// over tells whether the daemon has ended.
func (a *agent) over() bool {
	select {
	case <-a.ended:
		return true
	default:
		return false
	}
}

// address is where the daemon listens; empty while it does not.
func (a *agent) address() string {
	var s struct{ State, Listen string }
	raw, err := os.ReadFile(a.path("run/" + a.status))
	if err != nil || json.Unmarshal(raw, &s) != nil || s.State != "listening" {
		return ""
	}
	return s.Listen
}

// eventually waits until done, the daemon's end, or a minute.
func (a *agent) eventually(done func() bool) bool {
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && !a.over(); time.Sleep(2 * time.Millisecond) {
		if done() {
			return true
		}
	}
	return done()
}

// listening waits for the daemon to listen; false says that it ended instead.
func (a *agent) listening() bool { return a.eventually(func() bool { return a.address() != "" }) }

// stop is systemd's; the daemon ends well, and soon.
func (a *agent) stop(t *testing.T) {
	t.Helper()
	must(t, a.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-a.ended:
	case <-time.After(time.Minute):
		t.Errorf("got an agent that does not stop, want an end within a minute: %s", a.log)
		return
	}
	if code := a.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it stops with %d: got %s, want 0", code, a.log)
	}
}

// serial is that of the certificate which is served, as a client sees it who
// trusts the CA on disk.
func (a *agent) serial() (string, error) {
	ca, err := os.ReadFile(a.path("certs/ca.pem"))
	if err != nil {
		return "", err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	d := &net.Dialer{Timeout: time.Minute}
	conn, err := tls.DialWithDialer(d, "tcp", a.address(), &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: "127.0.0.1"})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return strings.ToLower(conn.ConnectionState().PeerCertificates[0].SerialNumber.Text(16)), nil
}

// client is one of the CA, at an address of this host's.
type client struct {
	config *tls.Config
	dialer net.Dialer
}

func (c client) from(ip string) client {
	c.dialer = net.Dialer{Timeout: time.Minute, LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	return c
}

// connect makes a connection that has shaken hands.
func (c client) connect(address string) (*tls.Conn, error) {
	plain, err := c.dialer.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(plain, c.config)
	_ = conn.SetDeadline(time.Now().Add(c.dialer.Timeout))
	if err := conn.Handshake(); err != nil {
		_ = plain.Close()
		return nil, err
	}
	return conn, nil
}

// ask makes one health check.
func (c client) ask(address string) error {
	conn, err := c.connect(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && !bytes.HasPrefix(answer, []byte("HTTP/1.1 200")) {
		err = fmt.Errorf("answer %.200q", answer)
	}
	if err == nil && !bytes.Contains(answer, []byte("healthy")) {
		err = errors.New("half an answer")
	}
	return err
}

// files counts the daemon's open files, and memory tells its peak in KiB.
func (a *agent) files() int {
	names, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", a.cmd.Process.Pid))
	return len(names)
}

func (a *agent) memory(t *testing.T) (kib int) {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.cmd.Process.Pid))
	must(t, err)
	_, peak, _ := strings.Cut(string(raw), "VmHWM:")
	_, err = fmt.Sscan(peak, &kib)
	must(t, err)
	return kib
}
