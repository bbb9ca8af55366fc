package pki_test

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// fuzzSeeds are good sets and sets that are nearly good.
func fuzzSeeds(f *testing.F) []contract.PkiBundle {
	ca := pkitest.NewCA(f)
	full := ca.Intermediate(f).Issue(f).Bundle(f)
	full.CRLPEM = ca.CRL(f, ca.Cert)
	broken := full
	broken.ServerCrt += "-----BEGIN CERTIFICATE-----\n"
	swapped := full
	swapped.ServerKey = ca.Issue(f).KeyPEM(f)
	commented := full
	commented.CACrt = "# CA\n" + commented.CACrt
	return []contract.PkiBundle{
		full, broken, swapped, commented, {},
		ca.Issue(f, pkitest.Key(pkitest.RSA2048)).Bundle(f),
		ca.Issue(f, pkitest.Key(pkitest.RSA1024)).Bundle(f),
		ca.Issue(f, pkitest.Key(pkitest.Ed25519), pkitest.DNS(), pkitest.IP()).Bundle(f),
		ca.Issue(f, pkitest.Key(pkitest.P224), pkitest.EKU()).Bundle(f),
	}
}

func FuzzParseBundle(f *testing.F) {
	for _, b := range fuzzSeeds(f) {
		f.Add(b.CACrt, b.ServerCrt, b.ServerKey, b.CAChain, b.CRLPEM)
	}
	f.Fuzz(func(t *testing.T, ca, server, key, chain, crl string) {
		b := contract.PkiBundle{CACrt: ca, ServerCrt: server, ServerKey: key, CAChain: chain, CRLPEM: crl}
		s, err := pki.ParseBundle(b)
		if err != nil {
			assertRefusal(t, err, b)
			return
		}
		assertAccepted(t, s, b)
		// What was accepted strictly is accepted as a file too.
		again, err := pki.ParseFiles([]byte(ca), []byte(server+"\n"+chain), []byte(key), notBlank(crl))
		if err != nil {
			t.Fatalf("a good bundle's fields as files: %v", err)
		}
		assertSameFiles(t, again, s)
	})
}

// notBlank is the file that a bundle's field stands for: a blank one for none.
func notBlank(text string) []byte {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	return []byte(text)
}

func FuzzParseFiles(f *testing.F) {
	for _, b := range fuzzSeeds(f) {
		f.Add([]byte(b.CACrt), []byte(b.ServerCrt+b.CAChain), []byte(b.ServerKey), []byte(b.CRLPEM))
	}
	f.Fuzz(func(t *testing.T, ca, server, key, crl []byte) {
		b := contract.PkiBundle{CACrt: string(ca), ServerCrt: string(server), ServerKey: string(key), CRLPEM: string(crl)}
		assertFiles(t, b)
	})
}

// FuzzDER gets past PEM's armour to what is inside.
func FuzzDER(f *testing.F) {
	for _, b := range fuzzSeeds(f) {
		var der [4][]byte
		for i, text := range []string{b.CACrt, b.ServerCrt, b.ServerKey, b.CRLPEM} {
			if block, _ := pem.Decode([]byte(text)); block != nil {
				der[i] = block.Bytes
			}
		}
		f.Add(der[0], der[1], der[2], der[3])
	}
	f.Fuzz(func(t *testing.T, ca, server, key, crl []byte) {
		b := contract.PkiBundle{CACrt: pemOf("CERTIFICATE", ca), ServerCrt: pemOf("CERTIFICATE", server), ServerKey: pemOf("PRIVATE KEY", key)}
		if len(crl) > 0 {
			b.CRLPEM = pemOf("X509 CRL", crl)
		}
		assertFiles(t, b)
	})
}

func assertFiles(t *testing.T, b contract.PkiBundle) {
	t.Helper()
	s, err := pki.ParseFiles([]byte(b.CACrt), []byte(b.ServerCrt), []byte(b.ServerKey), fileOf(b.CRLPEM))
	if err != nil {
		assertRefusal(t, err, b)
	} else {
		assertAccepted(t, s, b)
	}
	aboutKey := pki.DescribeKey([]byte(b.ServerKey))
	assertNoKey(t, aboutKey, b)
	for _, text := range []string{pki.DescribeCertificate([]byte(b.ServerCrt)), aboutKey, pki.DescribeCRL([]byte(b.CRLPEM))} {
		for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
			assertTame(t, line)
		}
	}
}

// assertRefusal: an error is of a known kind, fit for a terminal, and holds no
// key.
func assertRefusal(t *testing.T, err error, b contract.PkiBundle) {
	t.Helper()
	if !errors.Is(err, pki.ErrMalformed) && !errors.Is(err, pki.ErrKeyMismatch) && !errors.Is(err, pki.ErrWeak) {
		t.Errorf("an error of no known kind: %v", err)
	}
	assertTame(t, err.Error())
	assertNoKey(t, err.Error(), b)
	if len(err.Error()) > 2000 {
		t.Errorf("a message of %d bytes", len(err.Error()))
	}
}

// assertAccepted: what was accepted loads as a listener would load it, reads
// back as itself, and gets a verdict of a known kind.
func assertAccepted(t *testing.T, s *pki.Set, b contract.PkiBundle) {
	t.Helper()
	if _, err := tls.X509KeyPair(s.ServerPEM, s.KeyPEM); err != nil {
		t.Fatalf("accepted, but can't be loaded: %v", err)
	}
	again, err := pki.ParseFiles(s.CAPEM, s.ServerPEM, s.KeyPEM, fileOf(string(s.CRL.PEM())))
	if err != nil {
		t.Fatalf("accepted, but what would be written is not: %v", err)
	}
	assertSameFiles(t, again, s)
	warnings, err := s.Verify(here(time.Unix(1900000000, 0)))
	if err != nil {
		known := false
		for _, kind := range []error{pki.ErrUntrusted, pki.ErrWeak, pki.ErrRevoked, pki.ErrNotYetValid, pki.ErrExpired} {
			known = known || errors.Is(err, kind)
		}
		if !known {
			t.Errorf("a verdict of no known kind: %v", err)
		}
		warnings = append(warnings, err.Error())
	}
	for _, w := range warnings {
		assertTame(t, w)
		assertNoKey(t, w, b)
	}
}
