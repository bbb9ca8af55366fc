package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// A CRL that is cut off to nothing, by a download onto a full disk say, is no
// CRL less: the set before it serves on, and a revoked client stays out. One
// that goes altogether is told of loudly. Both heal by themselves.
func TestATruncatedCRLLetsNobodyIn(t *testing.T) {
	h := newHost(t)
	h.install(h.leaf())
	crl := h.ca.CRL(t, h.client.Cert)
	h.write("certs/crl.pem", crl)
	r := h.start()
	address := r.listening()
	refused := func(when string) {
		t.Helper()
		if _, err := ask(address, h.clientTLS()); err == nil {
			t.Error(when + ": a revoked client came in")
		}
	}
	refused("with the CRL")
	for _, content := range []string{"", "\n"} {
		if err := os.WriteFile(h.path("certs/crl.pem"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		h.logged("stays in force\" error=\"the CRL cannot be loaded: " + h.path("certs/crl.pem") + ": malformed: empty")
		refused("with a blank CRL")
	}
	if strings.Contains(h.log.String(), "the CRL is gone") {
		t.Error(h.log)
	}
	h.write("certs/crl.pem", crl)
	if err := os.Remove(h.path("certs/crl.pem")); err != nil {
		t.Fatal(err)
	}
	h.logged("level=warning msg=\"the CRL is gone")
	h.write("certs/crl.pem", crl)
	h.eventually(func() bool { _, err := ask(address, h.clientTLS()); return err != nil }, func() string { return "the CRL is in force again" })
}

// A client with a session cache whose certificate was replaced, the old one
// revoked, gets in with the new one, at once.
func TestAReplacedClientCertificateIsNotLockedOutByItsSession(t *testing.T) {
	h := newHost(t)
	h.install(h.leaf())
	address := h.start().listening()
	config := h.clientTLS()
	config.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	config.ServerName = "127.0.0.1"
	for range 2 {
		if _, err := ask(address, config); err != nil {
			t.Fatal(err)
		}
	}
	old := h.client
	h.write("certs/crl.pem", h.ca.CRL(t, old.Cert))
	h.logged("revoked=1")
	if _, err := ask(address, config); err == nil {
		t.Error("the old certificate came in")
	}
	config.Certificates = []tls.Certificate{h.ca.Issue(t, pkitest.EKU(x509.ExtKeyUsageClientAuth)).TLS()}
	if _, err := ask(address, config); err != nil {
		t.Errorf("with a new certificate: got %v, want no error", err)
	}
}

// A renewal that broken files hold up is told of at each look.
func TestRenewalThatBrokenFilesHoldUpIsToldOf(t *testing.T) {
	h := newHost(t)
	h.install(h.leaf())
	h.write("certs/server.key.pem", "")
	d := h.daemon("--enroll", "https://192.0.2.1")
	if got := d.look(t.Context()); got != needNothing {
		t.Error(got)
	}
	if !strings.Contains(h.log.String(), "the certificate is not renewed while the files on disk are no set: the certificates cannot serve: ") {
		t.Error(h.log)
	}
}

// TestField2_16_ACRLThatCannotBeLoaded: at the start no client is served, and
// log and status say why; nothing enrolls anew for it. While the agent runs, the
// last list stays in force, also under a new certificate of the same CA.
func TestField2_16_ACRLThatCannotBeLoaded(t *testing.T) {
	for name, broken := range map[string]func(h *host) string{
		"empty":        func(*host) string { return "" },
		"no PEM":       func(*host) string { return "<html>gateway</html>" },
		"cut off":      func(h *host) string { c := h.ca.CRL(h.t); return c[:len(c)/2] },
		"another CA's": func(h *host) string { return pkitest.NewCA(h.t).CRL(h.t) },
		"too large":    func(h *host) string { return h.ca.CRL(h.t) + strings.Repeat("\n", 64<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.install(h.leaf())
			h.write("certs/crl.pem", broken(h))
			r := h.start("--enroll", "https://192.0.2.1")
			s := r.status(func(s status) bool { return s.State == stateIdle })
			if want := "no client is served: the CRL cannot be loaded"; !strings.HasPrefix(s.Problem, want) {
				t.Errorf("status has problem %q, want %q", s.Problem, want)
			}
			h.logged("no client is served until the CRL can be loaded")
			h.write("certs/crl.pem", h.ca.CRL(t, h.client.Cert))
			address := r.listening()
			h.write("certs/crl.pem", broken(h))
			r.status(func(s status) bool {
				return strings.HasPrefix(s.Problem, "the last CRL stays in force") && s.CRL.Revoked == 1
			})
			renewed := h.leaf()
			h.install(renewed)
			r.status(func(s status) bool { return s.Fingerprint == pki.Fingerprint(renewed.Cert.Raw) })
			if _, err := ask(address, h.clientTLS()); err == nil {
				t.Error("a revoked client came in while the CRL could not be loaded")
			}
			other := h.clientTLS()
			other.Certificates = []tls.Certificate{h.ca.Issue(t, pkitest.EKU(x509.ExtKeyUsageClientAuth)).TLS()}
			if got := healthOf(t, address, other)["crl_status"]; got != "unreadable" {
				t.Errorf("got crl_status %v, want unreadable", got)
			}
		})
	}
}

// TestField2_16_LargeCRL: 30,000 entries are more than 1 MiB, and serve.
func TestField2_16_LargeCRL(t *testing.T) {
	h := newHost(t)
	h.install(h.leaf())
	crl := h.ca.Enlarge(t, h.ca.CRL(t, h.client.Cert), 30_000)
	if len(crl) < 1<<20 {
		t.Fatalf("a CRL of %d bytes shows nothing, want %v at least", len(crl), 1<<20)
	}
	h.write("certs/crl.pem", crl)
	r := h.start()
	address := r.listening()
	if got := r.status(func(s status) bool { return s.CRL != nil }).CRL.Revoked; got != 30_001 {
		t.Errorf("got %d revoked, want 30001", got)
	}
	if _, err := ask(address, h.clientTLS()); err == nil {
		t.Error("a revoked client came in")
	}
}
