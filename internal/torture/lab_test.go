package torture_test

import (
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/manager"
)

// lab is a real manager behind a real TLS socket, and what it was asked.
type lab struct {
	t      testing.TB
	server *manager.Server
	http   *httptest.Server
	caPath string
	// ahead is how far the manager's clock is ahead of ours.
	ahead atomic.Int64
	auto  atomic.Bool

	mu    sync.Mutex
	conns map[net.Conn]bool
	idle  *sync.Cond
	// registered and handedOut count what the manager acted on.
	registered, handedOut int
	// posts counts registrations that were asked for.
	posts int
	// secrets are all tokens and keys that the manager gave out.
	secrets []string
}

func newLab(t testing.TB, opt manager.Options) *lab {
	t.Helper()
	l := &lab{t: t, conns: map[net.Conn]bool{}}
	l.idle = sync.NewCond(&l.mu)
	l.auto.Store(true)
	opt.Dir = t.TempDir()
	opt.NoRateLimit = true
	opt.Now = func() time.Time { return time.Now().Add(time.Duration(l.ahead.Load())) }
	opt.AutoApprove = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s, err := manager.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	conf, err := s.TLSConfig([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	conf.NextProtos = nil
	l.server = s
	l.http = httptest.NewUnstartedServer(l)
	l.http.TLS = conf
	l.http.Config.ErrorLog = log.New(io.Discard, "", 0)
	l.http.Config.ConnState = l.connection
	l.http.StartTLS()
	l.caPath = filepath.Join(t.TempDir(), "manager-ca.pem")
	if err := os.WriteFile(l.caPath, s.CAPEM(), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.http.Close()
		_ = s.Close()
	})
	return l
}

func (l *lab) connection(c net.Conn, state http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch state {
	case http.StateClosed, http.StateHijacked:
		delete(l.conns, c)
	default:
		l.conns[c] = true
	}
	l.idle.Broadcast()
}

// settle waits until the manager has dealt with all that a killed program had
// sent: a killed program's connections are closed by the kernel. Those that are
// not accepted yet stand before one of ours in the queue.
func (l *lab) settle() {
	last, err := net.Dial("tcp", l.http.Listener.Addr().String())
	must(l.t, err)
	defer last.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	ours := func(c net.Conn) bool { return c.RemoteAddr().String() == last.LocalAddr().String() }
	for !slices.ContainsFunc(slices.Collect(maps.Keys(l.conns)), ours) || len(l.conns) > 1 {
		l.idle.Wait()
	}
}

func (l *lab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	if r.Method == http.MethodPost && !l.auto.Load() {
		// From elsewhere, so that it waits for an approval.
		r.RemoteAddr = "192.0.2.7:1"
	}
	l.server.Handler().ServeHTTP(rec, r)
	body := rec.Body.String()
	l.mu.Lock()
	if r.Method == http.MethodPost {
		l.posts++
		if rec.Code < 300 {
			l.registered++
			l.secrets = append(l.secrets, between(body, `"polling_token":"`, `"`))
		}
	}
	if strings.Contains(body, "server_key") {
		l.handedOut++
		l.secrets = append(l.secrets, keyLines(body)...)
	}
	l.mu.Unlock()
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(rec.Code)
	_, _ = io.WriteString(w, body)
}

func between(s, before, after string) string {
	_, s, _ = strings.Cut(s, before)
	s, _, _ = strings.Cut(s, after)
	return s
}

// keyLines returns the lines of the private key in an answer.
func keyLines(body string) []string {
	key := between(body, `-----BEGIN PRIVATE KEY-----\n`, `\n-----END`)
	return strings.Split(key, `\n`)
}

// counts returns the counters.
func (l *lab) counts() (posts, registered, handedOut int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.posts, l.registered, l.handedOut
}

// canaries returns the secrets that were given out so far.
func (l *lab) canaries() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.secrets...)
}

// forget makes the manager one that knows no one.
func (l *lab) forget() {
	l.deny()
	l.removeHosts()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posts, l.registered, l.handedOut, l.secrets = 0, 0, 0, nil
}

// deny is an administrator who denies all requests.
func (l *lab) deny() {
	pending, err := l.server.Pending()
	must(l.t, err)
	for _, p := range pending {
		must(l.t, l.server.Deny(p.ID))
	}
}

// removeHosts is an administrator who removes all hosts.
func (l *lab) removeHosts() {
	hosts, err := l.server.Hosts()
	must(l.t, err)
	for _, h := range hosts {
		must(l.t, l.server.RemoveHost(h.ID))
	}
}

// approve is an administrator who approves all that waits.
func (l *lab) approve() {
	pending, err := l.server.Pending()
	must(l.t, err)
	for _, p := range pending {
		_, err := l.server.Approve(p.ID)
		must(l.t, err)
	}
}

// serial is that of the one host which the manager knows.
func (l *lab) serial() string {
	hosts, err := l.server.Hosts()
	must(l.t, err)
	if len(hosts) != 1 {
		l.t.Fatalf("the manager knows %d hosts, want 1", len(hosts))
	}
	return hosts[0].Serial
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
