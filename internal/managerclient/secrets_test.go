package managerclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestTokenInNoError walks a poll into every failure and reads all that an
// error can be made to say.
func TestTokenInNoError(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	trusted := func(o *Options) { o.CAPEM = pemOf(ca.cert) }
	answering := func(s string) string {
		url, _ := rawServer(t, func(c net.Conn, r *http.Request) {
			io.WriteString(c, strings.ReplaceAll(s, "PATH", r.URL.Path))
			c.Close()
		})
		return url
	}
	silent, _ := rawServer(t, func(c net.Conn, _ *http.Request) { io.Copy(io.Discard, c) })
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()

	for name, c := range map[string]struct {
		url    string
		change func(*Options)
		ctx    context.Context
	}{
		"refused":       {"http://" + closed.Addr().String(), nil, t.Context()},
		"no such host":  {"https://manager.invalid", func(o *Options) { o.ProxyURL = "http://127.0.0.1:1" }, t.Context()},
		"untrusted":     {tlsServer(t, ca.serverCert(t, nil), nil).URL, nil, t.Context()},
		"not TLS":       {strings.Replace(answering("x"), "http:", "https:", 1), func(o *Options) { trusted(o); o.Timeout = 200 * time.Millisecond }, t.Context()},
		"timeout":       {silent, func(o *Options) { o.Timeout = 50 * time.Millisecond }, t.Context()},
		"cancelled":     {silent, nil, cancelled},
		"closed":        {answering(""), nil, t.Context()},
		"not HTTP":      {answering("PATH\r\n\r\n"), nil, t.Context()},
		"bad header":    {answering("HTTP/1.1 200 OK\r\nPATH\r\n\r\n"), nil, t.Context()},
		"bad location":  {answering("HTTP/1.1 302 Found\r\nLocation: http://%zz/PATH\r\nContent-Length: 0\r\n\r\n"), nil, t.Context()},
		"redirect":      {answering("HTTP/1.1 301 Moved\r\nLocation: https://other.example/PATH\r\nContent-Length: 0\r\n\r\n"), nil, t.Context()},
		"redirect loop": {answering("HTTP/1.1 307 Again\r\nLocation: PATH\r\nContent-Length: 0\r\n\r\n"), nil, t.Context()},
		"echoed":        {answering("HTTP/1.1 500 X\r\n\r\n{\"error\":\"PATH\"}"), nil, t.Context()},
		"echoed text":   {answering("HTTP/1.1 404 X\r\n\r\nno PATH here"), nil, t.Context()},
		"echoed status": {answering("HTTP/1.1 200 OK\r\n\r\n{\"status\":\"PATH\"}"), nil, t.Context()},
		"cut":           {answering("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nPATH"), nil, t.Context()},
		"proxy refuses": {"https://manager.test", func(o *Options) { o.ProxyURL = answering("HTTP/1.1 403 PATH\r\n\r\n") }, t.Context()},
		"proxy babbles": {"https://manager.test", func(o *Options) { o.ProxyURL = answering("PATH\r\n\r\n") }, t.Context()},
		"socks babbles": {"https://manager.test", func(o *Options) {
			o.ProxyURL = "socks5" + strings.TrimPrefix(silent, "http")
			o.Timeout = 50 * time.Millisecond
		}, t.Context()},
		"expired before": {silent, func(o *Options) { o.Timeout = time.Nanosecond }, t.Context()},
	} {
		t.Run(name, func(t *testing.T) {
			client := clientFor(t, c.url, func(o *Options) {
				o.Retry.Attempts = 1
				if c.change != nil {
					c.change(o)
				}
			})
			a, err := client.Poll(c.ctx, tokenCanary)
			if err == nil {
				_, _, err = Judge(a.HTTPStatus, a.Body)
			}
			if err == nil {
				t.Fatal("got no error, want one")
			}
			for e := err; e != nil; e = errors.Unwrap(e) {
				for _, text := range []string{e.Error(), fmt.Sprintf("%v|%+v|%#v", e, e, e), fmt.Sprintf("%v %+v %#v", a, a, a)} {
					if strings.Contains(text, tokenCanary) {
						t.Fatalf("got %q, want no token in it", text)
					}
				}
			}
			t.Log(err)
		})
	}
}
