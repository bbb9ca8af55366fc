package pki_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

func TestParseFilesTakesWhatAHandPlaced(t *testing.T) {
	ca := pkitest.NewCA(t)
	leaf := ca.Intermediate(t).Issue(t)
	b := leaf.Bundle(t)
	sec1, err := x509.MarshalECPrivateKey(leaf.Key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	const text = "Certificate:\n    Data:\n        Version: 3 (0x2)\nsubject=CN = -----not PEM-----\n"
	want := mustParse(t, b)
	for _, c := range []struct{ name, ca, server, key, crl string }{
		{"as written here", string(want.CAPEM), string(want.ServerPEM), string(want.KeyPEM), ""},
		{"text of openssl x509", text + b.CACrt, text + b.ServerCrt + text + b.CAChain + "# end\n", text + b.ServerKey, ""},
		{"openssl ecparam", b.CACrt, b.ServerCrt + b.CAChain,
			pemOf("EC PARAMETERS", []byte{6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7}) + pemOf("EC PRIVATE KEY", sec1), ""},
		{"root in the server's file", b.CACrt, b.ServerCrt + b.CAChain + b.CACrt, b.ServerKey, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := pki.ParseFiles([]byte(c.ca), []byte(c.server), []byte(c.key), fileOf(c.crl))
			if err != nil {
				t.Fatal(err)
			}
			assertSameFiles(t, got, want)
			if _, err := got.Verify(here(time.Now())); err != nil {
				t.Error(err)
			}
		})
	}
}

// fileOf is a file's content; nil, no file, for no text at all.
func fileOf(text string) []byte {
	if text == "" {
		return nil
	}
	return []byte(text)
}

// A file that was cut off to nothing is there all the same.
func TestParseFilesTellsAnEmptyCRLFromNone(t *testing.T) {
	b := pkitest.NewCA(t).Issue(t).Bundle(t)
	if _, err := pki.ParseFiles([]byte(b.CACrt), []byte(b.ServerCrt), []byte(b.ServerKey), nil); err != nil {
		t.Error(err)
	}
	_, err := pki.ParseFiles([]byte(b.CACrt), []byte(b.ServerCrt), []byte(b.ServerKey), []byte{})
	if !errors.Is(err, pki.ErrMalformed) || err.Error() != "CRL file: malformed: empty" {
		t.Error(err)
	}
}

func assertSameFiles(t testing.TB, got, want *pki.Set) {
	t.Helper()
	if string(got.CAPEM) != string(want.CAPEM) || string(got.ServerPEM) != string(want.ServerPEM) ||
		string(got.KeyPEM) != string(want.KeyPEM) || string(got.CRL.PEM()) != string(want.CRL.PEM()) {
		t.Errorf("not the same files: %s, want %s", got, want)
	}
}

func TestParseFilesRefuses(t *testing.T) {
	ca := pkitest.NewCA(t)
	leaf := ca.Issue(t)
	good := leaf.Bundle(t)
	for _, c := range []struct {
		name   string
		change func(*contract.PkiBundle)
		want   error
	}{
		{"missing CA", func(b *contract.PkiBundle) { b.CACrt = "" }, pki.ErrMalformed},
		{"missing certificate", func(b *contract.PkiBundle) { b.ServerCrt = "" }, pki.ErrMalformed},
		{"missing key", func(b *contract.PkiBundle) { b.ServerKey = "" }, pki.ErrMalformed},
		{"text alone", func(b *contract.PkiBundle) { b.CACrt = "to be issued\n" }, pki.ErrMalformed},
		{"half a file", func(b *contract.PkiBundle) { b.ServerCrt = b.ServerCrt[:len(b.ServerCrt)/2] }, pki.ErrMalformed},
		{"half a second certificate", func(b *contract.PkiBundle) { b.ServerCrt += good.CACrt[:len(good.CACrt)/2] }, pki.ErrMalformed},
		{"a broken certificate first", func(b *contract.PkiBundle) {
			b.ServerCrt = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n" + b.ServerCrt
		}, pki.ErrMalformed},
		{"a file of zeros", func(b *contract.PkiBundle) { b.ServerKey = string(make([]byte, 240)) }, pki.ErrMalformed},
		{"a curve without a key", func(b *contract.PkiBundle) { b.ServerKey = pemOf("EC PARAMETERS", []byte{6, 0}) }, pki.ErrMalformed},
		{"old key, new certificate", func(b *contract.PkiBundle) { b.ServerCrt = ca.Issue(t).PEM() }, pki.ErrKeyMismatch},
		{"an empty CRL", func(b *contract.PkiBundle) { b.CRLPEM = "\n" }, pki.ErrMalformed},
		{"a broken CRL", func(b *contract.PkiBundle) { b.CRLPEM = "no CRL yet" }, pki.ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := good
			c.change(&b)
			_, err := pki.ParseFiles([]byte(b.CACrt), []byte(b.ServerCrt), []byte(b.ServerKey), fileOf(b.CRLPEM))
			if !errors.Is(err, c.want) {
				t.Fatalf("ParseFiles: %v, want %v", err, c.want)
			}
			assertNoKey(t, err.Error(), b)
		})
	}
}

func TestExpiresWithin(t *testing.T) {
	end := time.Now().AddDate(0, 1, 0).UTC().Truncate(time.Second)
	s := mustParse(t, pkitest.NewCA(t).Issue(t, pkitest.Valid(end.AddDate(0, -2, 0), end)).Bundle(t))
	const week = 7 * 24 * time.Hour
	for _, c := range []struct {
		name string
		now  time.Time
		want bool
	}{
		{"long before", end.Add(-week - time.Second), false},
		{"to the second", end.Add(-week), true},
		{"inside", end.Add(-time.Hour), true},
		{"over", end.Add(time.Hour), true},
	} {
		if got := s.ExpiresWithin(c.now, week); got != c.want {
			t.Errorf("%s: ExpiresWithin = %v", c.name, got)
		}
	}
}
