package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/linux-patch/enroll/internal/plaintext"
)

// ClockTolerance is how far ahead a validity may begin: managers issue from
// their own "now", and a host's clock may be a little behind.
const ClockTolerance = 5 * time.Minute

// expiryWarning is how long before its end a certificate is warned about.
const expiryWarning = 30 * 24 * time.Hour

// VerifyOptions is what a set is held against.
type VerifyOptions struct {
	Now time.Time
	// FQDN and IPs are looked for in the SAN: the name, where not empty, and
	// any one of the addresses.
	FQDN string
	IPs  []netip.Addr
	// Strict turns the warnings about SAN and EKU into ErrIdentity.
	Strict bool
	// CRLRefreshed says that an agent fetches a new CRL in time, so that one that
	// is out of date just now is not worth a warning.
	CRLRefreshed bool
	// CAFingerprint is the SHA-256 of the CA that the set must have, as
	// NormalizeFingerprint takes it; empty accepts any.
	CAFingerprint string
}

// Verify judges the set. What time can't change comes first, so that
// ErrNotYetValid and ErrExpired tell of a set that is otherwise good.
func (s *Set) Verify(o VerifyOptions) (warnings []string, err error) {
	if o.CAFingerprint != "" {
		want, err := NormalizeFingerprint(o.CAFingerprint)
		if err != nil {
			return nil, err
		}
		if err := s.pinned(want); err != nil {
			return nil, err
		}
	} else {
		s.preferValid(o.Now)
	}
	if err := s.checkStrength(); err != nil {
		return nil, err
	}
	if err := s.checkCA(); err != nil {
		return nil, err
	}
	if s.noChain != nil {
		return nil, s.noChain
	}
	if s.CRL != nil {
		if err := s.checkCRL(); err != nil {
			return nil, err
		}
	}
	if err := s.checkTimes(s.chains, o.Now); err != nil {
		return nil, err
	}

	warnings = s.identityWarnings(o)
	if o.Strict && len(warnings) > 0 {
		return nil, fmt.Errorf("%s: %w: %s", s.names.server, ErrIdentity, strings.Join(warnings, "; "))
	}
	warnings = append(warnings, s.expiryWarnings(o.Now)...)
	for _, text := range s.skipped {
		warnings = append(warnings, text+": it is skipped")
	}
	if s.Server.IsCA {
		warnings = append(warnings, "the server certificate is a CA certificate (CA:TRUE): with its key anyone could issue certificates")
	}
	if s.CRL != nil {
		warnings = append(warnings, s.crlWarnings(o)...)
	}
	return warnings, nil
}

