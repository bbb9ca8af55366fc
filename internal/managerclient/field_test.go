package managerclient

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
)

// The request says the address of the connection that carries it, IPv4 first,
// and by the other family where the first leads nowhere.
func TestField1_3_AddressOfTheConnection(t *testing.T) {
	v4, v6 := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
	seen := make(chan netip.Addr, 1)
	listen := func(network, address string) string {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Skipf("this machine has no loopback for %s: %v", network, err)
		}
		s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var asked contract.EnrollmentRequest
			_ = json.NewDecoder(r.Body).Decode(&asked)
			from, _ := netip.ParseAddrPort(r.RemoteAddr)
			seen <- from.Addr()
			if asked.IPAddress != from.Addr().String() || r.ContentLength <= 0 {
				t.Errorf("got ip_address %s and length %d, want %s and a length", asked.IPAddress, r.ContentLength, from)
			}
			fmt.Fprintf(w, `{"polling_token":%q}`, tokenCanary)
		})}
		go func() { _ = s.Serve(l) }()
		t.Cleanup(func() { s.Close() })
		_, port, _ := net.SplitHostPort(l.Addr().String())
		return port
	}
	four := listen("tcp4", "127.0.0.1:0")
	six := listen("tcp6", "[::1]:0")
	both := listen("tcp4", "127.0.0.1:0")
	if l, err := net.Listen("tcp6", "[::1]:"+both); err == nil {
		defer l.Close()
	}
	nothing := func(context.Context, string, string) ([]netip.Addr, error) {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	hang := func(ctx context.Context, _, _ string) ([]netip.Addr, error) { <-ctx.Done(); return nil, ctx.Err() }
	is := func(a ...netip.Addr) func(context.Context, string, string) ([]netip.Addr, error) {
		return func(context.Context, string, string) ([]netip.Addr, error) { return a, nil }
	}
	for _, c := range []struct {
		name, port string
		a, aaaa    func(context.Context, string, string) ([]netip.Addr, error)
		ipv6       bool
		want       netip.Addr
	}{
		{"A and AAAA, IPv4 only", four, is(v4), is(v6), false, v4},
		{"A and AAAA, both work", both, is(v4), is(v6), false, v4},
		{"the A leads nowhere", six, is(v4), is(v6), false, v6},
		{"no A", six, nothing, is(v6), false, v6},
		{"no AAAA", four, is(v4), nothing, false, v4},
		{"the A is never looked up", six, hang, is(v6), false, v6},
		{"the AAAA is never looked up", four, is(v4), hang, true, v4},
		{"IPv6 wanted, IPv4 only", four, is(v4), is(v6), true, v4},
		{"IPv6 wanted", six, is(v4), is(v6), true, v6},
		{"the first of two As leads nowhere", four, is(netip.MustParseAddr("127.0.0.2"), v4), is(v6), false, v4},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := clientFor(t, "http://localhost:"+c.port, func(o *Options) { o.Timeout, o.IPv6 = 6*time.Second, c.ipv6 })
			sender := client.http.Transport.(withholdLocation).next.(attempt)
			sender.dial.lookup = func(ctx context.Context, network, host string) ([]netip.Addr, error) {
				if network == "ip4" {
					return c.a(ctx, network, host)
				}
				return c.aaaa(ctx, network, host)
			}
			got, err := client.Register(t.Context(), func(local netip.Addr) contract.EnrollmentRequest {
				asked := anyRequest
				asked.IPAddress = local.String()
				return asked
			})
			if err != nil || got.Local != c.want || <-seen != c.want {
				t.Errorf("got %v, %v, want %v", got.Local, err, c.want)
			}
		})
	}
}

// A 1xx that is final has no body to wait for, and a connection that stays open
// holds no one.
func TestField3_2_FinalInformationalAnswer(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nContent-Length: 99\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.0 101 x\r\n\r\n",
		strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 4) + "HTTP/1.1 101 x\r\n\r\n",
		strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 9000),
		strings.Repeat("HTTP/1.1 199 x\r\n\r\n", 9000),
	} {
		url, _ := rawServer(t, func(c net.Conn, _ *http.Request) {
			_, _ = io.WriteString(c, answer)
			_, _ = io.Copy(io.Discard, c) // stays open
		})
		// The deadline plays no part in it: at its end the code would be another.
		client := clientFor(t, url, func(o *Options) { o.Timeout = 5 * time.Minute })
		a, err := client.Poll(t.Context(), tokenCanary)
		if err == nil {
			if j := a.Judge(DialectUnknown); j.Verdict != OnTheWay {
				t.Errorf("%.40q: got the verdict %v, want %v", answer, j.Verdict, OnTheWay)
			}
		}
		if _, err := client.register(t.Context()); contract.CodeOf(err) != contract.CodeBadAnswer {
			t.Errorf("%.40q: got %v, want %s", answer, err, contract.CodeBadAnswer)
		}
	}
}

