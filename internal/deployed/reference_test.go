package deployed_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/deployed"
)

// party is a manager that is asked: the stand-in of deployed ones, or the
// reference manager.
type party struct {
	t      *testing.T
	name   string
	url    string
	client *http.Client

	approve, deny, expire func(machineID string)
	restart               func()
}

func clientOf(t *testing.T, ca string) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(ca)) {
		t.Fatalf("got %q, want a certificate", ca)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Timeout: time.Minute, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func standIn(t *testing.T, dialect int) *party {
	t.Helper()
	m, err := deployed.NewManager()
	if err != nil {
		t.Fatal(err)
	}
	m.Dialect2, m.Newer = dialect == 2, dialect == 2
	cert, err := m.Certificate("127.0.0.1", net.IPv4(127, 0, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(m)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return &party{
		t: t, name: "stand-in", url: server.URL, client: clientOf(t, m.CA()), deny: m.Deny, expire: m.Expire, restart: m.Restart,
		approve: func(machineID string) {
			if err := m.Approve(machineID); err != nil {
				t.Fatal(err)
			}
		},
	}
}

// reference starts the real program. Its requests expire at once where that is
// what is asked about.
func reference(t *testing.T, dialect int, more ...string) *party {
	t.Helper()
	dir := t.TempDir()
	p := &party{t: t, name: "reference manager"}
	var running *exec.Cmd
	stop := func() {
		_ = running.Process.Signal(syscall.SIGTERM)
		_ = running.Wait()
	}
	start := func() {
		urlFile := filepath.Join(dir, "url")
		_ = os.Remove(urlFile)
		running = exec.Command(bin.Path("linux_patch_manager"), append([]string{
			"serve", "--data", dir + "/data", "--url-file", urlFile, "--rate-limit", "off", "--dialect", fmt.Sprint(dialect),
		}, more...)...)
		if err := running.Start(); err != nil {
			t.Fatal(err)
		}
		for p.url = ""; p.url == ""; time.Sleep(10 * time.Millisecond) {
			if t.Context().Err() != nil {
				t.Fatal("the reference manager did not start")
			}
			text, _ := os.ReadFile(urlFile)
			p.url = strings.TrimSpace(string(text))
		}
	}
	start()
	t.Cleanup(func() { stop() })
	ca, err := os.ReadFile(dir + "/data/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	p.client = clientOf(t, string(ca))
	verb := func(name, machineID string) {
		if out, err := exec.CommandContext(t.Context(), bin.Path("linux_patch_manager"), name, "--data", dir+"/data", "--machine-id", machineID).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
	}
	p.approve = func(machineID string) { verb("approve", machineID) }
	p.deny = func(machineID string) { verb("deny", machineID) }
	p.restart = func() { stop(); start() }
	return p
}

// ask makes a request and returns what the answer looks like: the code, and of a
// JSON object the names and the kinds of its members.
func (p *party) ask(method, path, body string, header ...string) (shape string, content map[string]any) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if len(header) == 2 {
		req.Header.Set(header[0], header[1])
	}
	resp, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	switch {
	case len(raw) == 0:
		return fmt.Sprintf("%d, no body", resp.StatusCode), nil
	case json.Unmarshal(raw, &content) == nil:
		var members []string
		for _, name := range slices.Sorted(maps.Keys(content)) {
			members = append(members, fmt.Sprintf("%s %s", name, kindOf(content[name])))
		}
		return fmt.Sprintf("%d, %s: %s", resp.StatusCode, resp.Header.Get("Content-Type"), strings.Join(members, ", ")), content
	case bytes.HasPrefix(raw, []byte("-----BEGIN X509 CRL-----")):
		return fmt.Sprintf("%d, CRL, %s", resp.StatusCode, resp.Header.Get("Cache-Control")), nil
	}
	return fmt.Sprintf("%d, text", resp.StatusCode), nil
}

// kindOf tells states apart, and whether text is PEM.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		switch label, pem := strings.CutPrefix(v, "-----BEGIN "); {
		case pem:
			label, _, _ = strings.Cut(label, "-")
			return label
		case v == "":
			return "empty"
		case slices.Contains([]string{"pending", "approved", "denied", "notfound", "Database error"}, v):
			return v
		case len(v) == 64:
			return "of 64 letters and digits"
		}
		return "text"
	}
	return fmt.Sprintf("%T", v)
}

