package manager_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/linux-patch/enroll/internal/manager"
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// buffer collects what several goroutines write.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// lab is a manager behind a real TLS socket, and a caller's view of it. What
// the caller sends and expects is written here from the contract, not from the
// types that the manager uses.
type lab struct {
	t      *testing.T
	s      *manager.Server
	ts     *httptest.Server
	clock  *clock
	access *buffer
	events *buffer
	client *http.Client
}

func newLab(t *testing.T, opt manager.Options) *lab {
	t.Helper()
	l := &lab{t: t, clock: &clock{now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}, access: &buffer{}, events: &buffer{}}
	if opt.Dir == "" {
		opt.Dir = t.TempDir()
	}
	if opt.Now == nil {
		opt.Now = l.clock.Now
	}
	opt.AccessLog = l.access
	opt.Log = logrus.New()
	opt.Log.SetOutput(l.events)
	s, err := manager.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	conf, err := s.TLSConfig([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	l.s = s
	l.ts = httptest.NewUnstartedServer(s.Handler())
	l.ts.TLS = conf
	l.ts.Config.ErrorLog = log.New(l.events, "", 0)
	l.ts.StartTLS()
	l.client = l.clientFrom("127.0.0.1")
	t.Cleanup(l.stop)
	return l
}

func (l *lab) stop() {
	l.ts.Close()
	_ = l.s.Close()
}

// clientFrom makes a client whose connections come from a loopback address.
func (l *lab) clientFrom(source string) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(l.s.CAPEM())
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, Time: l.clock.Now},
		DialContext:     d.DialContext,
	}
	l.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// reply is an answer that was read to its end.
type reply struct {
	code   int
	header http.Header
	body   string
}

func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		t.Fatalf("answer %d is not a JSON object: got %v, want no error", r.code, err)
	}
	return m
}

func (l *lab) do(c *http.Client, method, path, body string, header ...string) reply {
	l.t.Helper()
	r, err := l.try(c, method, path, body, header...)
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

// try is do for goroutines, which must not end the test.
func (l *lab) try(c *http.Client, method, path, body string, header ...string) (reply, error) {
	req, err := http.NewRequest(method, l.ts.URL+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	var withURL *url.Error
	if errors.As(err, &withURL) {
		// Its URL may hold a token.
		err = withURL.Err
	}
	if err != nil {
		return reply{}, fmt.Errorf("%s: %w", method, err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(raw)}, err
}

// pollUntilDecided polls until the answer is other than pending.
func (l *lab) pollUntilDecided(dialect int, token string) string {
	for {
		r, err := l.try(l.client, "GET", "/api/v1/enroll/status/"+token, "")
		if err != nil {
			return err.Error()
		}
		got, err := state(dialect, r)
		if err != nil {
			return err.Error()
		}
		if got != "pending" {
			return got
		}
	}
}

// machine is the n-th host of a test.
func machine(n int) (id, fqdn, ip string) {
	return fmt.Sprintf("%032x", n+1), fmt.Sprintf("host%d.example.com", n), fmt.Sprintf("10.0.%d.%d", n/250, n%250+1)
}

func enrollBody(n int) string {
	id, fqdn, ip := machine(n)
	return fmt.Sprintf(`{"machine_id":%q,"fqdn":%q,"hostname":"host%d","ip_address":%q,"ip_addresses":[%q,"2001:db8::1"],
		"os_details":{"id":"debian","name":"Debian GNU/Linux","distro":"Debian GNU/Linux","version":"13","os_version":"13",
		"id_like":"","codename":"trixie","kernel":"6.12.0","architecture":"x86_64"},"from_a_newer_client":{"a":[1]}}`, id, fqdn, n, ip, ip)
}

// enroll registers the n-th host and returns its polling token.
func (l *lab) enroll(n int) string {
	l.t.Helper()
	r := l.do(l.client, "POST", "/api/v1/enroll", enrollBody(n))
	if r.code != 202 {
		l.t.Fatalf("registration of host %d: %d %s, want 202", n, r.code, r.body)
	}
	token, _ := r.json(l.t)["polling_token"].(string)
	return token
}

func (l *lab) poll(token string) reply {
	l.t.Helper()
	return l.do(l.client, "GET", "/api/v1/enroll/status/"+token, "")
}

// pendingID finds the id of the n-th host's request.
func (l *lab) pendingID(n int) string {
	l.t.Helper()
	id, _, _ := machine(n)
	rows, err := l.s.Pending()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, p := range rows {
		if p.MachineID == id {
			return p.ID
		}
	}
	l.t.Fatalf("host %d is not pending", n)
	return ""
}

func (l *lab) approve(n int) manager.Host {
	l.t.Helper()
	h, err := l.s.Approve(l.pendingID(n))
	if err != nil {
		l.t.Fatal(err)
	}
	return h
}

func (l *lab) login() string {
	l.t.Helper()
	r := l.do(l.client, "POST", "/api/v1/auth/login", fmt.Sprintf(`{"username":"admin","password":%q,"totp_code":"123456"}`, l.s.AdminToken()))
	if r.code != 200 {
		l.t.Fatalf("login: got %d, want 200", r.code)
	}
	token, _ := r.json(l.t)["access_token"].(string)
	return "Bearer " + token
}

func certOf(t *testing.T, text any) *x509.Certificate {
	t.Helper()
	s, _ := text.(string)
	block, rest := pem.Decode([]byte(s))
	if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
		t.Fatal("not one PEM certificate")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// state names what a poll's answer says in its dialect; an answer that is not
// exactly the contract's is an error.
func state(dialect int, r reply) (string, error) {
	if dialect == 1 {
		switch r.code {
		case 202:
			return "pending", nil
		case 403:
			return "denied", nil
		case 404:
			return "notfound", nil
		}
	}
	if r.code != 200 {
		return "", fmt.Errorf("answer %d is none of dialect %d", r.code, dialect)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		return "", err
	}
	status, has := m["status"].(string)
	if dialect == 2 {
		return status, nil
	}
	if has {
		return "", errors.New("dialect 1: the bundle has a status field")
	}
	return "approved", nil
}

func (l *lab) state(dialect int, r reply) string {
	l.t.Helper()
	got, err := state(dialect, r)
	if err != nil {
		l.t.Fatal(err)
	}
	return got
}
