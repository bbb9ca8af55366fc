package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"github.com/linux-patch/enroll/internal/plaintext"
)

// The descriptions stand in for file contents in diffs. Nothing of a file that
// can't be read is shown: it might be a key that went astray. An empty file is
// described by nothing, so that it looks like one that is not there.

// otherBytes marks a file that is not, byte for byte, what would be written
// for the same contents, so that its replacement shows as a difference.
const otherBytes = "encoding: not as it would be written here\n"

// DescribeCertificate returns the facts of each certificate, a "key: value"
// line each, and its PEM.
func DescribeCertificate(pemBytes []byte) string {
	if blank(pemBytes) {
		return ""
	}
	certs, _, err := parseCerts("", pemBytes, lenient, maxFileRoots)
	if err != nil {
		return "not a readable certificate\n"
	}
	certs = slices.DeleteFunc(certs, func(c *x509.Certificate) bool { return c == nil })
	var out strings.Builder
	if !bytes.Equal(pemBytes, certsPEM(certs...)) {
		out.WriteString(otherBytes)
	}
	for _, c := range certs {
		f := FactsOf(c)
		fmt.Fprintf(&out, "subject: %s\nissuer: %s\nserial: %s\nfingerprint: %s\nnot_before: %s\nnot_after: %s\nsan: %s\n",
			f.Subject, f.Issuer, f.Serial, f.Fingerprint, stamp(f.NotBefore), stamp(f.NotAfter), strings.Join(f.SAN, ", "))
		out.Write(certsPEM(c))
	}
	return out.String()
}

// DescribeKey tells a private key by its public key.
func DescribeKey(pemBytes []byte) string {
	if blank(pemBytes) {
		return ""
	}
	const unreadable = "not a readable private key\n"
	block, err := keyBlock("", pemBytes, lenient)
	if err != nil {
		return unreadable
	}
	key, err := parseKey(block)
	if err != nil {
		return unreadable
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return unreadable
	}
	text := "private key, SHA-256 of its public key " + Fingerprint(spki) + "\n"
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil || !bytes.Equal(pemBytes, pem.EncodeToMemory(&pem.Block{Type: typeKey, Bytes: der})) {
		text += otherBytes
	}
	return text
}

// DescribeCRL returns the facts of a CRL; its SHA-256 stands for its PEM,
// which grows with the fleet.
func DescribeCRL(pemBytes []byte) string {
	if blank(pemBytes) {
		return ""
	}
	crl, err := ReadCRL("", bytes.NewReader(pemBytes))
	if err != nil {
		return "not a readable CRL\n"
	}
	var out strings.Builder
	if !bytes.Equal(pemBytes, crl.PEM()) {
		out.WriteString(otherBytes)
	}
	fmt.Fprintf(&out, "issuer: %s\n", plaintext.Line(crl.head.Issuer.String(), maxText))
	if crl.Number != nil {
		fmt.Fprintf(&out, "number: %s\n", plaintext.Line(crl.Number.Text(16), maxText))
	}
	fmt.Fprintf(&out, "this_update: %s\n", stamp(crl.ThisUpdate))
	if !crl.NextUpdate.IsZero() {
		fmt.Fprintf(&out, "next_update: %s\n", stamp(crl.NextUpdate))
	}
	fmt.Fprintf(&out, "revoked: %d\nfingerprint: %s\n", crl.Revoked(), crl.SHA256())
	return out.String()
}
