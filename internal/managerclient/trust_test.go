package managerclient

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
)

func TestTrust(t *testing.T) {
	ca := newAuthority(t, "lab CA", nil)
	other := newAuthority(t, "lab CA", nil) // the same name, another key
	notCA, _ := issue(t, &x509.Certificate{DNSNames: []string{"x"}}, ca)
	inter := func() authority {
		cert, key := issue(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, ca)
		return authority{cert, key}
	}()
	wrongName := func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.example"} }
	expired := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}
	early := func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) }
	clientOnly := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }

	good := ca.serverCert(t, nil)
	withCA := ca.serverCert(t, nil, ca.cert)
	for _, c := range []struct {
		name string
		cert tls.Certificate
		opt  Options // "leaf" stands for the certificate's own fingerprint
		says string  // "" where the connection is trusted
	}{
		{"system roots", good, Options{}, "issued by an authority that is not trusted (CN=lab CA)"},
		{"its CA", good, Options{CAPEM: pemOf(ca.cert)}, ""},
		{"its CA among others", good, Options{CAPEM: pemOf(other.cert, ca.cert)}, ""},
		{"a CA of the same name", good, Options{CAPEM: pemOf(other.cert)}, "authority that is not trusted"},
		{"wrong name", ca.serverCert(t, wrongName), Options{CAPEM: pemOf(ca.cert)}, "not valid for this host name, but for other.example"},
		{"expired", ca.serverCert(t, expired), Options{CAPEM: pemOf(ca.cert)}, "expired at "},
		{"not yet valid", ca.serverCert(t, early), Options{CAPEM: pemOf(ca.cert)}, "is not valid before "},
		{"client certificate", ca.serverCert(t, clientOnly), Options{CAPEM: pemOf(ca.cert)}, "does not verify"},

		{"pinned leaf", good, Options{Fingerprint: fingerprintOf(good.Leaf)}, ""},
		{"pinned leaf of another name", ca.serverCert(t, wrongName), Options{Fingerprint: "leaf"}, ""},
		{"pinned leaf, expired", ca.serverCert(t, expired), Options{Fingerprint: "leaf"}, "expired"},
		{"another leaf pinned", good, Options{Fingerprint: fingerprintOf(withCA.Leaf)}, "not the one that manager_ca_fingerprint names"},
		{"pinned CA, presented", withCA, Options{Fingerprint: fingerprintOf(ca.cert)}, ""},
		{"pinned CA, not presented", good, Options{Fingerprint: fingerprintOf(ca.cert)}, "not the one that manager_ca_fingerprint names"},
		{"pinned CA through an intermediate", inter.serverCert(t, nil, inter.cert, ca.cert), Options{Fingerprint: fingerprintOf(ca.cert)}, ""},
		{"pinned intermediate", inter.serverCert(t, nil, inter.cert), Options{Fingerprint: fingerprintOf(inter.cert)}, ""},
		{"pinned CA that only stands in the list", other.serverCert(t, nil, ca.cert), Options{Fingerprint: fingerprintOf(ca.cert)}, "authority that is not trusted"},
		{"pinned CA beside the real one", other.serverCert(t, nil, other.cert, ca.cert), Options{Fingerprint: fingerprintOf(ca.cert)}, "authority that is not trusted"},
		{"pinned CA in the list of a self-signed one", authority{}.serverCert(t, nil, ca.cert), Options{Fingerprint: fingerprintOf(ca.cert)}, "authority that is not trusted"},
		{"pinned CA, wrong name", ca.serverCert(t, wrongName, ca.cert), Options{Fingerprint: fingerprintOf(ca.cert)}, "not valid for this host name"},
		{"pinned CA, expired leaf", ca.serverCert(t, expired, ca.cert), Options{Fingerprint: fingerprintOf(ca.cert)}, "expired"},
		{"pinned, but no CA", authority{}.serverCert(t, nil, notCA), Options{Fingerprint: fingerprintOf(notCA)}, "nor is a CA of that fingerprint"},

		{"CA file and its fingerprint", good, Options{CAPEM: pemOf(ca.cert), Fingerprint: fingerprintOf(ca.cert)}, ""},
		{"CA file and the leaf", good, Options{CAPEM: pemOf(ca.cert), Fingerprint: fingerprintOf(good.Leaf)}, ""},
		{"CA file and another leaf", good, Options{CAPEM: pemOf(ca.cert), Fingerprint: fingerprintOf(withCA.Leaf)}, "not the one"},
		{"another CA file and the leaf", good, Options{CAPEM: pemOf(other.cert), Fingerprint: fingerprintOf(good.Leaf)}, "authority that is not trusted"},
		{"CA files, the pin of the wrong one", good, Options{CAPEM: pemOf(ca.cert, other.cert), Fingerprint: fingerprintOf(other.cert)}, "authority that is not trusted"},
		{"CA file, the leaf, wrong name", ca.serverCert(t, wrongName), Options{CAPEM: pemOf(ca.cert), Fingerprint: "leaf"}, "not valid for this host name"},

		{"insecure", ca.serverCert(t, wrongName), Options{Insecure: true}, ""},
		{"insecure with the leaf", good, Options{Insecure: true, Fingerprint: fingerprintOf(good.Leaf)}, ""},
		{"insecure with another leaf", good, Options{Insecure: true, Fingerprint: fingerprintOf(withCA.Leaf)}, "not the one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := tlsServer(t, c.cert, nil)
			if c.opt.Fingerprint == "leaf" {
				c.opt.Fingerprint = fingerprintOf(c.cert.Leaf)
			}
			tries := 0
			client := clientFor(t, s.URL, func(o *Options) {
				o.CAPEM, o.Fingerprint, o.Insecure = c.opt.CAPEM, c.opt.Fingerprint, c.opt.Insecure
				o.Retry.Jitter = func(time.Duration) time.Duration { tries++; return 0 }
			})
			_, err := client.register(t.Context())
			if c.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if contract.CodeOf(err) != contract.CodeTLSUntrusted || failureOf(err).MaybeDelivered {
				t.Fatalf("got %v (%s), %+v, want %s, surely not delivered", err, contract.CodeOf(err), failureOf(err), contract.CodeTLSUntrusted)
			}
			for _, part := range []string{c.says, s.URL, "(leaf): " + Fingerprint(c.cert.Leaf)} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got %q, want %q in it", err, part)
				}
			}
		})
	}
}

