package pki_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

func verified(t *testing.T, s *pki.Set) []string {
	t.Helper()
	warnings, err := s.Verify(pki.VerifyOptions{Now: time.Now()})
	if err != nil {
		t.Fatalf("Verify: got %v, want no error", err)
	}
	return warnings
}

func installedSet(t *testing.T, ca string, leaf *pkitest.Leaf) *pki.Set {
	t.Helper()
	s, err := pki.ParseFiles([]byte(ca), []byte(leaf.PEM()), []byte(leaf.KeyPEM(t)), nil)
	if err != nil {
		t.Fatalf("ParseFiles: got %v, want no error", err)
	}
	return s
}

// commented is what `openssl x509 -text` prints: text, then the block.
func commented(text string) string {
	return "Certificate:\n    Data:\n        Version: 3 (0x2)\n        Subject: CN = \u00fcber CA\n" + text + "that was it\n"
}

func TestField2_1_InstalledFileIsJudgedByWhatIsInIt(t *testing.T) {
	ca, next := pkitest.NewCA(t), pkitest.NewCA(t, pkitest.Name("next root"))
	leaf := ca.Issue(t)
	between := ca.Intermediate(t)
	below := between.Issue(t)
	var many strings.Builder
	for range 40 {
		many.WriteString(next.PEM())
	}
	trusted := pemOf("TRUSTED CERTIFICATE", append(slices.Clone(ca.Cert.Raw), 0x30, 0x00))
	for name, c := range map[string]struct {
		file string
		leaf *pkitest.Leaf
	}{
		"the issuing root first":      {ca.PEM() + next.PEM(), leaf},
		"the issuing root last":       {next.PEM() + ca.PEM(), leaf},
		"the same root twice":         {ca.PEM() + ca.PEM(), leaf},
		"forty others":                {many.String() + ca.PEM(), leaf},
		"text between":                {commented(next.PEM()) + commented(ca.PEM()), leaf},
		"a key beside it":             {ca.PEM() + leaf.KeyPEM(t), leaf},
		"parameters and a CRL":        {pemOf("DH PARAMETERS", []byte{1}) + ca.PEM() + ca.CRL(t), leaf},
		"OpenSSL's older types":       {pemOf("X509 CERTIFICATE", next.Cert.Raw) + trusted, leaf},
		"the intermediate in it":      {between.PEM() + ca.PEM(), below},
		"the intermediate after it":   {ca.PEM() + next.PEM() + between.PEM(), below},
		"an intermediate as its root": {between.PEM(), below},
	} {
		s := installedSet(t, c.file, c.leaf)
		verified(t, s)
		want := ca.Cert
		if strings.HasPrefix(name, "an intermediate") {
			want = between.Cert
		}
		if !s.CA.Equal(want) {
			t.Errorf("%s: the CA is %s, want %s", name, pki.FactsOf(s.CA).Subject, pki.FactsOf(want).Subject)
		}
		if strings.Contains(c.file, next.PEM()) && !slices.ContainsFunc(s.ClientCAs(), next.Cert.Equal) {
			t.Errorf("%s: clients of the next root are not let in", name)
		}
	}
	// The server's file and the key's as other programs keep them: in one.
	both := leaf.KeyPEM(t) + leaf.PEM()
	s, err := pki.ParseFiles([]byte(ca.PEM()), []byte(both), []byte(both), nil)
	if err != nil {
		t.Fatalf("key and certificate in one file: got %v, want no error", err)
	}
	verified(t, s)
	// A renewed root has the name and the key of the one before.
	old := pkitest.NewCA(t, pkitest.WithKey(ca.Key), pkitest.Valid(time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour)))
	renewed := installedSet(t, old.PEM()+ca.PEM(), leaf)
	verified(t, renewed)
	if !renewed.CA.Equal(ca.Cert) {
		t.Error("an expired root was preferred to the one that is in its time")
	}
	pinned := installedSet(t, old.PEM()+ca.PEM(), leaf)
	if _, err := pinned.Verify(pki.VerifyOptions{Now: time.Now(), CAFingerprint: pki.Fingerprint(old.Cert.Raw)}); !errors.Is(err, pki.ErrExpired) {
		t.Errorf("the expired one pinned: got %v, want expired", err)
	}
	if _, err := renewed.Verify(pki.VerifyOptions{Now: time.Now(), CAFingerprint: pki.Fingerprint(next.Cert.Raw)}); !errors.Is(err, pki.ErrCAMismatch) {
		t.Errorf("another one pinned: got %v, want %v", err, pki.ErrCAMismatch)
	}
	// A CRL of either root belongs to the file.
	crl, err := pki.ParseFiles([]byte(ca.PEM()+next.PEM()), []byte(leaf.PEM()), []byte(leaf.KeyPEM(t)), []byte(next.CRL(t)))
	if err != nil {
		t.Fatal(err)
	}
	verified(t, crl)
}

