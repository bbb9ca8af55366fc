package pki_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

func mustParse(t testing.TB, b contract.PkiBundle) *pki.Set {
	t.Helper()
	s, err := pki.ParseBundle(b)
	if err != nil {
		t.Fatalf("ParseBundle: %v", err)
	}
	return s
}

func pemOf(blockType string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: blockType, Bytes: der}))
}

func derOf(t testing.TB, text string) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatal("test data is not PEM")
	}
	return block.Bytes
}

func TestAcceptedBundles(t *testing.T) {
	for _, k := range []pkitest.KeyType{pkitest.P256, pkitest.P384, pkitest.RSA2048, pkitest.Ed25519} {
		t.Run(string(k), func(t *testing.T) {
			ca := pkitest.NewCA(t, pkitest.Key(k))
			leaf := ca.Intermediate(t, pkitest.Key(k)).Issue(t, pkitest.Key(k))
			b := leaf.Bundle(t)
			b.CRLPEM = ca.CRL(t)
			s := mustParse(t, b)

			if got, want := string(s.CAPEM), b.CACrt; got != want {
				t.Errorf("CA file:\n%s\nwant\n%s", got, want)
			}
			if got, want := string(s.ServerPEM), b.ServerCrt+b.CAChain; got != want {
				t.Errorf("server file:\n%s\nwant the leaf, then the chain:\n%s", got, want)
			}
			if string(s.KeyPEM) != b.ServerKey {
				t.Error("the key, PKCS#8 already, was not kept as it came")
			}
			if got, want := string(s.CRL.PEM()), b.CRLPEM; got != want {
				t.Errorf("CRL file:\n%s\nwant\n%s", got, want)
			}
			if _, err := tls.X509KeyPair(s.ServerPEM, s.KeyPEM); err != nil {
				t.Errorf("a listener can't load it: %v", err)
			}
			if got, want := pki.DescribeKey(s.KeyPEM), pki.Fingerprint(s.Server.RawSubjectPublicKeyInfo); !strings.Contains(got, want) {
				t.Errorf("DescribeKey = %q, want the fingerprint %s", got, want)
			}
		})
	}
}

func TestKeyEncodingsEndUpTheSame(t *testing.T) {
	ca := pkitest.NewCA(t)
	ec := ca.Issue(t)
	sec1, err := x509.MarshalECPrivateKey(ec.Key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	r := ca.Issue(t, pkitest.Key(pkitest.RSA2048))
	for _, c := range []struct {
		name string
		leaf *pkitest.Leaf
		key  string
	}{
		{"SEC1", ec, pemOf("EC PRIVATE KEY", sec1)},
		{"PKCS#1", r, pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r.Key.(*rsa.PrivateKey)))},
		{"line ends of DOS", ec, strings.ReplaceAll(ec.KeyPEM(t), "\n", "\r\n")},
		{"white space around", ec, "\n\n  " + ec.KeyPEM(t) + "\t\n\n"},
		{"no line end at the end", ec, strings.TrimSpace(ec.KeyPEM(t))},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := c.leaf.Bundle(t)
			b.ServerKey = c.key
			if got := string(mustParse(t, b).KeyPEM); got != c.leaf.KeyPEM(t) {
				t.Error("not the canonical PKCS#8 of the same key")
			}
		})
	}
}

func TestIntermediatesAppearOnceAndTheRootNever(t *testing.T) {
	root := pkitest.NewCA(t)
	leaf := root.Intermediate(t, pkitest.Name("one")).Intermediate(t, pkitest.Name("two")).Issue(t)
	b := leaf.Bundle(t)
	want := b.ServerCrt + b.CAChain
	b.ServerCrt += b.CAChain + b.CACrt
	b.CAChain = b.CACrt + b.CAChain + leaf.PEM() + b.CAChain
	s := mustParse(t, b)
	if got := string(s.ServerPEM); got != want {
		t.Errorf("server file:\n%s\nwant\n%s", got, want)
	}
	if len(s.Chain) != 6 {
		t.Errorf("Chain holds %d certificates, want all 6 of ca_chain", len(s.Chain))
	}
}

