package pki

import (
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/linux-patch/enroll/internal/plaintext"
)

// Caps on text that comes out of certificates, which is untrusted.
const (
	maxText = 256
	maxSANs = 64
)

// Facts is what a person wants to know of a certificate. All text is
// printable and capped.
type Facts struct {
	Subject string `json:"subject"`
	Issuer  string `json:"issuer"`
	// Serial is lower-case hex.
	Serial string `json:"serial"`
	// Fingerprint is the SHA-256 of the certificate, lower-case hex.
	Fingerprint string    `json:"fingerprint"`
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
	// SAN entries are written DNS:name, IP:address, email:address, URI:uri.
	SAN []string `json:"san"`
}

// FactsOf reads the facts of c.
func FactsOf(c *x509.Certificate) Facts {
	return Facts{
		Subject:     plaintext.Line(c.Subject.String(), maxText),
		Issuer:      plaintext.Line(c.Issuer.String(), maxText),
		Serial:      plaintext.Line(c.SerialNumber.Text(16), maxText),
		Fingerprint: Fingerprint(c.Raw),
		NotBefore:   c.NotBefore.UTC(),
		NotAfter:    c.NotAfter.UTC(),
		SAN:         sanOf(c),
	}
}

func sanOf(c *x509.Certificate) []string {
	san := []string{}
	for _, n := range c.DNSNames {
		san = append(san, "DNS:"+plaintext.Line(n, maxText))
	}
	for _, ip := range c.IPAddresses {
		san = append(san, "IP:"+ip.String())
	}
	for _, m := range c.EmailAddresses {
		san = append(san, "email:"+plaintext.Line(m, maxText))
	}
	for _, u := range c.URIs {
		san = append(san, "URI:"+plaintext.Line(u.Redacted(), maxText))
	}
	if more := len(san) - maxSANs; more > 0 {
		san = append(san[:maxSANs], fmt.Sprintf("and %d more", more))
	}
	return san
}

// NormalizeFingerprint takes a SHA-256 as people copy it, with or without
// colons, in either case, after "sha256:" or openssl's "SHA256 Fingerprint=",
// and returns it as lower-case hex.
func NormalizeFingerprint(s string) (string, error) {
	f := strings.ToLower(strings.TrimSpace(s))
	for _, prefix := range []string{"sha256:", "sha-256:", "sha256 fingerprint="} {
		f = strings.TrimSpace(strings.TrimPrefix(f, prefix))
	}
	if strings.Contains(f, ":") {
		pairs := strings.Split(f, ":")
		for _, p := range pairs {
			if len(p) != 2 {
				return "", errFingerprint(s)
			}
		}
		f = strings.Join(pairs, "")
	}
	if raw, err := hex.DecodeString(f); err != nil || len(raw) != 32 {
		return "", errFingerprint(s)
	}
	return f, nil
}

func errFingerprint(s string) error {
	return fmt.Errorf("not a SHA-256 fingerprint (64 hex digits, colons allowed): %q", plaintext.Line(s, 100))
}
