// Package pki reads certificate sets, a manager's bundle or the files that a
// host has installed, and judges them at a given time.
//
// It promises that an accepted set is one that a TLS listener can load: its
// key fits its certificate and its PEM files hold what was understood and
// nothing else. Verify adds that the certificate chains to the set's own CA,
// is in its time, is not revoked and rests on no weak key or signature. The
// work is bounded by caps on sizes and counts, and no message holds key
// material. It does not read files, ask the clock, use the system's roots or
// fetch revocation lists.
package pki

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
)

// Why a set is not good. Parse gives ErrMalformed and ErrKeyMismatch, and
// ErrWeak for a kind of key that can't be read at all; Verify gives all but
// the first two.
var (
	// ErrMalformed: not the PEM, or not the amount of it, that belongs there.
	ErrMalformed = errors.New("malformed")
	// ErrKeyMismatch: the private key is not that of the certificate.
	ErrKeyMismatch = errors.New("private key does not fit the certificate")
	// ErrUntrusted: the certificate or the CRL does not come from the CA, or
	// the CA is none.
	ErrUntrusted = errors.New("not trusted")
	// ErrCAMismatch: the CA is another than the one that was asked for.
	ErrCAMismatch = errors.New("not the expected CA")
	// ErrSerial: the certificate, or its issuer, has a negative serial number,
	// so that this program can neither use nor judge the set.
	ErrSerial = errors.New("a negative serial number is not accepted: have the certificate issued anew")
	// ErrRevoked: the CRL lists the certificate or an intermediate.
	ErrRevoked = errors.New("revoked")
	// ErrWeak: a key or signature of a kind or size that is not accepted.
	ErrWeak = errors.New("key or signature not acceptable")
	// ErrNotYetValid: valid from a time that lies further ahead than
	// ClockTolerance. This can't be judged until the clock is right.
	ErrNotYetValid = errors.New("not valid yet")
	// ErrExpired: its time is over.
	ErrExpired = errors.New("expired")
	// ErrIdentity: strict mode, and SAN or EKU do not fit this host.
	ErrIdentity = errors.New("not made for this host")
)

// Caps on what is read, for a bundle's fields in bytes of PEM. A manager's
// certificates take a few KiB; a CRL grows with the fleet.
const (
	maxCertsBytes    = 256 << 10
	maxKeyBytes      = 16 << 10
	maxCRLBytes      = 64 << 20
	maxIntermediates = 16
	// maxServerBlocks: the leaf, its intermediates, and a root that is dropped.
	maxServerBlocks = 1 + maxIntermediates + 1
	// maxRoots is for a bundle; a file of OpenSSL's may hold the world's.
	maxRoots     = 16
	maxFileRoots = 1024
	// maxOneCert is in bytes of DER.
	maxOneCert = 64 << 10
)

// Set is one parsed certificate set: what a bundle brings, or what is
// installed on disk.
type Set struct {
	// CA is the one that issued the certificate. Roots are the others of its
	// field or file.
	CA     *x509.Certificate
	Roots  []*x509.Certificate
	Server *x509.Certificate
	// Intermediates are the certificates that follow the leaf in the server's
	// file: those of the server's own field, then those of Chain; each once,
	// never the leaf or CA.
	Intermediates []*x509.Certificate
	// Chain is what a bundle's ca_chain holds, as it came.
	Chain []*x509.Certificate
	// CRL is nil where there is none.
	CRL *CRL

	// The files to write: the DER that was understood, encoded anew, the key
	// as PKCS#8. That of the CRL is CRL.PEM().
	CAPEM     []byte
	ServerPEM []byte
	KeyPEM    []byte `json:"-"`

	// inCAFile, between and path are what CA, Roots and Intermediates are made
	// of: all of the CA file; all that may stand between; and one chain.
	inCAFile, between, path []*x509.Certificate
	// chains lead from the certificate to CA, their signatures checked once; where
	// there is none, noChain says why.
	chains  [][]*x509.Certificate
	noChain error
	// skipped are warnings about certificates that could not be used.
	skipped []string
	// names are what messages call the parts.
	names names
	// installed says that this is a host's set, not a bundle.
	installed bool
}

type names struct{ ca, server, key, chain, crl string }