func enrollment(machineID string, more ...string) string {
	members := map[string]any{
		"machine_id": machineID, "fqdn": "h" + machineID[26:] + ".example.com", "hostname": "h", "ip_address": "192.0.2." + fmt.Sprint(len(more)+1),
		"ip_addresses": []string{"192.0.2.1"}, "os_details": map[string]string{"id": "debian"},
	}
	for i := 0; i+1 < len(more); i += 2 {
		members[more[i]] = more[i+1]
	}
	raw, _ := json.Marshal(members)
	return string(raw)
}

func machine(n int) string { return fmt.Sprintf("%032x", 0xabc000+n) }

// difference is one that is known, with the row of docs/DEPLOYED.md that says it.
type difference struct{ row, standIn, reference string }

// stricter is a request that the reference manager does not take.
func stricter(row, answer string) map[int]difference {
	return map[int]difference{0: {row, "202, application/json: polling_token of 64 letters and digits", answer}}
}

// notFound is a difference in the body alone, in the dialects in which the code
// tells the state.
func notFound(dialect int) map[int]difference {
	return map[int]difference{dialect: {"404", "404, no body", "404, application/json: error text"}}
}

// TestReferenceManagerAnswersAsDeployedOnesDo puts the same requests to the
// stand-in and to the reference manager, in both dialects. What differs is a row of
// docs/DEPLOYED.md.
func TestReferenceManagerAnswersAsDeployedOnesDo(t *testing.T) {
	const enroll, status = "/api/v1/enroll", "/api/v1/enroll/status/"
	unknown := strings.Repeat("A", 64)
	steps := []struct {
		name string
		do   func(*party) string
		// known is by dialect, 0 for both.
		known map[int]difference
	}{
		{name: "registration", do: post(enroll, enrollment(machine(1)))},
		{name: "a machine-id whose request waits", do: post(enroll, enrollment(machine(1)))},
		{name: "unknown members", do: post(enroll, enrollment(machine(2), "polling_token", "x", "new", "y"))},
		{name: "another media type", do: post(enroll, enrollment(machine(3)), "Content-Type", "text/plain")},
		{name: "bad JSON", do: post(enroll, `{"machine_id"`)},
		{name: "no body", do: post(enroll, "")},
		{name: "a list", do: post(enroll, "[]")},
		{name: "a member of another type", do: post(enroll, `{"machine_id": 7}`)},
		{name: "no machine-id", do: post(enroll, enrollment(machine(4), "machine_id", ""))},
		{name: "no fqdn", do: post(enroll, enrollment(machine(4), "fqdn", ""))},
		{name: "an address that is none", do: post(enroll, enrollment(machine(4), "ip_address", "here"))},
		{
			name: "text after the object", do: post(enroll, enrollment(machine(5))+" and more"),
			known: stricter("text after the object", "400, application/json: error text"),
		},
		{
			name: "a machine-id in capitals", do: post(enroll, enrollment(strings.ToUpper(machine(6)))),
			known: stricter("a machine-id in capitals", "400, application/json: error text"),
		},
		{
			name: "a body of more than 64 KiB", do: post(enroll, enrollment(machine(7), "pad", strings.Repeat("x", 70<<10))),
			known: stricter("a body of more than 64 KiB", "413, application/json: error text"),
		},
		{
			name: "an unknown path", do: call(http.MethodGet, "/api/v1/nothing"),
			known: notFound(0),
		},
		{
			name: "GET instead of POST", do: call(http.MethodGet, enroll),
			known: notFound(0),
		},
		{
			name: "POST to the status", do: call(http.MethodPost, status+unknown),
			known: notFound(0),
		},
		{
			name: "OPTIONS", do: call(http.MethodOptions, enroll),
			known: notFound(0),
		},
		{name: "HEAD of the registration", do: call(http.MethodHead, enroll)},
		{
			name: "HEAD of the status", do: call(http.MethodHead, status+unknown),
			known: map[int]difference{0: {"HEAD of the status", "404, no body", "405, no body"}},
		},
		{
			name: "a trailing slash", do: post(enroll+"/", enrollment(machine(8))),
			known: notFound(0),
		},
		{
			name: "two slashes", do: post("//api/v1/enroll", enrollment(machine(9))),
			known: map[int]difference{0: {"two slashes", "404, no body", "307, no body"}},
		},
		{
			name: "an unknown token", do: call(http.MethodGet, status+unknown),
			known: notFound(1),
		},
		{
			name: "a token of another shape", do: call(http.MethodGet, status+"short-1"),
			known: notFound(1),
		},
		{name: "a request that waits", do: func(p *party) string { return p.poll(p.register(machine(20))) }},
		{name: "an approved request", do: func(p *party) string {
			token := p.register(machine(21))
			p.approve(machine(21))
			return p.poll(token)
		}},
		{
			name: "a bundle that was fetched", do: func(p *party) string {
				token := p.register(machine(22), "ip_address", "192.0.2.22")
				p.approve(machine(22))
				_ = p.poll(token)
				return p.poll(token)
			},
			known: notFound(1),
		},
		{
			name: "a denied request", do: func(p *party) string {
				token := p.register(machine(23))
				p.deny(machine(23))
				return p.poll(token)
			},
			known: notFound(1),
		},
		{name: "a machine that was denied", do: func(p *party) string {
			p.register(machine(24))
			p.deny(machine(24))
			return post(enroll, enrollment(machine(24)))(p)
		}},
		{name: "the CRL", do: call(http.MethodGet, "/api/v1/pki/crl.pem")},
		{
			name: "an approved request after a restart", do: func(p *party) string {
				token := p.register(machine(25), "ip_address", "192.0.2.25")
				p.approve(machine(25))
				p.restart()
				return p.poll(token)
			},
			known: notFound(1),
		},
		{name: "a request that waits after a restart", do: func(p *party) string {
			token := p.register(machine(26))
			p.restart()
			return p.poll(token)
		}},
	}
	page, err := os.ReadFile("../../docs/DEPLOYED.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, dialect := range []int{1, 2} {
		stand, own := standIn(t, dialect), reference(t, dialect)
		for _, step := range steps {
			t.Run(fmt.Sprintf("dialect %d, %s", dialect, step.name), func(t *testing.T) {
				stand.t, own.t = t, t
				known, differs := step.known[0]
				if !differs {
					known, differs = step.known[dialect]
				}
				got, also := step.do(stand), step.do(own)
				switch {
				case differs && (got != known.standIn || also != known.reference):
					t.Errorf("got %q and %q, want %q and %q", got, also, known.standIn, known.reference)
				case !differs && got != also:
					t.Errorf("the stand-in answers %q, the reference manager %q, want no difference", got, also)
				}
				if differs && !bytes.Contains(page, []byte("\n| "+known.row+" |")) {
					t.Errorf("docs/DEPLOYED.md has no row %q, want one: it says what differs", known.row)
				}
			})
		}
	}
}

