package docscheck_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/ansible"
	"github.com/linux-patch/enroll/internal/converse"
	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/manager"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// host is a host under a directory of its own, laid out as in production, and
// whom it enrolls with.
type host struct {
	t   *testing.T
	dir string
	// options are the arguments of each run, on top of the paths.
	options map[string]any
	// change alters the use case before a run: its clock, its identity.
	change func(*enroll.Enroller)
	// dial alters how it talks to its manager.
	dial func(*managerclient.Options)
	// observe sees each request to a scripted manager.
	observe func(*http.Request)
}

func newHost(t *testing.T) *host {
	h := &host{t: t, dir: t.TempDir(), options: map[string]any{
		"wait": false, "fqdn": "web1.example.com", "report_ip": "192.0.2.21", "polling_interval_seconds": 1,
	}}
	certs := "/etc/linux_patch_api/certs"
	h.options["state_dir"] = h.path("/var/lib/linux_patch_enroll")
	h.options["config_path"] = h.path("/etc/linux_patch_api/config.yaml")
	h.write("/etc/linux_patch_api/config.yaml", "tls:\n  ca_cert: "+h.path(certs+"/ca.pem")+
		"\n  server_cert: "+h.path(certs+"/server.pem")+"\n  server_key: "+h.path(certs+"/server.key.pem")+
		"\n  crl_path: "+h.path(certs+"/crl.pem")+"\nwhitelist:\n  path: "+h.path("/etc/linux_patch_api/whitelist.yaml")+
		"\nlogging:\n  file_path: "+h.path("/var/log/linux_patch_api/audit.log")+"\n", 0o640)
	return h
}

// path is where a production path is for this host.
func (h *host) path(production string) string { return h.dir + production }

func (h *host) write(production, content string, mode os.FileMode) {
	h.t.Helper()
	path := h.path(production)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		h.t.Fatal(err)
	}
	// What a umask took away.
	if err := os.Chmod(path, mode); err != nil {
		h.t.Fatal(err)
	}
}

// outcome is what a test reads of a result.
type outcome struct {
	Msg      string
	State    string
	Changed  bool
	Warnings []string
	Error    *struct{ Code, Hint string }
}

// run runs the module with more options; a nil takes one out.
func (h *host) run(ctx context.Context, more map[string]any) outcome {
	h.t.Helper()
	options := map[string]any{}
	for _, m := range []map[string]any{h.options, more} {
		for name, value := range m {
			options[name] = value
			if value == nil {
				delete(options, name)
			}
		}
	}
	raw, err := json.Marshal(options)
	if err != nil {
		h.t.Fatal(err)
	}
	var out bytes.Buffer
	ansible.Program{
		Args: []string{"-"}, Stdin: bytes.NewReader(raw), Stdout: &out, Files: afero.NewOsFs(), Version: "test",
		Reader: ansible.Reader{Getenv: os.Getenv},
		Enroller: func(secret func(string)) (*enroll.Enroller, error) {
			e, err := enroll.OnThisHost("enrollment/test", secret)
			if err != nil {
				return nil, err
			}
			if h.change != nil {
				h.change(e)
			}
			dial := e.Dial
			e.Dial = func(o managerclient.Options) (converse.ManagerClient, error) {
				o.Retry.Wait = time.Millisecond // for the test to end soon
				if h.dial != nil {
					h.dial(&o)
				}
				return dial(o)
			}
			return e, nil
		},
	}.Main(ctx)
	var o outcome
	if err := json.Unmarshal(out.Bytes(), &o); err != nil {
		h.t.Fatalf("no JSON object on standard output: %v: got %s, want no error", err, out.String())
	}
	return o
}

// real starts a reference manager and points the host at it.
func (h *host) real(opt manager.Options) *manager.Server {
	h.t.Helper()
	opt.Dir, opt.NoRateLimit = h.t.TempDir(), true
	s, err := manager.New(opt)
	if err != nil {
		h.t.Fatal(err)
	}
	conf, err := s.TLSConfig([]string{"127.0.0.1"})
	if err != nil {
		h.t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln, conf) }()
	h.t.Cleanup(func() {
		stop()
		<-ended
		_ = s.Close()
	})
	h.trust("https://"+ln.Addr().String(), string(s.CAPEM()))
	return s
}

func (h *host) trust(url, ca string) {
	h.options["manager_url"], h.options["manager_ca_pem"] = url, ca
}

// approve approves all that waits.
func approve(t *testing.T, s *manager.Server) {
	t.Helper()
	rows, err := s.Pending()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range rows {
		if _, err := s.Approve(p.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// answer is one answer of a scripted manager; code 0 closes the connection.
type answer struct {
	code   int
	body   string
	header map[string]string
}

// goodToken is what scripted managers hand out.
var goodToken = answer{code: 202, body: `{"polling_token":"` + strings.Repeat("t0K", 20) + `"}`}

// scripted starts a manager that gives the answers in turn, the last again and
// again, and points the host at it.
func (h *host) scripted(answers ...answer) {
	h.t.Helper()
	ca := pkitest.NewCA(h.t)
	h.scriptedWith(ca, ca.Issue(h.t, pkitest.IP("127.0.0.1")).TLS(), answers...)
}

func (h *host) scriptedWith(ca *pkitest.CA, cert tls.Certificate, answers ...answer) {
	h.t.Helper()
	var mu sync.Mutex
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		if h.observe != nil {
			h.observe(r)
		}
		a := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		mu.Unlock()
		if a.code == 0 {
			if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
				_ = conn.Close()
			}
			return
		}
		for name, value := range a.header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(a.code)
		_, _ = io.WriteString(w, a.body)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.StartTLS()
	h.t.Cleanup(server.Close)
	h.trust(server.URL, ca.PEM())
}

// bundle is an approved answer, of a certificate for the host.
func bundle(t *testing.T, ca *pkitest.CA, options ...pkitest.Option) answer {
	t.Helper()
	who := []pkitest.Option{pkitest.DNS("web1.example.com"), pkitest.IP("192.0.2.21")}
	raw, err := json.Marshal(ca.Issue(t, append(who, options...)...).Bundle(t))
	if err != nil {
		t.Fatal(err)
	}
	return answer{code: 200, body: string(raw)}
}

const day = 24 * time.Hour
