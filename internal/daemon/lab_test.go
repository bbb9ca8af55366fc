package daemon

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// host is a host in a directory of the test, with an agent to run on it.
type host struct {
	t      testing.TB
	dir    string
	ca     *pkitest.CA
	client *pkitest.Leaf
	log    *logText
	hangup chan os.Signal
	getenv func(string) string
	lookup func(ctx context.Context, network, name string) ([]netip.Addr, error)
	files  *hostfs.Host
}

// logText is what the agent wrote to standard error.
type logText struct {
	mu   sync.Mutex
	text bytes.Buffer
	// discard is for tests that measure the memory.
	discard bool
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.discard {
		return len(p), nil
	}
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logText) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}

func newHost(t testing.TB) *host {
	t.Helper()
	ca := pkitest.NewCA(t)
	h := &host{
		t: t, dir: t.TempDir(), ca: ca, client: ca.Issue(t, pkitest.EKU(x509.ExtKeyUsageClientAuth)),
		log: &logText{}, hangup: make(chan os.Signal, 1), getenv: func(string) string { return "" },
		lookup: net.DefaultResolver.LookupNetIP,
	}
	h.files = h.over(afero.NewOsFs())
	h.write("config.yaml", fmt.Sprintf(`tls:
  ca_cert: %[1]s/certs/ca.pem
  server_cert: %[1]s/certs/server.pem
  server_key: %[1]s/certs/server.key.pem
  crl_path: %[1]s/certs/crl.pem
whitelist:
  path: %[1]s/whitelist.yaml
logging:
  file_path: %[1]s/audit.log
`, h.dir))
	h.write("whitelist.yaml", "entries: [127.0.0.1]\n")
	return h
}

// over makes a hostfs.Host over fs, with this process's rights.
func (h *host) over(fs afero.Fs) *hostfs.Host {
	return hostfs.New(fs, hostfs.Options{UID: os.Geteuid(), GID: os.Getegid(), Now: time.Now, Random: rand.Reader})
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

// write replaces a file in one step.
func (h *host) write(name, content string) {
	h.t.Helper()
	path := h.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		h.t.Fatal(err)
	}
}

// changes are a commit of a certificate with its key, in enrollment's order.
func (h *host) changes(leaf *pkitest.Leaf) []hostfs.Change {
	a := hostfs.Attributes{Mode: 0o600, UID: hostfs.Keep, GID: hostfs.Keep}
	return []hostfs.Change{
		{Path: h.path("certs/ca.pem"), Content: []byte(h.ca.PEM()), Attributes: a},
		{Path: h.path("certs/server.key.pem"), Content: []byte(leaf.KeyPEM(h.t)), Attributes: a},
		{Path: h.path("certs/server.pem"), Content: []byte(leaf.PEM()), Attributes: a},
	}
}

// install puts a certificate in place as enrollment does.
func (h *host) install(leaf *pkitest.Leaf) {
	h.t.Helper()
	for _, dir := range []string{"certs", "state"} {
		if err := os.MkdirAll(h.path(dir), 0o700); err != nil {
			h.t.Fatal(err)
		}
	}
	if _, err := h.files.Commit(h.path("state/journal"), h.changes(leaf)); err != nil {
		h.t.Fatal(err)
	}
}

// leaf issues a certificate for 127.0.0.1.
func (h *host) leaf(opts ...pkitest.Option) *pkitest.Leaf {
	return h.ca.Issue(h.t, append([]pkitest.Option{pkitest.IP("127.0.0.1")}, opts...)...)
}

func (h *host) env(args ...string) Env {
	return Env{
		Args: append([]string{
			"--config", h.path("config.yaml"), "--state-dir", h.path("state"), "--status-file", h.path("run/status.json"),
			"--listen", "127.0.0.1:0",
		}, args...),
		Stdout: io.Discard, Stderr: h.log, Getenv: h.getenv, Version: "test", Hangup: h.hangup, LookupIP: h.lookup,
		Enroller: func(secret func(string)) (*enroll.Enroller, error) { return enroll.OnThisHost("test", secret) },
	}
}

// running is an agent under way.
type running struct {
	*host
	stop  context.CancelFunc
	ended chan int
}

// start runs the agent until the test ends or stop is called.
func (h *host) start(args ...string) *running {
	ctx, stop := context.WithCancel(h.t.Context())
	r := &running{host: h, stop: stop, ended: make(chan int, 1)}
	go func() { r.ended <- Run(ctx, h.env(args...)) }()
	h.t.Cleanup(func() {
		stop()
		r.code()
	})
	return r
}

// code waits for the agent's exit code.
func (r *running) code() int {
	code := <-r.ended
	r.ended <- code
	return code
}

// status waits until the status file is as it should be.
func (r *running) status(ok func(status) bool) status {
	r.t.Helper()
	var s status
	r.eventually(func() bool {
		raw, err := os.ReadFile(r.path("run/status.json"))
		s = status{}
		return err == nil && json.Unmarshal(raw, &s) == nil && ok(s)
	}, func() string { return fmt.Sprintf("status %+v", s) })
	return s
}

func (r *running) listening() string {
	r.t.Helper()
	return r.status(func(s status) bool { return s.State == stateListening }).Listen
}

func (h *host) eventually(done func() bool, what func() string) {
	h.t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("never came true: %s, log:\n%s", what(), h.log)
		}
	}
}

func (h *host) logged(text string) {
	h.t.Helper()
	h.eventually(func() bool { return strings.Contains(h.log.String(), text) }, func() string { return "log has " + text })
}

// clientTLS is a client of the host's CA.
func (h *host) clientTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: h.ca.Pool(), Certificates: []tls.Certificate{h.client.TLS()},
	}
}

// ask makes one connection and one request, and returns the certificate that
// was served.
func ask(address string, config *tls.Config) (*x509.Certificate, error) {
	conn, err := net.DialTimeout("tcp", address, time.Minute)
	if err != nil {
		return nil, err
	}
	// No connection is left to wait: thousands are made.
	defer func() {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName = "127.0.0.1"
	}
	secure := tls.Client(conn, config)
	served, err := health(secure)
	if err != nil {
		return nil, err
	}
	return served, nil
}

func health(conn *tls.Conn) (*x509.Certificate, error) {
	if _, err := io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: agent\r\n\r\n"); err != nil {
		return nil, err
	}
	var answer [64]byte
	n, err := io.ReadAtLeast(conn, answer[:], len("HTTP/1.1 200"))
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(answer[:n], []byte("HTTP/1.1 200")) {
		return nil, fmt.Errorf("answer %q", answer[:n])
	}
	return conn.ConnectionState().PeerCertificates[0], nil
}

// daemon makes the agent's insides without running them.
func (h *host) daemon(args ...string) *daemon {
	h.t.Helper()
	env := h.env(args...)
	con := newConsole(env.Stderr, env.Stderr)
	opt, err := parseFlags(env.Args)
	if err != nil {
		h.t.Fatal(err)
	}
	d := &daemon{env: env, opt: opt, con: con, log: newLogger(con, false)}
	if d.enroller, err = env.Enroller(con.Hide); err != nil {
		h.t.Fatal(err)
	}
	if err := d.configure(); err != nil {
		h.t.Fatal(err)
	}
	return d
}

// valid is from a month ago to left from now.
func valid(now time.Time, left time.Duration) pkitest.Option {
	return pkitest.Valid(now.Add(-30*24*time.Hour), now.Add(left))
}
