// Package pkitest makes certificate authorities, certificates, revocation
// lists and whole bundles for tests, good ones by default and bad ones on
// request.
//
// It is for tests only: its keys are made for one test and thrown away. It
// shares no code with package pki, so that neither can hide a mistake of the
// other.
package pkitest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"testing"
	"time"
)

// CA is a certificate authority: a root, or an intermediate below one.
type CA struct {
	Cert *x509.Certificate
	Key  crypto.Signer
	// parent is nil for a root.
	parent *CA
}

// NewCA makes a root that signs itself. Without options it is a P-256 CA,
// valid from an hour ago for ten years.
func NewCA(t testing.TB, opts ...Option) *CA {
	t.Helper()
	s := newSpec(t, caTemplate("Test CA"), opts)
	return &CA{Cert: s.sign(t, s.template, s.key.Public(), s.key), Key: s.key}
}

// Intermediate makes a CA below ca.
func (ca *CA) Intermediate(t testing.TB, opts ...Option) *CA {
	t.Helper()
	s := newSpec(t, caTemplate("Test Intermediate CA"), opts)
	return &CA{Cert: s.sign(t, ca.Cert, s.key.Public(), ca.Key), Key: s.key, parent: ca}
}

// Issue makes a certificate as deployed managers do: P-256, CN FQDN-server,
// SAN of DefaultFQDN and DefaultIP, serverAuth, valid from an hour ago for a
// year. Options change that.
func (ca *CA) Issue(t testing.TB, opts ...Option) *Leaf {
	t.Helper()
	s := newSpec(t, leafTemplate(), opts)
	return &Leaf{Cert: s.sign(t, ca.Cert, s.key.Public(), ca.Key), Key: s.key, issuer: ca}
}

// PEM returns the certificate.
func (ca *CA) PEM() string { return certPEM(ca.Cert) }

// KeyPEM returns the private key as PKCS#8.
func (ca *CA) KeyPEM(t testing.TB) string { return keyPEM(t, ca.Key) }

// Pool returns a pool that holds the CA alone.
func (ca *CA) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca.Cert)
	return p
}

// CRL makes a revocation list of the given certificates, current for a week.
func (ca *CA) CRL(t testing.TB, revoked ...*x509.Certificate) string {
	t.Helper()
	now := time.Now()
	return ca.CRLAt(t, now.Add(-time.Hour), now.AddDate(0, 0, 7), revoked...)
}

// CRLAt makes a revocation list with the given times.
func (ca *CA) CRLAt(t testing.TB, thisUpdate, nextUpdate time.Time, revoked ...*x509.Certificate) string {
	t.Helper()
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: thisUpdate, NextUpdate: nextUpdate}
	for _, c := range revoked {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: thisUpdate})
	}
	return ca.SignCRL(t, template)
}

// SignCRL signs any revocation list.
func (ca *CA) SignCRL(t testing.TB, template *x509.RevocationList) string {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, template, ca.Cert, ca.Key)
	if err != nil {
		t.Fatalf("make a CRL: %v", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
}

func caTemplate(name string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(10, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
}

// Enlarge adds count made-up serial numbers to a list, and signs it anew. The
// standard library would need gigabytes for a million.
func (ca *CA) Enlarge(t testing.TB, crl string, count int) string {
	t.Helper()
	block, _ := pem.Decode([]byte(crl))
	var list struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	var fields []asn1.RawValue
	_, err := asn1.Unmarshal(block.Bytes, &list)
	if err == nil {
		_, err = asn1.Unmarshal(list.TBS.FullBytes, &fields)
	}
	if err != nil {
		t.Fatalf("take a CRL apart: %v", err)
	}
	var known []byte
	if len(fields) > 6 {
		known, fields = fields[5].Bytes, append(fields[:5:5], fields[6:]...)
	}
	entries := make([]byte, 0, 37*count+len(known))
	for i := range count {
		sum := sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		entries = append(entries, 0x30, 2+16+15, 0x02, 16, 0x01)
		entries = append(append(entries, sum[:15]...), "\x17\x0d260101000000Z"...)
	}
	sequence := func(content ...[]byte) []byte {
		der, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: bytes.Join(content, nil)})
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	var before []byte
	for _, f := range fields[:5] {
		before = append(before, f.FullBytes...)
	}
	tbs := sequence(before, sequence(entries, known), fields[5].FullBytes)
	digest := sha256.Sum256(tbs)
	signature, err := ca.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	bits, err := asn1.Marshal(asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)})
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: sequence(tbs, list.Algorithm.FullBytes, bits)}))
}
