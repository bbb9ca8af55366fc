package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/linux-patch/enroll/internal/plaintext"
)

// CRL is a revocation list. Its entries are streamed into their serial numbers:
// as the standard library's records a million of them would take 600 MB.
type CRL struct {
	Number                 *big.Int
	ThisUpdate, NextUpdate time.Time
	// RawIssuer is the name of who signed it, as DER.
	RawIssuer []byte

	// partial says that a critical extension changes what the list covers, as
	// that of a delta list does (RFC 5280, 5.2).
	partial bool
	// head is the list without its entries, but with the bytes that were signed.
	head *x509.RevocationList
	// entries is the DER of the entries.
	entries []byte
	serials serials
}

// ReadCRL reads one CRL as PEM, text around it aside. name is what errors call
// it.
func ReadCRL(name string, from io.Reader) (*CRL, error) {
	return readCRL(name, from, lenient)
}

func readCRL(name string, from io.Reader, how strictness) (*CRL, error) {
	der, err := readCRLBlock(name, from, how)
	if err != nil {
		return nil, err
	}
	crl, err := parseCRL(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: the CRL can't be read: %s", name, ErrMalformed, plaintext.Line(err.Error(), maxText))
	}
	// Go's parser overlooks what follows the list.
	if len(crl.head.Raw) != len(der) {
		return nil, fmt.Errorf("%s: %w: data follows the CRL", name, ErrMalformed)
	}
	return crl, nil
}

// Revoked is how many certificates the list holds.
func (c *CRL) Revoked() int { return c.serials.len() }

// Lists reports whether a serial number is on the list.
func (c *CRL) Lists(serial *big.Int) bool { return c.serials.has(derInteger(serial)) }

// PEM is the list encoded anew; nil where there is none, and after Forget.
func (c *CRL) PEM() []byte {
	if c == nil || c.head == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: typeCRL, Bytes: c.head.Raw})
}

// SHA256 is the fingerprint of the list.
func (c *CRL) SHA256() string { return Fingerprint(c.head.Raw) }

// Forget lets go of the bytes that the list came as. The serial numbers stay:
// that is all that judging certificates takes once the signature was checked.
func (c *CRL) Forget() {
	c.RawIssuer = bytes.Clone(c.RawIssuer)
	c.head, c.entries = nil, nil
}

// CheckIssuer holds a CRL against the CA, RFC 5280 6.3.3 (f) and (g).
func (c *CRL) CheckIssuer(ca *x509.Certificate) error {
	if err := checkSignatureAlgorithm(c.head.SignatureAlgorithm); err != nil {
		return err
	}
	if !bytes.Equal(c.RawIssuer, ca.RawSubject) {
		return fmt.Errorf("%w: issued by another CA", ErrUntrusted)
	}
	if ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return fmt.Errorf("%w: the CA's key usage does not allow it to sign CRLs", ErrUntrusted)
	}
	if err := c.head.CheckSignatureFrom(ca); err != nil {
		return fmt.Errorf("%w: not signed by the CA", ErrUntrusted)
	}
	return nil
}

// since says when a listed certificate was revoked, as far as that was kept.
func (c *CRL) since(serial *big.Int) (since string) {
	want := derInteger(serial)
	_ = eachEntry(c.entries, func(got []byte, at time.Time) {
		if bytes.Equal(got, want) {
			since = " since " + stamp(at)
		}
	})
	return since
}

// CheckRevocation looks the set's certificates up. A serial counts no matter who of
// the chain issued it: a manager may keep one list for all that it issues.
func (s *Set) CheckRevocation() error {
	if serial := s.Server.SerialNumber; s.CRL.Lists(serial) {
		return fmt.Errorf("%s: %w by %s%s", s.names.server, ErrRevoked, s.names.crl, s.CRL.since(serial))
	}
	for _, c := range s.Intermediates {
		if s.CRL.Lists(c.SerialNumber) && bytes.Equal(c.RawIssuer, s.CRL.RawIssuer) {
			return fmt.Errorf("an intermediate of %s: %w by %s%s", s.names.server, ErrRevoked, s.names.crl, s.CRL.since(c.SerialNumber))
		}
	}
	return nil
}

// Warnings tells why the absence of a certificate from the CRL may mean
// little.
func (c *CRL) Warnings(name string, now time.Time) []string {
	var warnings []string
	if c.OutOfDate(now) {
		warnings = append(warnings, fmt.Sprintf("%s is out of date since %s", name, stamp(c.NextUpdate)))
	}
	if begin := c.ThisUpdate; begin.After(now.Add(ClockTolerance)) {
		warnings = append(warnings, fmt.Sprintf("%s is dated %s, which is still to come", name, stamp(begin)))
	}
	if c.partial {
		warnings = append(warnings, name+" has a critical extension and may not cover every certificate")
	}
	return warnings
}

// crlWarnings says of an installed list that is out of date who would refresh it.
func (s *Set) crlWarnings(o VerifyOptions) []string {
	warnings := s.CRL.Warnings(s.names.crl, o.Now)
	if !s.CRL.OutOfDate(o.Now) || !s.installed {
		return warnings
	}
	if o.CRLRefreshed {
		return warnings[1:]
	}
	warnings[0] += "; no one refreshes it: the agent does where enrollment.manager_url is set in config.yaml"
	return warnings
}

// OlderThan reports whether the list is from before another of the same CA: an
// earlier date, or a lower number (RFC 5280, 5.2.3).
func (c *CRL) OlderThan(other *CRL) bool {
	return c.ThisUpdate.Before(other.ThisUpdate) ||
		other.Number != nil && (c.Number == nil || c.Number.Cmp(other.Number) < 0)
}

// OutOfDate reports whether a newer list was due before now.
func (c *CRL) OutOfDate(now time.Time) bool { return !c.NextUpdate.IsZero() && now.After(c.NextUpdate) }

// CRLSignedBy says whether crlPEM is a CRL that ca issued and signed, current
// or not.
func CRLSignedBy(crlPEM []byte, ca *x509.Certificate) bool {
	crl, err := ReadCRL("CRL", bytes.NewReader(crlPEM))
	return err == nil && crl.CheckIssuer(ca) == nil
}