// checkCRL wants the CRL to be of a root of the set. Of another root than the
// certificate's own it says nothing about the certificate.
func (s *Set) checkCRL() error {
	err := s.CRL.CheckIssuer(s.CA)
	if err == nil {
		return s.CheckRevocation()
	}
	for _, c := range s.Roots {
		if s.CRL.CheckIssuer(c) == nil {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", s.names.crl, err)
}

// checkStrength looks at every certificate, also at one that the chain does
// not need: the server would present it.
func (s *Set) checkStrength() error {
	check := func(name string, c *x509.Certificate) error {
		if err := checkKey(c); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := checkSignatureAlgorithm(c.SignatureAlgorithm); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	if err := check(s.names.ca, s.CA); err != nil {
		return err
	}
	if err := check(s.names.server, s.Server); err != nil {
		return err
	}
	for _, c := range s.Intermediates {
		if err := check("an intermediate of "+s.names.server, c); err != nil {
			return err
		}
	}
	return nil
}

// checkCA holds the CA to RFC 5280, 4.2.1.3 and 4.2.1.9. Go's verification
// asks this of intermediates, but takes a root as it is.
func (s *Set) checkCA() error {
	ca := s.CA
	switch {
	case !ca.BasicConstraintsValid || !ca.IsCA:
		return fmt.Errorf("%s: %w: it is not a CA (basic constraints)", s.names.ca, ErrUntrusted)
	case ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCertSign == 0:
		return fmt.Errorf("%s: %w: its key usage does not allow it to sign certificates", s.names.ca, ErrUntrusted)
	case ca.Equal(s.Server):
		return fmt.Errorf("%s: %w: it is %s itself, not issued by it", s.names.server, ErrUntrusted, s.names.ca)
	}
	if bytes.Equal(ca.RawIssuer, ca.RawSubject) {
		if err := ca.CheckSignature(ca.SignatureAlgorithm, ca.RawTBSCertificate, ca.Signature); err != nil {
			return fmt.Errorf("%s: %w: its signature by itself is wrong", s.names.ca, ErrUntrusted)
		}
	}
	return nil
}

// findChains finds every way from the server certificate to the CA, by signatures,
// names and constraints. Go judges the times of all certificates at once and
// without tolerance, so it is given copies that are always valid; checkTimes
// looks at the real ones.
func (s *Set) findChains() ([][]*x509.Certificate, error) {
	moment := time.Unix(0, 0)
	timeless := func(c *x509.Certificate) *x509.Certificate {
		open := *c
		open.NotBefore, open.NotAfter = moment, moment
		return &open
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(timeless(s.CA))
	helpers := slices.Clone(s.Intermediates)
	for _, c := range s.inCAFile {
		if !c.Equal(s.CA) && !selfSigned(c) {
			helpers = append(helpers, c)
		}
	}
	for _, c := range helpers {
		between.AddCert(timeless(c))
	}
	found, err := timeless(s.Server).Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: between,
		CurrentTime:   moment,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w: it does not verify to %s: %s", s.names.server, ErrUntrusted, s.names.ca, plaintext.Line(err.Error(), maxText))
	}
	originals := append([]*x509.Certificate{s.CA, s.Server}, helpers...)
	for _, chain := range found {
		for i, c := range chain {
			for _, o := range originals {
				if c.Equal(o) {
					chain[i] = o
				}
			}
		}
	}
	return found, nil
}

// checkTimes wants one chain that is valid now. Where there is none, a chain
// that has yet to begin decides over one that is over.
func (s *Set) checkTimes(chains [][]*x509.Certificate, now time.Time) error {
	var why error
	for _, chain := range chains {
		err := s.checkChainTimes(chain, now)
		if err == nil {
			return nil
		}
		if why == nil || errors.Is(err, ErrNotYetValid) {
			why = err
		}
	}
	return why
}

// checkChainTimes: within one chain what is over decides, since waiting does
// not help.
func (s *Set) checkChainTimes(chain []*x509.Certificate, now time.Time) error {
	for i, c := range chain {
		if now.After(c.NotAfter) {
			return fmt.Errorf("%s: %w since %s, the clock says %s", s.nameIn(chain, i), ErrExpired, stamp(c.NotAfter), stamp(now))
		}
	}
	for i, c := range chain {
		if c.NotBefore.After(now.Add(ClockTolerance)) {
			return fmt.Errorf("%s: %w: it begins %s, the clock says %s", s.nameIn(chain, i), ErrNotYetValid, stamp(c.NotBefore), stamp(now))
		}
	}
	return nil
}

func (s *Set) nameIn(chain []*x509.Certificate, i int) string {
	switch i {
	case 0:
		return s.names.server
	case len(chain) - 1:
		return s.names.ca
	}
	return "an intermediate of " + s.names.server
}

// identityWarnings: managers of several versions issue certificates without
// SAN or for clients only, and hosts work with them.
func (s *Set) identityWarnings(o VerifyOptions) []string {
	var warnings []string
	c := s.Server
	if o.FQDN != "" && c.VerifyHostname(o.FQDN) != nil {
		warnings = append(warnings, "the server certificate's SAN does not name "+plaintext.Line(o.FQDN, maxText))
	}
	if len(o.IPs) > 0 && !hasAnyIP(c, o.IPs) {
		warnings = append(warnings, "the server certificate's SAN has none of this host's addresses")
	}
	for _, u := range c.ExtKeyUsage {
		if u == x509.ExtKeyUsageServerAuth || u == x509.ExtKeyUsageAny {
			return warnings
		}
	}
	return append(warnings, "the server certificate does not state the extended key usage serverAuth")
}

func hasAnyIP(c *x509.Certificate, ips []netip.Addr) bool {
	for _, raw := range c.IPAddresses {
		have, _ := netip.AddrFromSlice(raw)
		if slices.ContainsFunc(ips, func(ip netip.Addr) bool { return ip.Unmap().WithZone("") == have.Unmap() }) {
			return true
		}
	}
	return false
}

func (s *Set) expiryWarnings(now time.Time) []string {
	var warnings []string
	warn := func(name string, c *x509.Certificate) {
		if left := c.NotAfter.Sub(now); left < expiryWarning {
			warnings = append(warnings, fmt.Sprintf("%s expires %s, in %d days", name, stamp(c.NotAfter), int(left/(24*time.Hour))))
		}
	}
	warn("the server certificate", s.Server)
	warn("the CA", s.CA)
	return warnings
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
