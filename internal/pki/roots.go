package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// pickCA makes the first certificate of the CA file that issued the leaf the
// set's CA. The other self-signed ones become Roots. Where none issued it, the
// first one stands for the file, and Verify says what is wrong.
func (s *Set) pickCA() {
	for _, ca := range s.candidates() {
		if s.use(ca); s.path != nil {
			return
		}
	}
	s.use(s.inCAFile[0])
}

// candidates are the certificates of the CA file, self-signed ones first: one
// that another of the file issued is only an intermediate.
func (s *Set) candidates() []*x509.Certificate {
	others := slices.DeleteFunc(slices.Clone(s.inCAFile), selfSigned)
	roots := slices.DeleteFunc(slices.Clone(s.inCAFile), func(c *x509.Certificate) bool { return !selfSigned(c) })
	return append(roots, others...)
}

func selfSigned(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }

// use makes one certificate the set's CA, and all else follow from it.
func (s *Set) use(ca *x509.Certificate) {
	s.CA, s.Roots, s.path = ca, nil, nil
	for _, c := range s.inCAFile {
		if selfSigned(c) && !c.Equal(ca) {
			s.Roots = append(s.Roots, c)
		}
	}
	s.Intermediates = slices.DeleteFunc(slices.Clone(s.between), func(c *x509.Certificate) bool {
		return c.Equal(ca) || slices.ContainsFunc(s.Roots, c.Equal)
	})
	// A chain of one is a leaf that stands in the CA file itself.
	s.chains, s.noChain = s.findChains()
	chains := slices.DeleteFunc(slices.Clone(s.chains), func(chain []*x509.Certificate) bool { return len(chain) < 2 })
	if len(chains) > 0 {
		s.path = slices.MinFunc(chains, func(a, b []*x509.Certificate) int { return len(a) - len(b) })
		s.Intermediates = ordered(s.path[1:len(s.path)-1], s.Intermediates)
	} else {
		s.Intermediates = ordered(nil, s.Intermediates)
	}
	s.CAPEM = certsPEM(s.CA)
	s.ServerPEM = certsPEM(append([]*x509.Certificate{s.Server}, s.Intermediates...)...)
}

// ordered puts the path's certificates first, each followed by its issuer (RFC
// 8446, 4.4.2), and then the others, such as cross-signed ones, in that order
// too.
func ordered(path, all []*x509.Certificate) []*x509.Certificate {
	out := slices.Clone(path)
	rest := slices.DeleteFunc(slices.Clone(all), func(c *x509.Certificate) bool { return slices.ContainsFunc(path, c.Equal) })
	for len(rest) > 0 {
		// The first that no one who is left was issued by.
		next := max(0, slices.IndexFunc(rest, func(c *x509.Certificate) bool {
			return !slices.ContainsFunc(rest, func(d *x509.Certificate) bool {
				return !d.Equal(c) && !selfSigned(d) && bytes.Equal(d.RawIssuer, c.RawSubject)
			})
		}))
		out, rest = append(out, rest[next]), slices.Delete(rest, next, next+1)
	}
	return out
}

// KeepRoots writes those further roots too that keep accepts by their
// fingerprint: each of them is a CA for clients as well. It says which were
// dropped.
func (s *Set) KeepRoots(keep func(fingerprint string) bool) (dropped []string) {
	kept := []*x509.Certificate{s.CA}
	for _, c := range s.Roots {
		fingerprint := Fingerprint(c.Raw)
		if keep(fingerprint) && checkKey(c) == nil && c.IsCA {
			kept = append(kept, c)
			continue
		}
		dropped = append(dropped, fmt.Sprintf("%s brings a further CA that did not issue the certificate, %s (SHA-256 %s): it was left out",
			s.names.ca, FactsOf(c).Subject, fingerprint))
	}
	s.CAPEM = certsPEM(kept...)
	return dropped
}

// ClientCAs are the certificates that clients may be issued by: every root of
// the CA file.
func (s *Set) ClientCAs() []*x509.Certificate {
	return append([]*x509.Certificate{s.CA}, s.Roots...)
}

// pinned makes the CA with a fingerprint the set's CA, where it issued the
// certificate.
func (s *Set) pinned(want string) error {
	for _, c := range s.inCAFile {
		if Fingerprint(c.Raw) != want || c.Equal(s.CA) {
			continue
		}
		was := s.CA
		if s.use(c); s.path == nil {
			s.use(was)
		}
	}
	if got := Fingerprint(s.CA.Raw); got != want {
		return fmt.Errorf("%s: %w: its SHA-256 is %s, wanted is %s", s.names.ca, ErrCAMismatch, got, want)
	}
	return nil
}

// preferValid makes a root that is in its time the set's CA, where several
// issued the certificate: a renewed root has the name and key of the one before.
func (s *Set) preferValid(now time.Time) {
	if s.inTime(now) {
		return
	}
	was := s.CA
	for _, c := range s.candidates() {
		if s.use(c); s.inTime(now) {
			return
		}
	}
	s.use(was)
}

func (s *Set) inTime(now time.Time) bool {
	return s.noChain == nil && s.checkTimes(s.chains, now) == nil
}

// checkNotCAKey refuses a bundle whose key is that of a CA: who reads it on one
// host could issue certificates for all of them.
func (s *Set) checkNotCAKey() error {
	pub, ok := s.Server.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	for _, c := range slices.Concat(s.inCAFile, s.Intermediates) {
		if ok && c.IsCA && !c.Equal(s.Server) && pub.Equal(c.PublicKey) {
			return fmt.Errorf("%s: %w: it is the key of the CA %s itself, which must not be on a host", s.names.key, ErrUntrusted, FactsOf(c).Subject)
		}
	}
	return nil
}

// Fingerprints reads a CA file alone: those of the certificates in it. Beside a
// broken certificate or key it still says whose CA a host trusts.
func Fingerprints(ca []byte) ([]string, error) {
	s := &Set{names: names{ca: "CA file"}}
	certs, err := s.certs(s.names.ca, ca, lenient, maxFileRoots)
	if err == nil && len(certs) == 0 {
		err = fmt.Errorf("%w: %s", ErrSerial, s.skipped[0])
	}
	out := make([]string, 0, len(certs))
	for _, c := range certs {
		out = append(out, Fingerprint(c.Raw))
	}
	return out, err
}