func TestField2_8_OnlyBlocksOfABundleAreWritten(t *testing.T) {
	ca, next := pkitest.NewCA(t), pkitest.NewCA(t, pkitest.Name("next root"))
	leaf := ca.Issue(t)
	good := leaf.Bundle(t)
	for name, change := range map[string]func(*contract.PkiBundle){
		"openssl x509 -text": func(b *contract.PkiBundle) {
			b.CACrt, b.ServerCrt, b.ServerKey = commented(b.CACrt), commented(b.ServerCrt), "Bag Attributes\n  a: b\n"+b.ServerKey
		},
		"a byte order mark's line": func(b *contract.PkiBundle) { b.CACrt = "\ufeff\n" + b.CACrt },
		"a curve before the key":   func(b *contract.PkiBundle) { b.ServerKey = pemOf("EC PARAMETERS", []byte{6, 0}) + b.ServerKey },
		"two roots":                func(b *contract.PkiBundle) { b.CACrt += next.PEM() },
		"two roots, the other way": func(b *contract.PkiBundle) { b.CACrt = next.PEM() + b.CACrt },
	} {
		b := good
		change(&b)
		s := mustParse(t, b)
		verified(t, s)
		if string(s.CAPEM) != good.CACrt || string(s.ServerPEM) != good.ServerCrt || string(s.KeyPEM) != good.ServerKey {
			t.Errorf("%s: what is written is not the blocks alone", name)
		}
	}
	b := good
	b.CACrt = next.PEM() + b.CACrt
	b.CRLPEM = "Certificate Revocation List (CRL):\n    Version 2 (0x1)\n" + ca.CRL(t) + "\ntext behind\n"
	s := mustParse(t, b)
	verified(t, s)
	if got := string(s.CRL.PEM()); got == "" || !strings.Contains(b.CRLPEM, "\n"+got+"\n") {
		t.Errorf("openssl crl -text: got %q, want the block alone", got)
	}
	dropped := s.KeepRoots(func(string) bool { return false })
	if len(dropped) != 1 || !strings.Contains(dropped[0], pki.Fingerprint(next.Cert.Raw)) || string(s.CAPEM) != good.CACrt {
		t.Errorf("not allowed: got %q, want the further root dropped", dropped)
	}
	dropped = s.KeepRoots(func(f string) bool { return f == pki.Fingerprint(next.Cert.Raw) })
	if len(dropped) != 0 || string(s.CAPEM) != good.CACrt+next.PEM() {
		t.Errorf("allowed: got %q, want the issuing root, then the other", dropped)
	}
	for name, change := range map[string]func(*contract.PkiBundle){
		"a key in ca_crt":           func(b *contract.PkiBundle) { b.CACrt += b.ServerKey },
		"a CRL in server_crt":       func(b *contract.PkiBundle) { b.ServerCrt += ca.CRL(t) },
		"a certificate as the key":  func(b *contract.PkiBundle) { b.ServerKey += b.ServerCrt },
		"a request in ca_chain":     func(b *contract.PkiBundle) { b.CAChain = pemOf("CERTIFICATE REQUEST", []byte{48, 0}) },
		"text and no block":         func(b *contract.PkiBundle) { b.CACrt = "Certificate:\n" },
		"seventeen roots in ca_crt": func(b *contract.PkiBundle) { b.CACrt = strings.Repeat(b.CACrt, 17) },
	} {
		b := good
		change(&b)
		if _, err := pki.ParseBundle(b); !errors.Is(err, pki.ErrMalformed) {
			t.Errorf("%s: got %v, want %v", name, err, pki.ErrMalformed)
		}
	}
}

