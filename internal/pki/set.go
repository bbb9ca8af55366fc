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
	// maxOneCert is in bytes of DER.
	maxOneCert = 64 << 10
)

// Set is one parsed certificate set: what a bundle brings, or what is
// installed on disk.
type Set struct {
	CA     *x509.Certificate
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
	// as PKCS#8. CRLPEM is empty where there is no CRL.
	CAPEM     []byte
	ServerPEM []byte
	KeyPEM    []byte `json:"-"`
	CRLPEM    []byte

	// names are what messages call the parts.
	names names
}

type names struct{ ca, server, key, chain, crl string }

// ParseBundle reads what a manager hands out. Each field holds PEM of its
// type and nothing else, white space apart.
func ParseBundle(b contract.PkiBundle) (*Set, error) {
	s := &Set{names: names{"ca_crt", "server_crt", "server_key", "ca_chain", "crl_pem"}}
	crl := []byte(b.CRLPEM)
	if blank(crl) {
		crl = nil
	}
	err := s.parse(strict, []byte(b.CACrt), []byte(b.ServerCrt), []byte(b.ServerKey), []byte(b.CAChain), crl)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// ParseFiles reads what is installed; crl is nil where there is no such file.
// An empty one is malformed: what cut it off must not let revoked clients in.
// Files that were placed
// by hand may have text around the PEM blocks, as openssl writes it, and EC
// PARAMETERS before the key. Other types are refused as in a bundle.
func ParseFiles(ca, server, key, crl []byte) (*Set, error) {
	s := &Set{names: names{"CA file", "server certificate file", "key file", "", "CRL file"}}
	if err := s.parse(lenient, ca, server, key, nil, crl); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Set) parse(how strictness, ca, server, key, chain, crl []byte) error {
	cas, err := parseCerts(s.names.ca, ca, how, 1)
	if err != nil {
		return err
	}
	s.CA = cas[0]
	servers, err := parseCerts(s.names.server, server, how, maxServerBlocks)
	if err != nil {
		return err
	}
	s.Server = servers[0]
	if !blank(chain) {
		if s.Chain, err = parseCerts(s.names.chain, chain, how, maxIntermediates); err != nil {
			return err
		}
	}
	s.addIntermediates(servers[1:])
	s.addIntermediates(s.Chain)
	if n := len(s.Intermediates); n > maxIntermediates {
		return fmt.Errorf("%s: %w: %d intermediate certificates, at most %d are accepted", s.names.server, ErrMalformed, n, maxIntermediates)
	}
	if s.KeyPEM, err = parseKeyFor(s.Server, s.names, key, how); err != nil {
		return err
	}
	if crl != nil {
		if s.CRL, err = readCRL(s.names.crl, bytes.NewReader(crl), how); err != nil {
			return err
		}
		s.CRLPEM = s.CRL.PEM()
	}
	s.CAPEM = certsPEM(s.CA)
	s.ServerPEM = certsPEM(append([]*x509.Certificate{s.Server}, s.Intermediates...)...)
	return nil
}

// addIntermediates keeps each certificate once. A peer has the root already;
// one that is sent along proves nothing, so it stays out of the server's file.
func (s *Set) addIntermediates(certs []*x509.Certificate) {
next:
	for _, c := range certs {
		if c.Equal(s.Server) || c.Equal(s.CA) {
			continue
		}
		for _, have := range s.Intermediates {
			if c.Equal(have) {
				continue next
			}
		}
		s.Intermediates = append(s.Intermediates, c)
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
