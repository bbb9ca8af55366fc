package managerclient

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
)

func TestParseURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://manager.example.com":                      "https://manager.example.com",
		"https://manager.example.com/":                     "https://manager.example.com",
		"HTTPS://Manager.Example.COM:443///":               "https://manager.example.com",
		"https://manager.example.com.:8443":                "https://manager.example.com:8443",
		"https://m:08443/base":                             "https://m:8443/base",
		"https://m/api/v1":                                 "https://m",
		"https://m/api/v1/":                                "https://m",
		"https://m/api/v1/enroll":                          "https://m",
		"https://m/api/v1/enroll//":                        "https://m",
		"https://m/base/sub/api/v1/enroll/":                "https://m/base/sub",
		"https://m/base/api/v10":                           "https://m/base/api/v10",
		"https://m/xapi/v1":                                "https://m/xapi/v1",
		"https://10.0.0.1:8443":                            "https://10.0.0.1:8443",
		"https://[2001:DB8::1]":                            "https://[2001:db8::1]",
		"https://[2001:db8::1]:8443/base":                  "https://[2001:db8::1]:8443/base",
		"https://patch_manager.corp":                       "https://patch_manager.corp",
		"http://localhost:8080":                            "http://localhost:8080",
		"http://LOCALHOST:80":                              "http://localhost",
		"http://127.9.9.9:1":                               "http://127.9.9.9:1",
		"http://[::1]:8080/api/v1":                         "http://[::1]:8080",
		"http://[::ffff:127.0.0.1]":                        "http://[::ffff:127.0.0.1]",
		"https://" + strings.Repeat("a", 63) + ".example.": "https://" + strings.Repeat("a", 63) + ".example",
	} {
		u, err := ParseURL(in)
		if err != nil {
			t.Errorf("ParseURL(%q): got %v, want no error", in, err)
		} else if u.String() != want {
			t.Errorf("ParseURL(%q) = %s, want %s", in, u, want)
		}
	}
}

func TestParseURLRefuses(t *testing.T) {
	for in, why := range map[string]string{
		"":                                       "is empty",
		"manager.example.com":                    "must begin with https://",
		"ftp://manager.example.com":              "must begin with https://",
		"user:CANARY@manager":                    "must begin with https://",
		"https:manager":                          "must begin with https://",
		"https:///api/v1":                        "names no host",
		"https://":                               "names no host",
		"https://:8443":                          "names no host",
		"http://manager.example.com":             "must begin with https://; http is for this machine only",
		"http://10.0.0.1":                        "http is for this machine only",
		"http://localhost.example.com":           "http is for this machine only",
		"https://user@manager":                   "user name",
		"https://user:CANARY@manager/":           "user name",
		"https://manager@evil.example":           "user name",
		"https://manager?x=CANARY":               "no query",
		"https://manager/?":                      "no query",
		"https://manager#x":                      "no query and no fragment",
		"https://manager ":                       "space",
		"https://man ager":                       "space",
		"https://manager\n":                      "control",
		"https://manager\x7f":                    "control",
		"https://m\u00fcnchen.example":           "ASCII",
		"https://manager:":                       "port",
		"https://manager:0":                      "port",
		"https://manager:65536":                  "port",
		"https://manager:+1":                     "port",
		"https://manager:https":                  "port",
		"https://2001:db8::1":                    "brackets",
		"https://[2001:db8::1":                   "without its ]",
		"https://[2001:db8::1]8443":              "after the ]",
		"https://[fe80::1%25eth0]":               "zone",
		"https://[10.0.0.1]":                     "brackets",
		"https://-manager":                       "neither a host name nor an IP",
		"https://a..b":                           "neither a host name nor an IP",
		"https://256.1.1.1":                      "neither a host name nor an IP",
		"https://man%61ger":                      "neither a host name nor an IP",
		"https://" + strings.Repeat("a", 64):     "neither a host name nor an IP",
		"https://m/base/../other":                "segment",
		"https://m/a//b":                         "segment",
		"https://m/%2e%2e":                       "character in its path",
		`https://m\evil.example`:                 "neither a host name nor an IP",
		"https://m/" + strings.Repeat("a", 2048): "longer",
	} {
		u, err := ParseURL(in)
		if err == nil {
			t.Errorf("ParseURL(%q) = %s, want an error", in, u)
			continue
		}
		if got := contract.CodeOf(err); got != contract.CodeInvalidArgument {
			t.Errorf("ParseURL(%q): code %s, want %v", in, got, contract.CodeInvalidArgument)
		}
		if !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("ParseURL(%q): %q, want %q in it", in, err, why)
		}
	}
}

// TestHTTPStaysHere: a resolver that leads "localhost" elsewhere gets nothing.
func TestHTTPStaysHere(t *testing.T) {
	dial := func(url string) error {
		transport := clientFor(t, url, nil).http.Transport.(withholdLocation).next.(attempt).transport
		conn, err := transport.DialContext(t.Context(), "udp", "192.0.2.1:80") // UDP sends nothing
		if err == nil {
			conn.Close()
		}
		return err
	}
	if err := dial("http://localhost"); !errors.Is(err, errNotLoopback) {
		t.Errorf("http to another host: got %v, want %v", err, errNotLoopback)
	}
	if err := dial("https://manager.test"); errors.Is(err, errNotLoopback) {
		t.Errorf("https to another host: got %v, want other than %v", err, errNotLoopback)
	}
}

// FuzzParseURL: what is accepted is a plain base URL, reads back as itself, and
// is in the clear for loopback only; what is refused is refused in words of our own.
func FuzzParseURL(f *testing.F) {
	for _, s := range []string{
		"https://manager.example.com:8443/base/api/v1/enroll/", "http://[::1]:80/api/v1/api/v1", "https://u:p@h", "https://1.2.3",
		"http://127.0.0.1", "https://[::ffff:1.2.3.4]:443/~x/.../a", "https://a/api/v1/enroll/api/v1//", "http://localhost:1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURL(s)
		if err != nil {
			if text := err.Error(); !strings.HasPrefix(text, "manager_url ") || len(s) > 12 && strings.Contains(text, s) {
				t.Fatalf("ParseURL(%q): got %q, want manager_url first, and not what was given", s, text)
			}
			return
		}
		if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" || u.Host == "" {
			t.Fatalf("ParseURL(%q): got %#v, want scheme, host and path alone", s, u)
		}
		if u.Scheme != "https" {
			ip, err := netip.ParseAddr(u.Hostname())
			if u.Scheme != "http" || u.Hostname() != "localhost" && (err != nil || !ip.Unmap().IsLoopback()) {
				t.Fatalf("ParseURL(%q): got %s, want nothing in the clear to another host", s, u)
			}
		}
		again, err := ParseURL(u.String())
		if err != nil || *again != *u {
			t.Fatalf("ParseURL(%q) = %s, which reads back as %v, %v, want %v", s, u, again, err, *u)
		}
	})
}
