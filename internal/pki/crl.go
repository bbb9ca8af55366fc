package pki

import (
	"bufio"
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
	CRLHead

	// entries is the DER of the entries.
	entries []byte
	serials serials
}

// CRLHead is a revocation list but for whom it revokes: what it takes to judge
// the list, and to write it. In memory it is the bytes that it came as.
type CRLHead struct {
	Number                 *big.Int
	ThisUpdate, NextUpdate time.Time
	// RawIssuer is the name of who signed it, as DER.
	RawIssuer []byte

	// partial says that a critical extension changes what the list covers, as
	// that of a delta list does (RFC 5280, 5.2).
	partial bool
	// head is the list without its entries, but with the bytes that were signed.
	head *x509.RevocationList
}

// ReadCRL reads one CRL as PEM, text around it aside. name is what errors call
// it.
func ReadCRL(name string, from io.Reader) (*CRL, error) {
	list, entries, err := readCRLHead(name, from)
	if err != nil {
		return nil, err
	}
	return makeCRL(list, entries), nil
}

// ReadCRLHead is ReadCRL, which refuses the same lists, for who asks for no
// certificate.
func ReadCRLHead(name string, from io.Reader) (*CRLHead, error) {
	list, _, err := readCRLHead(name, from)
	return list, err
}

func readCRLHead(name string, from io.Reader) (*CRLHead, crlEntries, error) {
	der, err := readCRLBlock(name, from)
	if err != nil {
		return nil, crlEntries{}, err
	}
	list, entries, err := parseCRL(der)
	if err != nil {
		return nil, crlEntries{}, fmt.Errorf("%s: %w: the CRL can't be read: %s", name, ErrMalformed, plaintext.Line(err.Error(), maxText))
	}
	// Go's parser overlooks what follows the list.
	if len(list.head.Raw) != len(der) {
		return nil, crlEntries{}, fmt.Errorf("%s: %w: data follows the CRL", name, ErrMalformed)
	}
	return list, entries, nil
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

// WritePEM writes what PEM returns, without having the text in memory.
func (c *CRLHead) WritePEM(to io.Writer) error {
	lines := bufio.NewWriterSize(to, 64<<10)
	if err := pem.Encode(lines, &pem.Block{Type: typeCRL, Bytes: c.head.Raw}); err != nil {
		return err
	}
	return lines.Flush()
}

// SHA256 is the fingerprint of the list.
func (c *CRLHead) SHA256() string { return Fingerprint(c.head.Raw) }

// Forget lets go of the bytes that the list came as. The serial numbers stay:
// that is all that judging certificates takes once the signature was checked.
func (c *CRL) Forget() {
	c.CRLHead.Forget()
	c.entries = nil
}

// Forget lets go of the bytes that the list came as. Its dates and its number
// stay.
func (c *CRLHead) Forget() {
	c.RawIssuer = bytes.Clone(c.RawIssuer)
	c.head = nil
}

// CheckIssuer holds a CRL against the CA, RFC 5280 6.3.3 (f) and (g).
func (c *CRLHead) CheckIssuer(ca *x509.Certificate) error {
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
func (c *CRLHead) Warnings(name string, now time.Time) []string {
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
func (c *CRLHead) OlderThan(other *CRLHead) bool {
	return c.ThisUpdate.Before(other.ThisUpdate) ||
		other.Number != nil && (c.Number == nil || c.Number.Cmp(other.Number) < 0)
}

// OutOfDate reports whether a newer list was due before now.
func (c *CRLHead) OutOfDate(now time.Time) bool {
	return !c.NextUpdate.IsZero() && now.After(c.NextUpdate)
}

// CheckCRL says why crlPEM is no CRL that ca signed, current or not.
func CheckCRL(crlPEM []byte, ca *x509.Certificate) error {
	crl, err := ReadCRL("CRL", bytes.NewReader(crlPEM))
	if err != nil {
		return err
	}
	return crl.CheckIssuer(ca)
}

// CRLOfAnother reports whether crlPEM is a CRL that another CA than ca issued,
// current or not. What is no CRL, or a damaged one of ca, is not.
func CRLOfAnother(crlPEM []byte, ca *x509.Certificate) bool {
	crl, err := ReadCRL("CRL", bytes.NewReader(crlPEM))
	switch {
	case err != nil:
		return false
	case !bytes.Equal(crl.RawIssuer, ca.RawSubject):
		return true
	case len(crl.head.AuthorityKeyId) > 0 && len(ca.SubjectKeyId) > 0:
		return !bytes.Equal(crl.head.AuthorityKeyId, ca.SubjectKeyId)
	default:
		return crl.CheckIssuer(ca) != nil
	}
}
