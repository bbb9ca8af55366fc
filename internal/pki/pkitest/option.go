package pkitest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"
)

// KeyType is a kind of key.
type KeyType string

// The kinds of key. P224 and RSA1024 are for tests of what must be refused.
const (
	P256    KeyType = "P-256"
	P384    KeyType = "P-384"
	P224    KeyType = "P-224"
	RSA2048 KeyType = "RSA-2048"
	RSA1024 KeyType = "RSA-1024"
	Ed25519 KeyType = "Ed25519"
)

// Option changes what a certificate is made of.
type Option func(*spec)

// Key chooses the kind of key; P256 without it.
func Key(k KeyType) Option { return func(s *spec) { s.keyType = k } }

// WithKey takes an existing key in place of a new one.
func WithKey(k crypto.Signer) Option { return func(s *spec) { s.key = k } }

// Name sets the subject's common name.
func Name(cn string) Option {
	return Template(func(c *x509.Certificate) { c.Subject.CommonName = cn })
}

// Valid sets the validity.
func Valid(notBefore, notAfter time.Time) Option {
	return Template(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = notBefore, notAfter })
}

// DNS replaces the SAN's names; with none, and none of IP, there is no SAN.
func DNS(names ...string) Option {
	return Template(func(c *x509.Certificate) { c.DNSNames = names })
}

// IP replaces the SAN's addresses.
func IP(addrs ...string) Option {
	return Template(func(c *x509.Certificate) {
		c.IPAddresses = nil
		for _, a := range addrs {
			c.IPAddresses = append(c.IPAddresses, net.ParseIP(a))
		}
	})
}

// EKU replaces the extended key usages; with none the extension is left out.
func EKU(usages ...x509.ExtKeyUsage) Option {
	return Template(func(c *x509.Certificate) { c.ExtKeyUsage = usages })
}

// Serial sets the serial number, which is random without it.
func Serial(n int64) Option {
	return Template(func(c *x509.Certificate) { c.SerialNumber = big.NewInt(n) })
}

// SignedWith sets the signature algorithm; the issuer's key must fit it.
func SignedWith(a x509.SignatureAlgorithm) Option {
	return Template(func(c *x509.Certificate) { c.SignatureAlgorithm = a })
}

// Template changes anything else before the certificate is signed.
func Template(change func(*x509.Certificate)) Option {
	return func(s *spec) { change(s.template) }
}

// spec gathers the options.
type spec struct {
	template *x509.Certificate
	keyType  KeyType
	key      crypto.Signer
}

func newSpec(t testing.TB, template *x509.Certificate, opts []Option) *spec {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatalf("draw a serial number: %v", err)
	}
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	s := &spec{template: template, keyType: P256}
	for _, o := range opts {
		o(s)
	}
	if s.key == nil {
		s.key = NewKey(t, s.keyType)
	}
	return s
}

func (s *spec) sign(t testing.TB, parent *x509.Certificate, pub crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, s.template, parent, pub, signer)
	if err != nil {
		t.Fatalf("make a test certificate: %v", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("read a test certificate: %v", err)
	}
	return c
}

// NewKey makes a key of the given kind.
func NewKey(t testing.TB, k KeyType) crypto.Signer {
	t.Helper()
	var key crypto.Signer
	var err error
	switch k {
	case P256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case P224:
		key, err = ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	case RSA2048:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case RSA1024:
		key, err = rsa.GenerateKey(rand.Reader, 1024)
	case Ed25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		t.Fatalf("no such kind of key: %q", k)
	}
	if err != nil {
		t.Fatalf("make a test key (%s): %v", k, err)
	}
	return key
}