func TestRefusedBundles(t *testing.T) {
	ca := pkitest.NewCA(t)
	leaf := ca.Intermediate(t).Issue(t)
	good := leaf.Bundle(t)
	good.CRLPEM = ca.CRL(t)
	other := ca.Issue(t)
	crt := good.CACrt
	x25519, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x25519DER, err := x509.MarshalPKCS8PrivateKey(x25519)
	if err != nil {
		t.Fatal(err)
	}
	many := func(n int) string {
		var out strings.Builder
		for i := range n {
			out.WriteString(pkitest.NewCA(t, pkitest.Name(fmt.Sprintf("CA %d", i))).PEM())
		}
		return out.String()
	}
	withHeader := strings.Replace(crt, "-----\n", "-----\nComment: hello\n\n", 1)

	for _, c := range []struct {
		name   string
		change func(*contract.PkiBundle)
		want   error
		text   string
	}{
		{"no CA", func(b *contract.PkiBundle) { b.CACrt = "" }, pki.ErrMalformed, "ca_crt"},
		{"white space for a CA", func(b *contract.PkiBundle) { b.CACrt = " \n" }, pki.ErrMalformed, "ca_crt"},
		{"no certificate", func(b *contract.PkiBundle) { b.ServerCrt = "" }, pki.ErrMalformed, "server_crt"},
		{"no key", func(b *contract.PkiBundle) { b.ServerKey = "" }, pki.ErrMalformed, "server_key"},
		{"byte order mark", func(b *contract.PkiBundle) { b.CACrt = "\ufeff" + crt }, pki.ErrMalformed, "ca_crt"},
		{"a broken block first", func(b *contract.PkiBundle) {
			b.ServerCrt = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n" + b.ServerCrt
		}, pki.ErrMalformed, "server_crt"},
		{"a begin without an end first", func(b *contract.PkiBundle) {
			b.ServerCrt = "-----BEGIN CERTIFICATE-----\n" + b.ServerCrt
		}, pki.ErrMalformed, "server_crt"},
		{"cut off", func(b *contract.PkiBundle) { b.ServerCrt = b.ServerCrt[:len(b.ServerCrt)/2] }, pki.ErrMalformed, "server_crt"},
		{"a second block cut off", func(b *contract.PkiBundle) { b.ServerCrt += b.CAChain[:len(b.CAChain)-9] }, pki.ErrMalformed, "server_crt"},
		{"headers", func(b *contract.PkiBundle) { b.CACrt = withHeader }, pki.ErrMalformed, "ca_crt"},
		{"data after the certificate", func(b *contract.PkiBundle) {
			b.CACrt = pemOf("CERTIFICATE", append(derOf(t, crt), 0))
		}, pki.ErrMalformed, "ca_crt"},
		{"not DER", func(b *contract.PkiBundle) { b.ServerCrt = pemOf("CERTIFICATE", []byte("hello")) }, pki.ErrMalformed, "server_crt"},
		{"an empty block", func(b *contract.PkiBundle) { b.ServerCrt = pemOf("CERTIFICATE", nil) }, pki.ErrMalformed, "server_crt"},
		{"a trusted certificate of openssl", func(b *contract.PkiBundle) {
			b.CACrt = pemOf("TRUSTED CERTIFICATE", derOf(t, crt))
		}, pki.ErrMalformed, "ca_crt"},
		{"the key beside the certificate", func(b *contract.PkiBundle) { b.ServerCrt += b.ServerKey }, pki.ErrMalformed, "server_crt"},
		{"the key in place of the certificate", func(b *contract.PkiBundle) { b.ServerCrt = b.ServerKey }, pki.ErrMalformed, "server_crt"},
		{"the certificate in place of the key", func(b *contract.PkiBundle) { b.ServerKey = b.ServerCrt }, pki.ErrMalformed, "server_key"},
		{"a CRL in the chain", func(b *contract.PkiBundle) { b.CAChain += b.CRLPEM }, pki.ErrMalformed, "ca_chain"},
		{"17 in the chain", func(b *contract.PkiBundle) { b.CAChain = many(17) }, pki.ErrMalformed, "ca_chain"},
		{"1000 in the chain", func(b *contract.PkiBundle) { b.CAChain = strings.Repeat(crt, 1000) }, pki.ErrMalformed, "ca_chain"},
		{"17 in two fields", func(b *contract.PkiBundle) { b.ServerCrt += many(9); b.CAChain = many(8) }, pki.ErrMalformed, "17 intermediate"},
		{"a field too large", func(b *contract.PkiBundle) { b.CACrt += strings.Repeat("\n", 256<<10) }, pki.ErrMalformed, "ca_crt"},
		{"a certificate too large", func(b *contract.PkiBundle) { b.CAChain = pemOf("CERTIFICATE", make([]byte, 64<<10+1)) }, pki.ErrMalformed, "larger"},
		{"two keys", func(b *contract.PkiBundle) { b.ServerKey += b.ServerKey }, pki.ErrMalformed, "server_key"},
		{"three keys", func(b *contract.PkiBundle) { b.ServerKey += b.ServerKey + b.ServerKey }, pki.ErrMalformed, "server_key"},
		{"the key in ca_crt", func(b *contract.PkiBundle) { b.CACrt += b.ServerKey }, pki.ErrMalformed, "ca_crt"},
		{"text alone", func(b *contract.PkiBundle) { b.CACrt = "hello\n" }, pki.ErrMalformed, "ca_crt"},
		{"an encrypted key", func(b *contract.PkiBundle) {
			b.ServerKey = pemOf("ENCRYPTED PRIVATE KEY", []byte("x"))
		}, pki.ErrMalformed, "encrypted with a passphrase"},
		{"an encrypted key of old", func(b *contract.PkiBundle) {
			b.ServerKey = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----\n"
		}, pki.ErrMalformed, "encrypted with a passphrase"},
		{"a key with headers", func(b *contract.PkiBundle) {
			b.ServerKey = strings.Replace(b.ServerKey, "-----\n", "-----\nComment: hello\n\n", 1)
		}, pki.ErrMalformed, "headers"},
		{"a key under the wrong type", func(b *contract.PkiBundle) {
			b.ServerKey = strings.ReplaceAll(b.ServerKey, "PRIVATE", "RSA PRIVATE")
		}, pki.ErrMalformed, "server_key"},
		{"a public key", func(b *contract.PkiBundle) {
			b.ServerKey = pemOf("PUBLIC KEY", leaf.Cert.RawSubjectPublicKeyInfo)
		}, pki.ErrMalformed, "server_key"},
		{"data after the key", func(b *contract.PkiBundle) {
			b.ServerKey = pemOf("PRIVATE KEY", append(derOf(t, b.ServerKey), 0))
		}, pki.ErrMalformed, "server_key"},
		{"a key that can't sign", func(b *contract.PkiBundle) { b.ServerKey = pemOf("PRIVATE KEY", x25519DER) }, pki.ErrMalformed, "server_key"},
		{"a key too large", func(b *contract.PkiBundle) { b.ServerKey = pemOf("PRIVATE KEY", make([]byte, 16<<10)) }, pki.ErrMalformed, "server_key"},
		{"an RSA key of a size that takes seconds to compute with", func(b *contract.PkiBundle) {
			b.ServerKey = pemOf("RSA PRIVATE KEY", rsaOfBits(t, 16384))
		}, pki.ErrMalformed, "server_key"},
		{"the same as PKCS#8", func(b *contract.PkiBundle) {
			b.ServerKey = pemOf("PRIVATE KEY", wrapRSA(t, rsaOfBits(t, 16384)))
		}, pki.ErrMalformed, "server_key"},
		{"another's key", func(b *contract.PkiBundle) { b.ServerKey = other.KeyPEM(t) }, pki.ErrKeyMismatch, "server_key"},
		{"another kind of key", func(b *contract.PkiBundle) {
			b.ServerKey = ca.Issue(t, pkitest.Key(pkitest.Ed25519)).KeyPEM(t)
		}, pki.ErrKeyMismatch, "server_key"},
		{"the chain before the certificate", func(b *contract.PkiBundle) { b.ServerCrt = b.CAChain + b.ServerCrt }, pki.ErrKeyMismatch, "server_crt"},
		{"the CA for a certificate", func(b *contract.PkiBundle) { b.ServerCrt = crt }, pki.ErrKeyMismatch, "server_crt"},
		{"a CRL that is none", func(b *contract.PkiBundle) { b.CRLPEM = crt }, pki.ErrMalformed, "crl_pem"},
		{"two CRLs", func(b *contract.PkiBundle) { b.CRLPEM += b.CRLPEM }, pki.ErrMalformed, "crl_pem"},
		{"data after the CRL", func(b *contract.PkiBundle) {
			b.CRLPEM = pemOf("X509 CRL", append(derOf(t, b.CRLPEM), 0))
		}, pki.ErrMalformed, "crl_pem"},
		{"a CRL that is not DER", func(b *contract.PkiBundle) { b.CRLPEM = pemOf("X509 CRL", []byte("hello")) }, pki.ErrMalformed, "crl_pem"},
		{"a CRL too large", func(b *contract.PkiBundle) { b.CRLPEM += strings.Repeat("\n", 64<<20) }, pki.ErrMalformed, "crl_pem"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := good
			c.change(&b)
			s, err := pki.ParseBundle(b)
			if !errors.Is(err, c.want) || s != nil {
				t.Fatalf("ParseBundle = %v, %v, want %v", s, err, c.want)
			}
			if !strings.Contains(err.Error(), c.text) {
				t.Errorf("message %q does not say %q", err, c.text)
			}
			assertNoKey(t, err.Error(), b)
		})
	}
}