func TestField2_11_ChainInOrder(t *testing.T) {
	root := pkitest.NewCA(t)
	old := pkitest.NewCA(t, pkitest.Name("old root"))
	one := root.Intermediate(t, pkitest.Name("one"))
	two := one.Intermediate(t, pkitest.Name("two"))
	leaf := two.Issue(t)
	cross := old.Intermediate(t, pkitest.Template(func(c *x509.Certificate) { c.Subject = root.Cert.Subject }), pkitest.WithKey(root.Key))
	b := leaf.Bundle(t)
	for name, chain := range map[string]string{
		"root first":               root.PEM() + one.PEM() + two.PEM(),
		"as it should be":          two.PEM() + one.PEM(),
		"reversed":                 one.PEM() + two.PEM(),
		"cross-signed first":       cross.PEM() + one.PEM() + two.PEM(),
		"cross-signed in between":  one.PEM() + cross.PEM() + two.PEM() + root.PEM(),
		"the leaf again, reversed": one.PEM() + leaf.PEM() + two.PEM(),
	} {
		b := b
		b.CAChain = chain
		s := mustParse(t, b)
		verified(t, s)
		want := leaf.PEM() + two.PEM() + one.PEM()
		if strings.Contains(chain, cross.PEM()) {
			want += cross.PEM()
		}
		if string(s.ServerPEM) != want {
			t.Errorf("%s: not the leaf, then each one's issuer, want %v", name, want)
		}
	}
	b.ServerCrt, b.CAChain = b.ServerCrt+one.PEM()+two.PEM(), ""
	if got := string(mustParse(t, b).ServerPEM); got != leaf.PEM()+two.PEM()+one.PEM() {
		t.Error("reversed in server_crt: not in order")
	}
	b.ServerCrt, b.CACrt = leaf.PEM(), two.PEM()+root.PEM()+one.PEM()
	s := mustParse(t, b)
	if string(s.ServerPEM) != leaf.PEM()+two.PEM()+one.PEM() || string(s.CAPEM) != root.PEM() {
		t.Error("the chain in ca_crt: not the chain in the server's file, and the root in the CA's")
	}
	if path, err := exec.LookPath("openssl"); err == nil {
		opensslVerifies(t, path, s)
	}
}

func opensslVerifies(t *testing.T, openssl string, s *pki.Set) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string][]byte{"ca.pem": s.CAPEM, "server.pem": s.ServerPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(openssl, "verify", "-CAfile", "ca.pem", "-untrusted", "server.pem", "server.pem")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("openssl verify: got %v\n%s, want no error", err, out)
	}
}

// negative gives a certificate a negative serial number, signed by key.
func negative(t *testing.T, c *x509.Certificate, key crypto.Signer) []byte {
	t.Helper()
	var whole struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(c.Raw, &whole); err != nil {
		t.Fatal(err)
	}
	tbs := bytes.Replace(whole.TBS.FullBytes, []byte{2, 1, byte(c.SerialNumber.Int64())}, []byte{2, 1, 0x85}, 1)
	sum := sha256.Sum256(tbs)
	signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	whole.TBS = asn1.RawValue{FullBytes: tbs}
	whole.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	der, err := asn1.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x509.ParseCertificate(der); err == nil || !strings.Contains(err.Error(), "negative serial") {
		t.Fatalf("the test's certificate: got %v, want a negative serial number", err)
	}
	return der
}