// TestTrustUsesTheClock: validity is judged by the clock that was handed in.
func TestTrustUsesTheClock(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	cert := ca.serverCert(t, nil, ca.cert)
	s := tlsServer(t, cert, nil)
	for name, change := range map[string]func(*Options){
		"CA file":     func(o *Options) { o.CAPEM = pemOf(ca.cert) },
		"pinned CA":   func(o *Options) { o.Fingerprint = fingerprintOf(ca.cert) },
		"pinned leaf": func(o *Options) { o.Fingerprint = fingerprintOf(cert.Leaf) },
	} {
		_, err := clientFor(t, s.URL, func(o *Options) {
			change(o)
			o.Now = func() time.Time { return time.Unix(0, 0) }
		}).register(t.Context())
		if contract.CodeOf(err) != contract.CodeTLSUntrusted || !strings.Contains(err.Error(), "clock says 1970-01-01T00:00:00Z") {
			t.Errorf(`%s: got %v, want %v, "clock says 1970-01-01T00:00:00Z" in it`, name, err, contract.CodeTLSUntrusted)
		}
	}
}

// TestExpiredCertificateHintsAtTheClock: where the certificate is only out of
// its time, another CA would not help.
func TestExpiredCertificateHintsAtTheClock(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	s := tlsServer(t, ca.serverCert(t, nil, ca.cert), nil)
	for _, now := range []time.Time{time.Unix(0, 0), time.Now().AddDate(50, 0, 0)} {
		_, err := clientFor(t, s.URL, func(o *Options) {
			o.CAPEM, o.Now = pemOf(ca.cert), func() time.Time { return now }
		}).register(t.Context())
		if hint := contract.HintOf(err); contract.CodeOf(err) != contract.CodeTLSUntrusted || !strings.Contains(hint, "clock") || strings.Contains(hint, "manager_ca") {
			t.Errorf(`at %s: got %v, hint %q, want %v, "clock" in it, no "manager_ca" in it`, now, err, hint, contract.CodeTLSUntrusted)
		}
	}
}