// rsaOfBits is a PKCS#1 key of two numbers that only look like primes.
func rsaOfBits(t *testing.T, bits int) []byte {
	t.Helper()
	p := new(big.Int).SetBit(big.NewInt(1), bits/2, 1)
	q := new(big.Int).Add(p, big.NewInt(6))
	n := new(big.Int).Mul(p, q)
	der, err := asn1.Marshal(struct {
		Version                  int
		N, E, D, P, Q, DP, DQ, I *big.Int
	}{0, n, big.NewInt(65537), new(big.Int).Sub(n, big.NewInt(2)), p, q, big.NewInt(3), big.NewInt(5), big.NewInt(7)})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func wrapRSA(t *testing.T, pkcs1 []byte) []byte {
	t.Helper()
	der, err := asn1.Marshal(struct {
		Version   int
		Algorithm pkix.AlgorithmIdentifier
		Key       []byte
	}{0, pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, Parameters: asn1.NullRawValue}, pkcs1})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// assertNoKey fails when text holds a line of a private key, wherever in the
// bundle that stands.
func assertNoKey(t testing.TB, text string, b contract.PkiBundle) {
	t.Helper()
	rest := []byte(b.ServerKey + "\n" + b.ServerCrt)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return
		}
		body := base64.StdEncoding.EncodeToString(block.Bytes)
		if strings.Contains(block.Type, "PRIVATE KEY") && len(body) > 16 &&
			(strings.Contains(text, body[:16]) || strings.Contains(text, body[len(body)-16:])) {
			t.Errorf("key material in %q", text)
		}
	}
}

