package managerclient

import (
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
)

// tunnel is a proxy that leads every CONNECT to target, if the credentials
// are right.
func tunnel(t *testing.T, target string, asked *string) http.Handler {
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("user:CANARYpassword"))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = r.Method + " " + r.Host
		if r.Header.Get("Proxy-Authorization") != want {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		up, err := net.Dial("tcp", target)
		if err != nil {
			t.Error(err)
			return
		}
		defer up.Close()
		down, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer down.Close()
		io.WriteString(down, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { io.Copy(up, buffered); up.(*net.TCPConn).CloseWrite() }()
		io.Copy(down, up)
	})
}

func TestProxy(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	manager := tlsServer(t, ca.serverCert(t, nil), nil)
	var asked string
	proxy := httptest.NewServer(tunnel(t, manager.Listener.Addr().String(), &asked))
	defer proxy.Close()
	at := strings.Replace(proxy.URL, "http://", "http://user:CANARYpassword@", 1)

	c := clientFor(t, "https://manager.test", func(o *Options) { o.ProxyURL, o.CAPEM = at, pemOf(ca.cert) })
	token, err := c.register(t.Context())
	if err != nil || token != tokenCanary || asked != "CONNECT manager.test:443" {
		t.Fatalf("got %q, %v, asked %q; want the token by CONNECT manager.test:443", token, err, asked)
	}
	if answer, err := c.Poll(t.Context(), token); !c.UsesProxy() || err != nil || answer.PeerIP.IsValid() {
		t.Errorf("through a proxy: got the peer %v, %v, want none", answer.PeerIP, err)
	}

	wrong := strings.Replace(proxy.URL, "http://", "http://user:CANARYwrong@", 1)
	_, err = clientFor(t, "https://manager.test", func(o *Options) { o.ProxyURL = wrong }).register(t.Context())
	want := "cannot reach the manager at https://manager.test through the proxy " + proxy.Listener.Addr().String() + ": it answered 407"
	if contract.CodeOf(err) != contract.CodeUnreachable || err.Error() != want || failureOf(err).MaybeDelivered {
		t.Errorf("%v, want %s", err, want)
	}

	_, err = clientFor(t, "https://manager.test", func(o *Options) { o.ProxyURL = at }).register(t.Context())
	if contract.CodeOf(err) != contract.CodeTLSUntrusted || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("without the manager's CA: got %v, want %s without credentials", err, contract.CodeTLSUntrusted)
	}
	proxy.Close()
	_, err = clientFor(t, "https://manager.test", func(o *Options) { o.ProxyURL = at }).register(t.Context())
	if contract.CodeOf(err) != contract.CodeUnreachable || !strings.Contains(err.Error(), "no connection to the proxy: connection refused") ||
		strings.Contains(err.Error(), "CANARY") {
		t.Errorf("without a proxy there: got %v, want words of the proxy without credentials", err)
	}
}

// TestHTTPSProxy: the manager's trust, lax or strict, is not the proxy's.
func TestHTTPSProxy(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	cert := ca.serverCert(t, nil)
	manager := tlsServer(t, cert, nil)
	var asked string
	proxy := httptest.NewUnstartedServer(tunnel(t, manager.Listener.Addr().String(), &asked))
	proxy.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	proxy.Config.ErrorLog = quiet()
	proxy.StartTLS()
	defer proxy.Close()
	at := strings.Replace(proxy.URL, "https://", "https://user:CANARYpassword@", 1)
	for name, change := range map[string]func(*Options){
		"insecure": func(o *Options) { o.Insecure = true },
		"pin":      func(o *Options) { o.Fingerprint = fingerprintOf(cert.Leaf) },
		"CA file":  func(o *Options) { o.CAPEM = pemOf(ca.cert) },
	} {
		_, err := clientFor(t, "https://manager.test", func(o *Options) { change(o); o.ProxyURL = at }).register(t.Context())
		if contract.CodeOf(err) != contract.CodeUnreachable || !strings.Contains(err.Error(), "proxy") || strings.Contains(err.Error(), "CANARY") || asked != "" {
			t.Errorf("%s: got %v, asked %q; want %s of the proxy, without credentials, and nothing asked", name, err, asked, contract.CodeUnreachable)
		}
	}
}

func TestFindProxy(t *testing.T) {
	for _, c := range []struct{ manager, option, want string }{
		{"https://manager.test", "", "proxy.invalid:3128"}, // see TestMain
		{"https://manager.test", "http://p:1", "p:1"},
		{"https://manager.test", "p:1", "p:1"},
		{"https://manager.test", "socks5://p:1080", "p:1080"},
		{"https://direct.test", "", ""},
		{"https://direct.test", "http://p:1", "p:1"},
		{"https://127.0.0.1", "", ""},
		{"https://127.0.0.1", "http://p:1", ""},
		{"https://[::1]:8443", "http://p:1", ""},
		{"http://localhost", "http://p:1", ""},
	} {
		client := clientFor(t, c.manager, func(o *Options) { o.ProxyURL = c.option })
		got := ""
		if client.proxy != nil {
			got = client.proxy.Host
		}
		if got != c.want || client.UsesProxy() != (c.want != "") {
			t.Errorf("%s with %q goes through %q, want %q", c.manager, c.option, got, c.want)
		}
	}
}

// TestScrub: what no rule has words for loses its secrets.
func TestScrub(t *testing.T) {
	proxy, _ := url.Parse("http://user:p%40ss@proxy")
	f := &flight{client: &Client{proxy: proxy}, secrets: []string{tokenCanary}}
	got := f.scrub("GET /x/" + tokenCanary + " by http://user:p%40ss@proxy with p@ss\n")
	if want := "GET /x/[hidden] by http://[hidden]@proxy with [hidden]"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