// ParseBundle reads what a manager hands out. Each field holds PEM of its
// type; text outside the blocks is skipped.
func ParseBundle(b contract.PkiBundle) (*Set, error) {
	s := &Set{names: names{"ca_crt", "server_crt", "server_key", "ca_chain", "crl_pem"}}
	crl := []byte(b.CRLPEM)
	if blank(crl) {
		crl = nil
	}
	err := s.parse(strict, []byte(b.CACrt), []byte(b.ServerCrt), []byte(b.ServerKey), []byte(b.CAChain), crl)
	if err == nil {
		err = s.checkNotCAKey()
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// ParseFiles reads what is installed; crl is nil where there is no such file.
// An empty one is malformed: what cut it off must not let revoked clients in.
// Files that were placed
// by hand are read as OpenSSL reads them: blocks of other types are skipped.
func ParseFiles(ca, server, key, crl []byte) (*Set, error) {
	s := &Set{installed: true, names: names{"CA file", "server certificate file", "key file", "", "CRL file"}}
	if err := s.parse(lenient, ca, server, key, nil, crl); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Set) parse(how strictness, ca, server, key, chain, crl []byte) error {
	roots, servers := maxRoots, maxServerBlocks
	if how == lenient {
		roots, servers = maxFileRoots, maxFileRoots
	}
	leaves, skipped, err := parseCerts(s.names.server, server, how, servers)
	if err != nil {
		return err
	}
	if s.Server = leaves[0]; s.Server == nil {
		return fmt.Errorf("%w: %s", ErrSerial, skipped[0])
	}
	s.skipped = skipped
	if s.inCAFile, err = s.certs(s.names.ca, ca, how, roots); err != nil {
		return err
	}
	if !blank(chain) {
		if s.Chain, err = s.certs(s.names.chain, chain, how, maxIntermediates); err != nil {
			return err
		}
	}
	s.addBetween(leaves[1:])
	s.addBetween(s.Chain)
	if len(s.inCAFile) == 0 {
		return fmt.Errorf("%w: %s", ErrSerial, strings.Join(s.skipped, "; "))
	}
	s.pickCA()
	if n := len(s.Intermediates); n > maxIntermediates {
		return fmt.Errorf("%s: %w: %d intermediate certificates, at most %d are accepted", s.names.server, ErrMalformed, n, maxIntermediates)
	}
	if s.path == nil && len(s.skipped) > 0 {
		return fmt.Errorf("%w: the certificate's issuer is missing or one of these: %s", ErrSerial, strings.Join(s.skipped, "; "))
	}
	if s.KeyPEM, err = parseKeyFor(s.Server, s.names, key, how); err != nil {
		return err
	}
	if crl != nil {
		if s.CRL, err = ReadCRL(s.names.crl, bytes.NewReader(crl)); err != nil {
			return err
		}
	}
	return nil
}

// certs reads certificates, of which all but the skipped ones are returned.
func (s *Set) certs(name string, data []byte, how strictness, most int) ([]*x509.Certificate, error) {
	found, skipped, err := parseCerts(name, data, how, most)
	s.skipped = append(s.skipped, skipped...)
	return slices.DeleteFunc(found, func(c *x509.Certificate) bool { return c == nil }), err
}

// addBetween keeps each certificate once. A peer has the root already; one that
// is sent along proves nothing, so it stays out of the server's file.
func (s *Set) addBetween(certs []*x509.Certificate) {
	for _, c := range certs {
		if !c.Equal(s.Server) && !slices.ContainsFunc(s.between, c.Equal) {
			s.between = append(s.between, c)
		}
	}
}

// ExpiresWithin says whether the server certificate's time ends before d from
// now has passed. The CA's end does not count: a new certificate would not
// move it.
func (s *Set) ExpiresWithin(now time.Time, d time.Duration) bool {
	return !now.Add(d).Before(s.Server.NotAfter)
}

// String tells the certificate; the key never appears.
func (s Set) String() string {
	if s.Server == nil {
		return "empty certificate set"
	}
	return "certificate set of " + FactsOf(s.Server).Subject
}

// GoString keeps the key out of %#v.
func (s Set) GoString() string { return s.String() }