func TestKeysOfUnusableKindsAreCalledWeak(t *testing.T) {
	// Ed25519's object identifier, made X25519's in certificate and key: no
	// such key can be fitted, and the certificate tells why.
	ed := pkitest.NewCA(t).Issue(t, pkitest.Key(pkitest.Ed25519))
	toX25519 := func(text string) []byte {
		return bytes.Replace(derOf(t, text), []byte{6, 3, 0x2b, 0x65, 112}, []byte{6, 3, 0x2b, 0x65, 110}, 1)
	}
	b := ed.Bundle(t)
	b.ServerCrt = pemOf("CERTIFICATE", toX25519(ed.PEM()))
	b.ServerKey = pemOf("PRIVATE KEY", toX25519(ed.KeyPEM(t)))
	if _, err := pki.ParseBundle(b); !errors.Is(err, pki.ErrWeak) || !strings.Contains(err.Error(), "not ECDSA, Ed25519 or RSA") {
		t.Errorf("ParseBundle: %v, want ErrWeak that names the kinds", err)
	}
}

func TestCompressedPointIsRefused(t *testing.T) {
	// What a listener can't load must not be accepted; Go reads no
	// compressed points.
	ca := pkitest.NewCA(t)
	leaf := ca.Issue(t)
	pub := leaf.Key.Public().(*ecdsa.PublicKey)
	full, err := pub.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	short := elliptic.MarshalCompressed(elliptic.P256(), new(big.Int).SetBytes(full[1:33]), new(big.Int).SetBytes(full[33:]))
	der := string(derOf(t, leaf.PEM()))
	b := leaf.Bundle(t)
	b.ServerCrt = pemOf("CERTIFICATE", []byte(strings.Replace(der, string(full), string(short), 1)))
	if _, err := pki.ParseBundle(b); !errors.Is(err, pki.ErrMalformed) {
		t.Errorf("ParseBundle: %v, want ErrMalformed", err)
	}
}

func TestSetPrintsNoKey(t *testing.T) {
	b := pkitest.NewCA(t).Issue(t).Bundle(t)
	s := mustParse(t, b)
	for _, text := range []string{
		fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s),
		fmt.Sprintf("%v %+v %#v %s %q", *s, *s, *s, *s, *s),
	} {
		assertNoKey(t, text, b)
		if strings.Contains(text, "PRIVATE") {
			t.Errorf("printed as %s", text)
		}
	}
}
