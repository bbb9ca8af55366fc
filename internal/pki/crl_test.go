package pki_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

var unknownCritical = pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{5, 0}}

func TestCRL(t *testing.T) {
	now := time.Now()
	ca := pkitest.NewCA(t)
	between := ca.Intermediate(t, pkitest.Serial(20))
	direct := ca.Issue(t, pkitest.Serial(30))
	below := between.Issue(t, pkitest.Serial(40))
	sameSerial := between.Issue(t, pkitest.Serial(20))
	rsa := pkitest.NewCA(t, pkitest.Key(pkitest.RSA2048))
	rsaLeaf := rsa.Issue(t)
	muteKey := pkitest.NewKey(t, pkitest.P256)
	mute := pkitest.NewCA(t, pkitest.WithKey(muteKey), pkitest.Template(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCertSign }))
	muteVoice := pkitest.NewCA(t, pkitest.WithKey(muteKey))
	critical := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.AddDate(0, 0, 1),
		ExtraExtensions: []pkix.Extension{unknownCritical}}

	for _, c := range []struct {
		name     string
		leaf     *pkitest.Leaf
		crl      string
		want     error
		text     string
		warnings []string
	}{
		{name: "empty list", leaf: direct, crl: ca.CRL(t)},
		{name: "lists another", leaf: direct, crl: ca.CRL(t, below.Cert, between.Cert)},
		{name: "lists the certificate", leaf: direct, crl: ca.CRL(t, between.Cert, direct.Cert), want: pki.ErrRevoked, text: "server_crt"},
		{name: "lists a certificate below an intermediate", leaf: below, crl: ca.CRL(t, below.Cert), want: pki.ErrRevoked, text: "server_crt"},
		{name: "lists the intermediate", leaf: below, crl: ca.CRL(t, between.Cert), want: pki.ErrRevoked, text: "intermediate"},
		{name: "lists the certificate, out of date", leaf: direct, crl: ca.CRLAt(t, now.AddDate(0, -2, 0), now.AddDate(0, -1, 0), direct.Cert), want: pki.ErrRevoked},
		{name: "out of date", leaf: direct, crl: ca.CRLAt(t, now.AddDate(0, -2, 0), now.AddDate(0, -1, 0)), warnings: []string{"out of date"}},
		{name: "of the future", leaf: direct, crl: ca.CRLAt(t, now.Add(time.Hour), now.AddDate(0, 1, 0)), warnings: []string{"still to come"}},
		{name: "a little ahead", leaf: direct, crl: ca.CRLAt(t, now.Add(4*time.Minute), now.AddDate(0, 1, 0))},
		{name: "covers who knows what", leaf: direct, crl: ca.SignCRL(t, critical), warnings: []string{"critical extension"}},
		{name: "signed by a CA of the same name", leaf: direct, crl: pkitest.NewCA(t).CRL(t), want: pki.ErrUntrusted, text: "crl_pem"},
		{name: "of a CA of another name", leaf: direct, crl: pkitest.NewCA(t, pkitest.Name("Other CA")).CRL(t), want: pki.ErrUntrusted, text: "crl_pem"},
		{name: "of another name, signed by the CA's key", leaf: direct,
			crl: pkitest.NewCA(t, pkitest.WithKey(ca.Key), pkitest.Name("Other CA")).CRL(t), want: pki.ErrUntrusted, text: "crl_pem"},
		{name: "signed by the intermediate", leaf: below, crl: between.CRL(t), want: pki.ErrUntrusted, text: "crl_pem"},
		{name: "the CA may not sign it", leaf: mute.Issue(t), crl: muteVoice.CRL(t), want: pki.ErrUntrusted, text: "key usage"},
		{name: "signed with SHA-1", leaf: rsaLeaf, crl: rsa.SignCRL(t, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: now,
			NextUpdate: now.AddDate(0, 0, 1), SignatureAlgorithm: x509.SHA1WithRSA}), want: pki.ErrWeak, text: "crl_pem"},
		{name: "serial of the intermediate, which the CA issued", leaf: sameSerial, crl: ca.CRL(t, between.Cert), want: pki.ErrRevoked},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.leaf.Bundle(t)
			b.CRLPEM = c.crl
			warnings, err := mustParse(t, b).Verify(here(now))
			if c.want != nil {
				if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
					t.Errorf("Verify: %v, want %v about %s", err, c.want, c.text)
				}
				return
			}
			assertWarnings(t, warnings, err, c.warnings)
		})
	}
}

func TestRevokedOutranksTheClock(t *testing.T) {
	ca := pkitest.NewCA(t)
	leaf := ca.Issue(t)
	b := leaf.Bundle(t)
	b.CRLPEM = ca.CRL(t, leaf.Cert)
	if _, err := mustParse(t, b).Verify(here(time.Unix(0, 0))); !errors.Is(err, pki.ErrRevoked) {
		t.Errorf("Verify in 1970: %v, want ErrRevoked", err)
	}
}

func TestCRLOfAnother(t *testing.T) {
	now := time.Now()
	ca := pkitest.NewCA(t)
	old := ca.CRLAt(t, now.AddDate(0, -2, 0), now.AddDate(0, -1, 0))
	for _, c := range []struct {
		name, crl string
		want      bool
	}{
		{"by it", ca.CRL(t), false},
		{"by it, out of date", old, false},
		{"by it, with text around", "# revoked hosts\n" + old, false},
		{"by one of the same name", pkitest.NewCA(t).CRL(t), true},
		{"nothing", "", false},
		{"a certificate", ca.PEM(), false},
		{"tampered with", pemOf("X509 CRL", flipLast(derOf(t, old))), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := pki.CRLOfAnother([]byte(c.crl), ca.Cert); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func flipLast(der []byte) []byte {
	der[len(der)-1] ^= 1
	return der
}