func TestField2_15_NegativeSerial(t *testing.T) {
	ca := pkitest.NewCA(t)
	odd := pkitest.NewCA(t, pkitest.Name("odd"), pkitest.Serial(77))
	oddPEM := pemOf("CERTIFICATE", negative(t, odd.Cert, odd.Key))
	leaf := ca.Issue(t)
	for name, file := range map[string]string{
		"before": oddPEM + ca.PEM(), "after": ca.PEM() + oddPEM, "alone between": ca.PEM() + oddPEM + ca.PEM(),
	} {
		s := installedSet(t, file, leaf)
		if warnings := strings.Join(verified(t, s), "; "); !strings.Contains(warnings, "negative serial") || !s.CA.Equal(ca.Cert) {
			t.Errorf("%s: got the warnings %q, want one about the serial number", name, warnings)
		}
		b := leaf.Bundle(t)
		b.CACrt = file
		if s := mustParse(t, b); string(s.CAPEM) != ca.PEM() {
			t.Errorf("%s: the CA with the negative serial number is written", name)
		}
	}
	oddLeaf := ca.Issue(t, pkitest.Serial(78))
	ofOdd := odd.Issue(t)
	between := ca.Intermediate(t, pkitest.Serial(79))
	ofBetween := between.Issue(t)
	betweenPEM := pemOf("CERTIFICATE", negative(t, between.Cert, ca.Key))
	for name, f := range map[string][3]string{
		"the leaf":                      {ca.PEM(), pemOf("CERTIFICATE", negative(t, oddLeaf.Cert, ca.Key)), oddLeaf.KeyPEM(t)},
		"its issuer":                    {oddPEM, ofOdd.PEM(), ofOdd.KeyPEM(t)},
		"its issuer, beside another CA": {ca.PEM() + oddPEM, ofOdd.PEM(), ofOdd.KeyPEM(t)},
		"an intermediate":               {ca.PEM(), ofBetween.PEM() + betweenPEM, ofBetween.KeyPEM(t)},
	} {
		if _, err := pki.ParseFiles([]byte(f[0]), []byte(f[1]), []byte(f[2]), nil); !errors.Is(err, pki.ErrSerial) {
			t.Errorf("%s, installed: got %v, want %v", name, err, pki.ErrSerial)
		}
		if _, err := pki.ParseBundle(contract.PkiBundle{CACrt: f[0], ServerCrt: f[1], ServerKey: f[2]}); !errors.Is(err, pki.ErrSerial) {
			t.Errorf("%s, in a bundle: got %v, want %v", name, err, pki.ErrSerial)
		}
	}
}

func TestField3_8_TheCAsOwnKeyIsRefused(t *testing.T) {
	ca := pkitest.NewCA(t)
	between := ca.Intermediate(t)
	for name, b := range map[string]contract.PkiBundle{
		"the root's":         ca.Issue(t, pkitest.WithKey(ca.Key)).Bundle(t),
		"the intermediate's": between.Issue(t, pkitest.WithKey(between.Key)).Bundle(t),
		"the root's, deeper": between.Issue(t, pkitest.WithKey(ca.Key)).Bundle(t),
	} {
		_, err := pki.ParseBundle(b)
		if !errors.Is(err, pki.ErrUntrusted) || !strings.Contains(err.Error(), "key of the CA") {
			t.Errorf("%s key: got %v, want a refusal", name, err)
		}
	}
	s := mustParse(t, ca.Issue(t, pkitest.Template(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true })).Bundle(t))
	if warnings := strings.Join(verified(t, s), "; "); !strings.Contains(warnings, "CA:TRUE") {
		t.Errorf(`a leaf that is a CA: got the warnings %q, want "CA:TRUE" in it`, warnings)
	}
	if block, _ := pem.Decode(s.KeyPEM); block == nil {
		t.Error("no key")
	}
}
