package main_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// scriptedToken is what scripted managers hand out: the canary of leak tests.
const scriptedToken = "TokenCanary0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP"

// repoKey signs the repositories of bundles. Its fingerprint is in
// field_1_7_repo_config_manage.txtar.
const repoKey = `-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawssFBYJKwYBBAHaRw8BAQdAIdyIIgDRgQfmuxp/Hq863Kn4tEPlKZWTLGb/
gBEnZzy0IUxhYiBSZXBvc2l0b3J5IDxyZXBvQGV4YW1wbGUuY29tPoiQBBMWCAA4
FiEEE5AI+RfkKo3LkdKeS600DCHcdlIFAmsLLBQCGwMFCwkIBwIGFQoJCAsCBBYC
AwECHgECF4AACgkQS600DCHcdlJQGwD/f7DiiGDH6slthQWJHQ6WyBlBns//a3vb
huGwYrwkuJUA/0YTGGAfrg5KW/uXlzkMivq5ba/iepQjb6SKumHFHs0G
=PBGP
-----END PGP PUBLIC KEY BLOCK-----
`

// scriptedCmd starts a manager that answers as a file says, over real TLS, for
// answers that no honest manager gives:
//
//	scripted FILE
//
// Each line is METHOD CODE [Header=Value…] [BODY]. Lines of one method are
// answered in turn, the last again and again. CODE drop closes the connection
// after the request was read, hang never answers, and switch answers 101 and
// holds the connection. The header Delay also
// says how long the answer takes. In BODY, @token is a
// token, @bundle a good bundle, and @bundle:KIND one that is not.
// It sets MANAGER_URL and MANAGER_CA and logs to requests.log.
func scriptedCmd(ts *testscript.TestScript, neg bool, args []string) {
	t := scriptTB{ts: ts}
	m := &scripted{answers: map[string][]answer{}, log: ts.MkAbs("requests.log"), stop: make(chan struct{})}
	ca := pkitest.NewCA(t, pkitest.Name("Scripted CA"))
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			method, a := parseAnswer(ts, line, func(kind string) string { return bundle(t, ca, kind) })
			m.answers[method] = append(m.answers[method], a)
		}
	}
	ts.Check(os.WriteFile(m.log, nil, 0o600))
	server := httptest.NewUnstartedServer(m)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	leaf := ca.Issue(t, pkitest.IP("127.0.0.1"), pkitest.DNS("localhost"))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{leaf.TLS()}}
	server.StartTLS()
	ts.Defer(func() { close(m.stop); server.Close() })
	ts.Check(os.WriteFile(ts.MkAbs("manager-ca.pem"), []byte(ca.PEM()), 0o600))
	ts.Setenv("MANAGER_URL", server.URL)
	ts.Setenv("MANAGER_CA", ts.MkAbs("manager-ca.pem"))
	ts.Setenv("TOKEN", scriptedToken)
}

type answer struct {
	code    string
	headers map[string]string
	body    string
}

type scripted struct {
	mu      sync.Mutex
	answers map[string][]answer
	log     string
	stop    chan struct{}
}

func (m *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	a := m.next(r)
	switch a.code {
	case "hang":
		<-m.stop
		return
	case "switch":
		conn, out, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = out.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n")
			_ = out.Flush()
			<-m.stop
			_ = conn.Close()
		}
		return
	case "drop":
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
		return
	}
	if delay, err := time.ParseDuration(a.headers["Delay"]); err == nil {
		time.Sleep(delay)
	}
	for name, value := range a.headers {
		w.Header().Set(name, value)
	}
	code, err := strconv.Atoi(a.code)
	if err != nil {
		code = http.StatusTeapot
	}
	w.WriteHeader(code)
	_, _ = io.WriteString(w, a.body)
}