// coded is body in the codings, the first applied first.
func coded(t *testing.T, body []byte, codings ...string) []byte {
	t.Helper()
	for _, coding := range codings {
		var out bytes.Buffer
		var w io.WriteCloser
		switch coding {
		case "gzip":
			w = gzip.NewWriter(&out)
		case "zlib":
			w = zlib.NewWriter(&out)
		case "flate":
			w, _ = flate.NewWriter(&out, 9)
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
		w.Close()
		body = out.Bytes()
	}
	return body
}

// An encoded answer is decoded, and what can't be decoded is kept.
func TestField2_6_EncodedAnswers(t *testing.T) {
	plain := []byte(`{"ca_crt":"CA","server_crt":"CERT","server_key":"` + strings.Repeat("KEY", 400) + `"}`)
	random := make([]byte, 4096)
	for i := range random {
		random[i] = byte(i * 7919 >> 3)
	}
	for _, c := range []struct {
		name     string
		headers  []string
		body     []byte
		encoding string // of what is kept raw
	}{
		{"gzip", []string{"gzip"}, coded(t, plain, "gzip"), ""},
		{"other letter case", []string{"GZip"}, coded(t, plain, "gzip"), ""},
		{"old name", []string{" x-gzip "}, coded(t, plain, "gzip"), ""},
		{"deflate", []string{"deflate"}, coded(t, plain, "zlib"), ""},
		{"bare deflate", []string{"deflate"}, coded(t, plain, "flate"), ""},
		{"identity", []string{"identity"}, plain, ""},
		{"empty header", []string{" , "}, plain, ""},
		{"one over the other", []string{"deflate, gzip"}, coded(t, plain, "zlib", "gzip"), ""},
		{"in two headers", []string{"gzip", "identity", "gzip"}, coded(t, plain, "gzip", "gzip"), ""},
		{"two members", []string{"gzip"}, append(coded(t, plain[:90], "gzip"), coded(t, plain[90:], "gzip")...), ""},
		{"said and not done", []string{"gzip"}, plain, ""},
		{"done and not said", nil, coded(t, plain, "gzip"), ""},
		{"said br and not done", []string{"br"}, plain, ""},
		{"br", []string{"br"}, random, "br"},
		{"zstd over gzip", []string{"gzip, zstd"}, random, "gzip, zstd"},
		{"damaged", []string{"gzip"}, random, "gzip"},
		{"cut", []string{"gzip"}, coded(t, append(plain, random...), "gzip")[:600], "gzip"},
		{"many", []string{"gzip, gzip, gzip, gzip, gzip"}, random, "gzip, gzip, gzip, gzip, gzip"},
	} {
		url, _ := rawServer(t, func(conn net.Conn, _ *http.Request) {
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n", len(c.body))
			for _, h := range c.headers {
				fmt.Fprintf(conn, "Content-Encoding: %s\r\n", h)
			}
			_, _ = conn.Write(append([]byte("\r\n"), c.body...))
		})
		a, err := clientFor(t, url, nil).Poll(t.Context(), tokenCanary)
		want := plain
		if c.encoding != "" {
			want = c.body
		}
		if err != nil || a.Encoding != c.encoding || !bytes.Equal(a.Body, want) {
			t.Errorf("%s: got %d bytes encoded as %q, %v; want %d, %q", c.name, len(a.Body), a.Encoding, err, len(want), c.encoding)
		}
		verdict := Approved
		if c.encoding != "" {
			verdict = Bad
		}
		if j := a.Judge(DialectBody); j.Verdict != verdict {
			t.Errorf("%s: got the verdict %v, want %v", c.name, j.Verdict, verdict)
		}
	}
	// What is too small for a bundle is none.
	if j := (Answer{HTTPStatus: 200, Encoding: "br", Body: random[:200]}).Judge(DialectBody); j.Verdict != OnTheWay {
		t.Errorf("a small one: got %v, want %v", j.Verdict, OnTheWay)
	}
}

// A list of revoked certificates over the limit is left out while reading; the
// key material is whole, wherever the list stands.
func TestField2_16_ListOverTheLimit(t *testing.T) {
	list := strings.Repeat("x", 1000)
	for _, body := range []string{
		`{"crl_pem":"` + list + `","ca_crt":"CA","server_crt":"CERT","server_key":"KEY"}`,
		`{"ca_crt":"CA","server_crt":"CERT","server_key":"KEY","crl_pem":"` + list + `"}`,
		`{ "ca_crt" : "CA" , "crl_pem" : "a\"\\` + list + `\\" , "server_crt":"CERT","server_key":"KEY","x":{"crl_pem":"kept"}}`,
	} {
		k := keeper{limit: 1 << 20, crlLimit: 100}
		if _, err := k.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
		verdict, bundle, err := Judge(200, k.kept)
		if verdict != Approved || bundle.ServerKey != "KEY" || bundle.CRLPEM != "" || !k.skipped {
			t.Errorf("got %v, %v, skipped %v from %.60q, want approved with its key, the long member skipped", verdict, err, k.skipped, body)
		}
		kept := keeper{limit: 1 << 20, crlLimit: 2000}
		if _, err := kept.Write([]byte(body)); err != nil || string(kept.kept) != body || kept.skipped {
			t.Errorf("within the limit: got %q, %v, want all of it", kept.kept, err)
		}
	}
}

// FuzzKeeper: what is kept of an answer reads as the answer does, but for a list
// that was left out.
func FuzzKeeper(f *testing.F) {
	for _, s := range []string{
		`{"ca_crt":"CA","crl_pem":"0123456789abcdef","server_key":"K"}`, `{"crl_pem":"a\"bcdefghijkl\\"}`, `{"x":[{"crl_pem":"0123456789"}],"crl_pem":"0123456789"}`,
		`{"crl_pem":["0123456789"]}`, `["crl_pem","0123456789"]`, `{"a":"crl_pem","b":"0123456789"}`,
	} {
		f.Add([]byte(s))
	}
	read := func(body []byte) (map[string]string, error) {
		var ca, crl, key string
		err := readMembers(body, map[string]*string{"ca_crt": &ca, crlMember: &crl, "server_key": &key})
		return map[string]string{"ca_crt": ca, crlMember: crl, "server_key": key}, err
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		k := keeper{limit: 1 << 20, crlLimit: 8}
		if _, err := k.Write(body); err != nil {
			t.Skip("too long")
		}
		if !k.skipped && !bytes.Equal(k.kept, body) {
			t.Fatalf("got %q, want %q", k.kept, body)
		}
		want, err := read(body)
		if err != nil {
			return
		}
		got, err := read(k.kept)
		if k.skipped {
			want[crlMember] = ""
		}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q: got %v, %v, want %v", body, got, err, want)
		}
	})
}

