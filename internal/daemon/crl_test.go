package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"strings"
	"testing"

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
		h.logged("the certificates on disk are refused\" error=\"CRL file: malformed: empty")
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
		t.Errorf("with a new certificate: %v", err)
	}
}

// A renewal that broken files hold up is told of at each look.
func TestRenewalThatBrokenFilesHoldUpIsToldOf(t *testing.T) {
	h := newHost(t)
	h.install(h.leaf())
	h.write("certs/crl.pem", "")
	d := h.daemon("--enroll", "https://192.0.2.1")
	if got := d.look(t.Context()); got != needNothing {
		t.Error(got)
	}
	if !strings.Contains(h.log.String(), "the certificate is not renewed while the files on disk are no set: the certificates cannot serve: CRL file: malformed: empty") {
		t.Error(h.log)
	}
}