func (m *scripted) next(r *http.Request) answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := os.OpenFile(m.log, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		fmt.Fprintf(f, "%s %s\n", r.Method, strings.ReplaceAll(r.URL.Path, scriptedToken, "TOKEN"))
		_ = f.Close()
	}
	left := m.answers[r.Method]
	if len(left) == 0 {
		return answer{code: "418"}
	}
	if len(left) > 1 {
		m.answers[r.Method] = left[1:]
	}
	return left[0]
}

func parseAnswer(ts *testscript.TestScript, line string, bundle func(kind string) string) (string, answer) {
	words := strings.SplitN(line, " ", 3)
	if len(words) < 2 {
		ts.Fatalf("scripted: %q", line)
	}
	a := answer{code: words[1], headers: map[string]string{}}
	if len(words) == 3 {
		a.body = words[2]
	}
	for {
		first, rest, _ := strings.Cut(a.body, " ")
		name, value, ok := strings.Cut(first, "=")
		if !ok || strings.ContainsAny(name, `{<"@`) {
			break
		}
		a.headers[name], a.body = value, rest
	}
	if kind, ok := strings.CutPrefix(a.body, "@bundle"); ok {
		a.body = bundle(strings.TrimPrefix(kind, ":"))
	}
	if a.body == "@huge" {
		a.body = strings.Repeat("x", 64<<20)
	}
	a.body = strings.ReplaceAll(a.body, "@token", scriptedToken)
	a.body = encoded(ts, a.body, a.headers["Encode"])
	return words[0], a
}

// encoded is body in the codings that a header Encode names, the first applied
// first.
func encoded(ts *testscript.TestScript, body, codings string) string {
	for coding := range strings.SplitSeq(codings, ",") {
		var out bytes.Buffer
		var w io.WriteCloser
		switch coding {
		case "gzip":
			w = gzip.NewWriter(&out)
		case "deflate":
			w = zlib.NewWriter(&out)
		case "noise": // stands for an encoding that nobody here knows
			body = strings.Repeat("\x9c\x01", 1000)
			continue
		default:
			continue
		}
		_, err := io.WriteString(w, body)
		ts.Check(err)
		ts.Check(w.Close())
		body = out.String()
	}
	return body
}

