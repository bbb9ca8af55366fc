package pki_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

func TestDescribeCertificate(t *testing.T) {
	begin := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	leaf := pkitest.NewCA(t).Intermediate(t).Issue(t, pkitest.Serial(0xbeef), pkitest.Valid(begin, begin.AddDate(1, 0, 0)))
	facts := "subject: CN=host.example.test-server\nissuer: CN=Test Intermediate CA\nserial: beef\n" +
		"fingerprint: " + pki.Fingerprint(leaf.Cert.Raw) + "\nnot_before: 2030-01-02T03:04:05Z\nnot_after: 2031-01-02T03:04:05Z\n" +
		"san: DNS:host.example.test, IP:192.0.2.10\n"
	if got := pki.DescribeCertificate([]byte(leaf.PEM())); got != facts+leaf.PEM() {
		t.Errorf("got\n%swant\n%s", got, facts+leaf.PEM())
	}
	both := pki.DescribeCertificate([]byte(leaf.PEM() + leaf.ChainPEM()))
	if !strings.HasPrefix(both, facts+leaf.PEM()+"subject: CN=Test Intermediate CA\n") || !strings.HasSuffix(both, leaf.ChainPEM()) {
		t.Errorf("leaf and chain:\n%s", both)
	}
	if got := pki.DescribeCertificate([]byte("# by hand\n" + leaf.PEM())); !strings.HasPrefix(got, "encoding: ") || !strings.HasSuffix(got, facts+leaf.PEM()) {
		t.Errorf("with text around:\n%s", got)
	}
}

func TestDescribeKey(t *testing.T) {
	leaf := pkitest.NewCA(t).Issue(t)
	want := "private key, SHA-256 of its public key " + pki.Fingerprint(leaf.Cert.RawSubjectPublicKeyInfo) + "\n"
	if got := pki.DescribeKey([]byte(leaf.KeyPEM(t))); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	sec1, err := x509.MarshalECPrivateKey(leaf.Key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	if got := pki.DescribeKey([]byte(pemOf("EC PRIVATE KEY", sec1))); !strings.HasPrefix(got, want+"encoding: ") {
		t.Errorf("in another encoding: got %q, want %q first", got, want+"encoding: ")
	}
}

func TestDescribeCRL(t *testing.T) {
	begin := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	ca := pkitest.NewCA(t)
	text := ca.SignCRL(t, &x509.RevocationList{Number: big.NewInt(255), ThisUpdate: begin, NextUpdate: begin.AddDate(0, 0, 1),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(7), RevocationTime: begin}}})
	want := "issuer: CN=Test CA\nnumber: ff\nthis_update: 2030-01-02T03:04:05Z\nnext_update: 2030-01-03T03:04:05Z\nrevoked: 1\n" +
		"fingerprint: " + pki.Fingerprint(derOf(t, text)) + "\n"
	if got := pki.DescribeCRL([]byte(text)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestDescriptionsOfWhatIsNotThere(t *testing.T) {
	key := pkitest.NewCA(t).Issue(t).KeyPEM(t)
	for _, c := range []struct {
		name     string
		describe func([]byte) string
		astray   string
		want     string
	}{
		{"certificate", pki.DescribeCertificate, key, "not a readable certificate\n"},
		{"key", pki.DescribeKey, strings.Replace(key, "\n", "\n!", 1), "not a readable private key\n"},
		{"CRL", pki.DescribeCRL, key, "not a readable CRL\n"},
	} {
		for _, none := range []string{"", " \n"} {
			if got := c.describe([]byte(none)); got != "" {
				t.Errorf("%s: an empty file is described as %q, want an empty text", c.name, got)
			}
		}
		for _, bad := range []string{c.astray, "hello", "-----BEGIN", pemOf("PRIVATE KEY", []byte("x")), pemOf("CERTIFICATE", nil)} {
			if got := c.describe([]byte(bad)); got != c.want {
				t.Errorf("%s: %q is described as %q, want %v", c.name, bad, got, c.want)
			}
		}
	}
}