// TestReferenceManagerExpiresAsDeployedOnesDo: the host is told that its request is
// unknown, and until the row is purged its machine-id stays taken.
func TestReferenceManagerExpiresAsDeployedOnesDo(t *testing.T) {
	for _, dialect := range []int{1, 2} {
		stand, own := standIn(t, dialect), reference(t, dialect, "--pending-hours", "0.000001")
		for _, p := range []*party{stand, own} {
			token := p.register(machine(1))
			if p.expire != nil {
				p.expire(machine(1))
			}
			want := map[int]string{1: "404", 2: "200, application/json: status notfound"}[dialect]
			for !strings.HasPrefix(p.poll(token), want) {
				if t.Context().Err() != nil {
					t.Fatalf("%s: got %q, want %q", p.name, p.poll(token), want)
				}
			}
			if got := post("/api/v1/enroll", enrollment(machine(1)))(p); got != "500, application/json: error Database error" {
				t.Errorf("%s: got %q, want the unique key of the table", p.name, got)
			}
		}
	}
}

func post(path, body string, header ...string) func(*party) string {
	return func(p *party) string {
		shape, _ := p.ask(http.MethodPost, path, body, header...)
		return shape
	}
}

func call(method, path string) func(*party) string {
	return func(p *party) string {
		shape, _ := p.ask(method, path, "")
		return shape
	}
}

func (p *party) register(machineID string, more ...string) (token string) {
	p.t.Helper()
	shape, content := p.ask(http.MethodPost, "/api/v1/enroll", enrollment(machineID, more...))
	token, _ = content["polling_token"].(string)
	if token == "" {
		p.t.Fatalf("%s: got %s, want a token", p.name, shape)
	}
	return token
}

func (p *party) poll(token string) string {
	p.t.Helper()
	shape, _ := p.ask(http.MethodGet, "/api/v1/enroll/status/"+token, "")
	return shape
}