// bundle makes a bundle with one fault, or none.
func bundle(t testing.TB, ca *pkitest.CA, kind string) string {
	who := []pkitest.Option{pkitest.DNS("web1.example.com"), pkitest.IP("127.0.0.1")}
	b := ca.Issue(t, who...).Bundle(t)
	now := time.Now()
	switch kind {
	case "", "approved":
	case "mismatch":
		b.ServerKey = ca.Issue(t, who...).Bundle(t).ServerKey
	case "same-name":
		b.CACrt = pkitest.NewCA(t, pkitest.Name("Scripted CA")).PEM()
	case "expired":
		b = ca.Issue(t, append(who, pkitest.Valid(now.Add(-48*time.Hour), now.Add(-24*time.Hour)))...).Bundle(t)
	case "soon":
		b = ca.Issue(t, append(who, pkitest.Valid(now.Add(-30*24*time.Hour), now.Add(24*time.Hour)))...).Bundle(t)
	case "future":
		b = ca.Issue(t, append(who, pkitest.Valid(now.Add(6*time.Minute), now.Add(24*time.Hour)))...).Bundle(t)
	case "ahead":
		b = ca.Issue(t, append(who, pkitest.Valid(now.Add(4*time.Minute), now.Add(90*24*time.Hour)))...).Bundle(t)
	case "other-ca":
		b = pkitest.NewCA(t, pkitest.Name("Another CA")).Issue(t, who...).Bundle(t)
	case "other-host":
		b = ca.Issue(t, pkitest.DNS("other.example.com"), pkitest.IP("192.0.2.9")).Bundle(t)
	case "legacy":
		b = ca.Issue(t, pkitest.DNS(), pkitest.IP(), pkitest.EKU(x509.ExtKeyUsageClientAuth)).Bundle(t)
	case "crl":
		b.CRLPEM = ca.CRL(t)
	case "text":
		b.CACrt = "Certificate:\n    Data:\n        Version: 3 (0x2)\n" + b.CACrt
		b.ServerCrt += "trailing text"
	case "ca-key":
		b = ca.Issue(t, append(who, pkitest.WithKey(ca.Key))...).Bundle(t)
	case "key-in-ca":
		b.CACrt += b.ServerKey
	case "two-roots":
		b.CACrt = pkitest.NewCA(t, pkitest.Name("Next CA")).PEM() + b.CACrt
	case "repo":
		raw := encodeBundle(t, "", b)
		return raw[:len(raw)-1] + `,"repo_config":{"gpg_public_key":"K","sources_config":"S","distro_id":"debian","keyring_path":"/etc/passwd"}}`
	case "apt-repo", "evil-repo", "http-repo":
		sources := map[string]string{
			"apt-repo":  "deb [arch=amd64 signed-by=/usr/share/keyrings/linux-patch.gpg] https://repo.example.com/apt bookworm main\n",
			"evil-repo": "Types: deb\nTrusted: yes\nURIs: https://repo.example.com/apt\nSuites: bookworm\nComponents: main\nSigned-By: /etc/passwd\n",
			"http-repo": "deb https://repo.example.com/apt bookworm main\ndeb http://repo.example.com/apt bookworm main\n",
		}[kind]
		repo, err := json.Marshal(map[string]string{
			"gpg_public_key": repoKey, "sources_config": sources, "distro_id": "debian", "keyring_path": "/etc/passwd",
		})
		if err != nil {
			t.Fatal(err)
		}
		raw := encodeBundle(t, "", b)
		return raw[:len(raw)-1] + `,"repo_config":` + string(repo) + "}"
	case "odd-repo":
		raw := encodeBundle(t, "", b)
		return raw[:len(raw)-1] + `,"repo_config":"none"}`
	case "reissue":
		raw, err := json.Marshal(map[string]string{
			"cert_pem": ca.Issue(t).PEM(), "key_pem": ca.Issue(t).KeyPEM(t), "serial_number": "1", "expires_at": "2030-01-01T00:00:00Z",
			"server_cert_pem": b.ServerCrt, "server_key_pem": b.ServerKey, "server_serial_number": "2", "ca_root_pem": b.CACrt,
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	case "cut":
		raw := encodeBundle(t, "", b)
		return raw[:len(raw)-40]
	default:
		t.Fatalf("no such bundle: %s", kind)
	}
	status := ""
	if kind == "approved" {
		status = contract.StatusApproved
	}
	return encodeBundle(t, status, b)
}

func encodeBundle(t testing.TB, status string, b contract.PkiBundle) string {
	raw, err := json.Marshal(contract.PollingStatus{Status: status, PkiBundle: b})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// requestsCmd checks how many requests a scripted manager has seen:
//
//	requests METHOD N
func requestsCmd(ts *testscript.TestScript, neg bool, args []string) {
	n := 0
	lines := bufio.NewScanner(bytes.NewReader([]byte(ts.ReadFile("requests.log"))))
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), args[0]+" ") {
			n++
		}
	}
	if strconv.Itoa(n) != args[1] {
		ts.Fatalf("%d %s requests, want %s", n, args[0], args[1])
	}
}

// scriptTB lets a script's command use what is made for tests.
type scriptTB struct {
	testing.TB
	ts *testscript.TestScript
}

func (t scriptTB) Helper()                   {}
func (t scriptTB) Fatal(args ...any)         { t.ts.Fatalf("%s", fmt.Sprint(args...)) }
func (t scriptTB) Fatalf(f string, a ...any) { t.ts.Fatalf(f, a...) }
func (t scriptTB) Errorf(f string, a ...any) { t.ts.Fatalf(f, a...) }
func (t scriptTB) Error(args ...any)         { t.Fatal(args...) }