// FuzzContent: whatever comes in whatever encoding, the body is bounded, and
// what is not decoded is what came.
func FuzzContent(f *testing.F) {
	f.Add("gzip", []byte("\x1f\x8b"))
	f.Add("deflate, gzip", []byte(`{"status":"pending"}`))
	f.Add("BR", []byte("x"))
	f.Fuzz(func(t *testing.T, encoding string, raw []byte) {
		c, err := readContent(http.Header{"Content-Encoding": {encoding}}, bytes.NewReader(raw), 1<<16)
		if err != nil {
			t.Fatalf("%v without a network, want no error", err)
		}
		if len(c.body) > 1<<16+1 {
			t.Errorf("a body of %d bytes, want %v at most", len(c.body), 1<<16+1)
		}
		if c.encoding != "" && !bytes.HasPrefix(raw, c.body) {
			t.Errorf("got %q, want the beginning of %q", c.body, raw)
		}
	})
}

// What a gateway says is no verdict, whatever it says.
func TestField1_14_GatewayAnswers(t *testing.T) {
	const page, text, object = "<!DOCTYPE html>denied", "404 page not found\n", `{"message":"no route"}`
	for _, c := range []struct {
		status int
		body   string
		want   [3]Verdict // of no dialect, of codes, of the body
	}{
		{404, text, [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{403, page, [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{403, "\ufeff\n" + page, [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{404, "null", [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{404, `"gone"`, [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{404, `{"cut`, [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{404, "", [3]Verdict{Unknown, Unknown, OnTheWay}},
		{403, " \r\n", [3]Verdict{Denied, Denied, OnTheWay}},
		{404, object, [3]Verdict{Unknown, Unknown, OnTheWay}},
		{403, object, [3]Verdict{Denied, Denied, OnTheWay}},
		{404, `{"status":"notfound"}`, [3]Verdict{Unknown, Unknown, OnTheWay}},
		{200, `{"status":"notfound"}`, [3]Verdict{Unknown, Unknown, Unknown}},
		{200, `{"status":"denied"}`, [3]Verdict{Denied, Denied, Denied}},
		{200, page, [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{202, page, [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{200, "", [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{204, "", [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{301, "", [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{302, page, [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{307, object, [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{400, object, [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{401, "", [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{407, page, [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{410, "", [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{451, page, [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{511, page, [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{101, "", [3]Verdict{OnTheWay, OnTheWay, OnTheWay}},
		{503, page, [3]Verdict{ManagerError, ManagerError, ManagerError}},
		{429, page, [3]Verdict{RateLimited, RateLimited, RateLimited}},
	} {
		for d, want := range c.want {
			got := Answer{HTTPStatus: c.status, Body: []byte(c.body)}.Judge(Dialect(d))
			if got.Verdict != want {
				t.Errorf("HTTP %d %q, dialect %d: got %v, want %v", c.status, c.body, d, got.Verdict, want)
			}
			if got.Err != nil && want == OnTheWay && !contract.CodeOf(got.Err).Info().Retryable {
				t.Errorf("HTTP %d: got %s, want a code that is retryable", c.status, contract.CodeOf(got.Err))
			}
			if Dialect(d) == DialectBody && got.Dialect != DialectBody {
				t.Errorf("HTTP %d %q: got a manager that speaks by codes, want the dialect that it spoke before", c.status, c.body)
			}
		}
	}
	for _, c := range []struct {
		status int
		body   string
		want   Dialect
	}{
		{202, "", DialectCode},
		{202, "{}", DialectCode},
		{200, `{"status":"pending"}`, DialectBody},
		{200, page, DialectUnknown},
		{503, "", DialectUnknown},
	} {
		if got := (Answer{HTTPStatus: c.status, Body: []byte(c.body)}).Judge(DialectUnknown).Dialect; got != c.want {
			t.Errorf("HTTP %d %q: got the dialect %d, want %d", c.status, c.body, got, c.want)
		}
	}
}

// The first cause is named where the rate limit ends the attempts.
func TestField1_8_FirstCauseIsKept(t *testing.T) {
	for _, c := range []struct {
		answers []int
		code    contract.Code
		says    string
	}{
		{[]int{500, 429}, contract.CodeManagerError, "HTTP 500"},
		{[]int{500, 500, 429}, contract.CodeManagerError, "HTTP 500"},
		{[]int{503, 429}, contract.CodeManagerError, "HTTP 503"},
		{[]int{429}, contract.CodeRateLimited, "HTTP 429"},
	} {
		n := 0
		url, _ := rawServer(t, func(conn net.Conn, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			fmt.Fprintf(conn, "HTTP/1.1 %d X\r\nx-ratelimit-after: 7\r\nContent-Length: 0\r\n\r\n", c.answers[n])
			n++
		})
		_, err := clientFor(t, url, nil).register(t.Context())
		failed := failureOf(err)
		if contract.CodeOf(err) != c.code || !strings.Contains(fmt.Sprint(err), c.says) || failed.RetryAfter != 7*time.Second {
			t.Errorf("%v: got %v (%s), %+v; want %s and %q", c.answers, err, contract.CodeOf(err), failed, c.code, c.says)
		}
		if hint := contract.HintOf(err); slices.Contains(c.answers, 500) && (!strings.Contains(hint, "purged within the hour") || !strings.Contains(hint, "denies")) {
			t.Errorf("%v: got the hint %q, want what is purged when, and what an administrator denies", c.answers, hint)
		}
	}
}

// A leaf's end is told from a CA's, each fingerprint is said what it is of, and
// the option that gave another CA is named.
func TestField4_2_WhichCertificate(t *testing.T) {
	over := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}
	ca, other := newAuthority(t, "lab CA", nil), newAuthority(t, "other CA", nil)
	old := newAuthority(t, "old CA", over)
	for _, c := range []struct {
		name string
		cert []byte
		says []string
		not  string
		ask  func(*testing.T) error
	}{
		{name: "another CA given", says: []string{"not by the CA that manager_ca_path /x.pem gives", "(leaf): ", "of the CA that it presents (CN=lab CA): " + Fingerprint(ca.cert)},
			ask: func(t *testing.T) error {
				s := tlsServer(t, ca.serverCert(t, nil, ca.cert), nil)
				_, err := clientFor(t, s.URL, func(o *Options) { o.CAPEM, o.CASource = pemOf(other.cert), "manager_ca_path /x.pem" }).register(t.Context())
				return err
			}},
		{name: "expired leaf", says: []string{"presents expired at"}, not: "under a CA",
			ask: func(t *testing.T) error {
				s := tlsServer(t, ca.serverCert(t, over, ca.cert), nil)
				_, err := clientFor(t, s.URL, func(o *Options) { o.CAPEM = pemOf(ca.cert) }).register(t.Context())
				return err
			}},
		{name: "expired CA", says: []string{"is issued under a CA (CN=old CA, SHA-256 fingerprint " + Fingerprint(old.cert) + ") that expired at"},
			ask: func(t *testing.T) error {
				s := tlsServer(t, old.serverCert(t, nil), nil)
				_, err := clientFor(t, s.URL, func(o *Options) { o.CAPEM = pemOf(old.cert) }).register(t.Context())
				return err
			}},
	} {
		err := c.ask(t)
		if contract.CodeOf(err) != contract.CodeTLSUntrusted {
			t.Fatalf("%s: got %v, want %v", c.name, err, contract.CodeTLSUntrusted)
		}
		for _, says := range c.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%s: got %q, want %q in it", c.name, err, says)
			}
		}
		if c.not != "" && strings.Contains(err.Error(), c.not) {
			t.Errorf("%s: got %q, want no %q in it", c.name, err, c.not)
		}
	}
	if out, err := exec.Command("openssl", "version").Output(); err == nil && len(out) > 0 {
		cmd := exec.Command("openssl", "x509", "-noout", "-fingerprint", "-sha256")
		cmd.Stdin = bytes.NewReader(pemOf(ca.cert))
		if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "="+Fingerprint(ca.cert)+"\n") {
			t.Errorf("got %[3]s, want %[1]q as openssl writes it (%[2]v)", out, err, Fingerprint(ca.cert))
		}
	}
}

// What has arrived is read before a deadline counts: this process is stopped
// past the deadline while the answer comes.
func TestField3_7_AnswerArrivesWhileStopped(t *testing.T) {
	if url := os.Getenv("MANAGER_OF_STOPPED"); url != "" {
		client := clientFor(t, url, func(o *Options) { o.Timeout = 3 * time.Second })
		a, err := client.Poll(t.Context(), tokenCanary)
		fmt.Printf("got %q, %v\n", a.Body, err)
		return
	}
	for _, slow := range []time.Duration{0, 700 * time.Millisecond} {
		asked, answered := make(chan struct{}), make(chan struct{})
		stopped := make(chan struct{})
		url, _ := rawServer(t, func(conn net.Conn, _ *http.Request) {
			time.Sleep(slow) // part of the time that the request has
			close(asked)
			<-stopped
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbundle")
			close(answered)
			_, _ = io.Copy(io.Discard, conn)
		})
		child := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$")
		child.Env = append(os.Environ(), "MANAGER_OF_STOPPED="+url)
		var out bytes.Buffer
		child.Stdout, child.Stderr = &out, &out
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		<-asked
		_ = child.Process.Signal(syscall.SIGSTOP)
		close(stopped)
		<-answered
		time.Sleep(3500 * time.Millisecond) // past the whole deadline
		_ = child.Process.Signal(syscall.SIGCONT)
		if err := child.Wait(); err != nil || !strings.Contains(out.String(), `got "bundle", <nil>`) {
			t.Errorf(`after %s: %v: got %s, want got "bundle", <nil> in it`, slow, err, out.String())
		}
	}
}

// A deadline still ends a request of a process that runs.
func TestPatienceEnds(t *testing.T) {
	url, _ := rawServer(t, func(conn net.Conn, _ *http.Request) { _, _ = io.Copy(io.Discard, conn) })
	began := time.Now()
	_, err := clientFor(t, url, func(o *Options) { o.Timeout = 300 * time.Millisecond }).Poll(t.Context(), tokenCanary)
	var re *RequestError
	if !errors.As(err, &re) || re.Err.Code != contract.CodeUnreachable || time.Since(began) > time.Minute {
		t.Errorf("got %v after %s, want %s within a minute", err, time.Since(began), contract.CodeUnreachable)
	}
}
