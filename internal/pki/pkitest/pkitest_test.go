package pkitest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"testing"
)

func TestIssuedChainsVerify(t *testing.T) {
	for _, k := range []KeyType{P256, P384, RSA2048, Ed25519} {
		t.Run(string(k), func(t *testing.T) {
			root := NewCA(t, Key(k))
			leaf := root.Intermediate(t, Key(k)).Intermediate(t, Key(k)).Issue(t, Key(k))
			b := leaf.Bundle(t)
			pool := x509.NewCertPool()
			if !pool.AppendCertsFromPEM([]byte(b.CAChain)) {
				t.Fatal("the chain holds no certificate")
			}
			if _, err := leaf.Cert.Verify(x509.VerifyOptions{Roots: root.Pool(), Intermediates: pool, DNSName: DefaultFQDN}); err != nil {
				t.Errorf("verify: got %v, want no error", err)
			}
			if _, err := tls.X509KeyPair([]byte(b.ServerCrt), []byte(b.ServerKey)); err != nil {
				t.Errorf("certificate and key: got %v, want no error", err)
			}
			if got := len(leaf.TLS().Certificate); got != 3 {
				t.Errorf("TLS() presents %d certificates, want leaf and two intermediates", got)
			}
		})
	}
}

func TestCRLListsWhatIsRevoked(t *testing.T) {
	ca := NewCA(t)
	leaf := ca.Issue(t, Serial(7))
	block, _ := pem.Decode([]byte(ca.CRL(t, leaf.Cert)))
	crl, err := x509.ParseRevocationList(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := crl.CheckSignatureFrom(ca.Cert); err != nil {
		t.Error(err)
	}
	if n := len(crl.RevokedCertificateEntries); n != 1 || crl.RevokedCertificateEntries[0].SerialNumber.Int64() != 7 {
		t.Errorf("CRL lists %d entries, want serial 7 alone", n)
	}
}