// TestNotTLS: what answers https with something else is told as such.
func TestNotTLS(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	noise, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer noise.Close()
	go func() {
		for {
			c, err := noise.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("SSH-2.0-CANARY\r\n"))
			c.Close()
		}
	}()
	old := tlsServer(t, ca.serverCert(t, nil), func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11; c.MinVersion = tls.VersionTLS10 })
	asks := tlsServer(t, ca.serverCert(t, nil), func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert })
	for name, c := range map[string]struct {
		url, says string
	}{
		"a port that says something": {"https://" + noise.Addr().String(), "does not speak TLS"},
		"TLS 1.1":                    {old.URL, "refuses the TLS handshake"},
		"a client certificate":       {asks.URL, "refuses the TLS handshake"},
	} {
		_, err := clientFor(t, c.url, func(o *Options) { o.CAPEM = pemOf(ca.cert) }).register(t.Context())
		if contract.CodeOf(err) != contract.CodeTLSUntrusted || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf(`%s: got %v (%s), want %v, %q in it, no "CANARY" in it`, name, err, contract.CodeOf(err), contract.CodeTLSUntrusted, c.says)
		}
		if hint := contract.HintOf(err); !strings.Contains(hint, "port") {
			t.Errorf(`%s: hint %q, want "port" in it`, name, hint)
		}
	}
}

// TestPlainHTTPPort: a server that waits for a request in the clear answers the
// handshake with an HTTP error.
func TestPlainHTTPPort(t *testing.T) {
	s := http.Server{Handler: http.NotFoundHandler(), ErrorLog: quiet()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	defer s.Close()
	_, err = clientFor(t, "https://"+l.Addr().String(), nil).register(t.Context())
	if contract.CodeOf(err) != contract.CodeTLSUntrusted || !strings.Contains(err.Error(), "plain HTTP") {
		t.Errorf(`got %v (%s), want %v, "plain HTTP" in it`, err, contract.CodeOf(err), contract.CodeTLSUntrusted)
	}
}

func TestTrustOptions(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	u, _ := ParseURL("https://manager.test")
	for name, o := range map[string]Options{
		"no URL":                {},
		"text for a CA":         {URL: u, CAPEM: []byte("CANARY")},
		"a key for a CA":        {URL: u, CAPEM: []byte("-----BEGIN PRIVATE KEY-----\nQ0FOQVJZ\n-----END PRIVATE KEY-----\n")},
		"a broken certificate":  {URL: u, CAPEM: append(pemOf(ca.cert), "-----BEGIN CERTIFICATE-----\nQ0FOQVJZ\n-----END CERTIFICATE-----\n"...)},
		"a short fingerprint":   {URL: u, Fingerprint: "CANARY"},
		"one of other letters":  {URL: u, Fingerprint: strings.Repeat("G", 64)},
		"a bad proxy":           {URL: u, ProxyURL: "http://user:CANARY@[::1"},
		"a proxy of a scheme":   {URL: u, ProxyURL: "ftp://user:CANARY@proxy"},
		"a proxy without host":  {URL: u, ProxyURL: "http://user:CANARY@"},
		"a proxy with bad port": {URL: u, ProxyURL: "http://user:CANARY@proxy:99999"},
	} {
		_, err := New(o)
		if contract.CodeOf(err) != contract.CodeInvalidArgument || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: got %v, want %s without the value", name, err, contract.CodeInvalidArgument)
		}
	}
}

// The certificate of a manager that was verified is told, and no other.
func TestSeenCertificateIsTheVerifiedOne(t *testing.T) {
	ca := newAuthority(t, "CA", nil)
	cert := ca.serverCert(t, nil)
	s := tlsServer(t, cert, nil)
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"by its CA":          {func(o *Options) { o.CAPEM = pemOf(ca.cert) }, fingerprintOf(cert.Leaf)},
		"by its fingerprint": {func(o *Options) { o.Fingerprint = fingerprintOf(cert.Leaf) }, fingerprintOf(cert.Leaf)},
		"insecure":           {func(o *Options) { o.Insecure = true }, fingerprintOf(cert.Leaf)},
		"untrusted":          {func(*Options) {}, ""},
		"wrong fingerprint":  {func(o *Options) { o.Fingerprint = fingerprintOf(ca.cert) }, ""},
	} {
		told := make(chan string, 1)
		_, err := clientFor(t, s.URL, func(o *Options) {
			o.Seen = func(sha256 string) { told <- sha256 }
			c.change(o)
		}).register(t.Context())
		got := ""
		if err == nil {
			got = <-told
		}
		if got != c.want || len(told) != 0 {
			t.Errorf("%s: got %q (%v), want %q", name, got, err, c.want)
		}
	}
}
