package pkitest

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
)

// Whom a certificate is for, where no option says so.
const (
	DefaultFQDN = "host.example.test"
	DefaultIP   = "192.0.2.10"
)

// Leaf is an issued certificate with its key.
type Leaf struct {
	Cert   *x509.Certificate
	Key    crypto.Signer
	issuer *CA
}

// PEM returns the certificate alone.
func (l *Leaf) PEM() string { return certPEM(l.Cert) }

// KeyPEM returns the private key as PKCS#8.
func (l *Leaf) KeyPEM(t testing.TB) string { return keyPEM(t, l.Key) }

// ChainPEM returns the intermediates between the certificate and the root,
// the issuer first; it is empty where the root issued it.
func (l *Leaf) ChainPEM() string {
	out := ""
	for ca := l.issuer; ca.parent != nil; ca = ca.parent {
		out += ca.PEM()
	}
	return out
}

// Bundle returns what a manager would hand out, without a CRL.
func (l *Leaf) Bundle(t testing.TB) contract.PkiBundle {
	t.Helper()
	root := l.issuer
	for root.parent != nil {
		root = root.parent
	}
	return contract.PkiBundle{
		CACrt:     root.PEM(),
		ServerCrt: l.PEM(),
		ServerKey: l.KeyPEM(t),
		CAChain:   l.ChainPEM(),
	}
}

// TLS returns the certificate with its chain, for a listener or a client.
func (l *Leaf) TLS() tls.Certificate {
	out := tls.Certificate{Certificate: [][]byte{l.Cert.Raw}, PrivateKey: l.Key, Leaf: l.Cert}
	for ca := l.issuer; ca.parent != nil; ca = ca.parent {
		out.Certificate = append(out.Certificate, ca.Cert.Raw)
	}
	return out
}

func leafTemplate() *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: DefaultFQDN + "-server"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{DefaultFQDN},
		IPAddresses:           []net.IP{net.ParseIP(DefaultIP)},
	}
}

func certPEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

func keyPEM(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatalf("encode a test key: %v", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
