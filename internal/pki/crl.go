package pki

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"time"
)

func parseCRL(name string, data []byte, how strictness) (*x509.RevocationList, error) {
	blocks, err := splitPEM(name, data, how, maxCRLBytes, 1)
	if err != nil {
		return nil, err
	}
	b := blocks[0]
	if b.Type != typeCRL || len(b.Headers) != 0 {
		return nil, fmt.Errorf("%s: %w: the PEM block is not a plain %s", name, ErrMalformed, typeCRL)
	}
	crl, err := x509.ParseRevocationList(b.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: the CRL can't be read: %s", name, ErrMalformed, printable(err.Error(), maxText))
	}
	// Go's parser overlooks what follows the list.
	if len(crl.Raw) != len(b.Bytes) {
		return nil, fmt.Errorf("%s: %w: data follows the CRL", name, ErrMalformed)
	}
	return crl, nil
}

// checkCRLIssuer holds a CRL against the CA, RFC 5280 6.3.3 (f) and (g).
func checkCRLIssuer(crl *x509.RevocationList, ca *x509.Certificate) error {
	if err := checkSignatureAlgorithm(crl.SignatureAlgorithm); err != nil {
		return err
	}
	if !bytes.Equal(crl.RawIssuer, ca.RawSubject) {
		return fmt.Errorf("%w: issued by another CA", ErrUntrusted)
	}
	if ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return fmt.Errorf("%w: the CA's key usage does not allow it to sign CRLs", ErrUntrusted)
	}
	if err := crl.CheckSignatureFrom(ca); err != nil {
		return fmt.Errorf("%w: not signed by the CA", ErrUntrusted)
	}
	return nil
}

// checkRevocation looks the set's certificates up. A serial counts whoever of
// the chain issued it: a manager may keep one list for all that it issues.
func (s *Set) checkRevocation() error {
	for _, e := range s.CRL.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(s.Server.SerialNumber) == 0 {
			return fmt.Errorf("%s: %w by %s since %s", s.names.server, ErrRevoked, s.names.crl, stamp(e.RevocationTime))
		}
		for _, c := range s.Intermediates {
			if e.SerialNumber.Cmp(c.SerialNumber) == 0 && bytes.Equal(c.RawIssuer, s.CRL.RawIssuer) {
				return fmt.Errorf("an intermediate of %s: %w by %s since %s", s.names.server, ErrRevoked, s.names.crl, stamp(e.RevocationTime))
			}
		}
	}
	return nil
}

// crlWarnings tells why the absence of a certificate from the CRL may mean
// little.
func (s *Set) crlWarnings(now time.Time) []string {
	var warnings []string
	if end := s.CRL.NextUpdate; !end.IsZero() && now.After(end) {
		warnings = append(warnings, fmt.Sprintf("%s is out of date since %s", s.names.crl, stamp(end)))
	}
	if begin := s.CRL.ThisUpdate; begin.After(now.Add(ClockTolerance)) {
		warnings = append(warnings, fmt.Sprintf("%s is dated %s, which is still to come", s.names.crl, stamp(begin)))
	}
	// Such an extension, a delta list's say, changes what the list covers
	// (RFC 5280, 5.2).
	for _, e := range s.CRL.Extensions {
		if e.Critical {
			warnings = append(warnings, s.names.crl+" has a critical extension and may not cover every certificate")
			break
		}
	}
	return warnings
}

// CRLSignedBy says whether crlPEM is a CRL that ca issued and signed, current
// or not.
func CRLSignedBy(crlPEM []byte, ca *x509.Certificate) bool {
	crl, err := parseCRL("CRL", crlPEM, lenient)
	return err == nil && checkCRLIssuer(crl, ca) == nil
}
