package daemon

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/linux-patch/enroll/internal/config"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/pki"
)

// Why a client is turned away.
var (
	errNoCertificate = errors.New("no client certificate")
	errRevoked       = errors.New("the client certificate is revoked")
)

// served is one certificate set as the listener uses it. It never changes: a
// reload makes another one, so that a handshake sees one set alone.
type served struct {
	certificate tls.Certificate
	roots       *x509.CertPool
	facts       pki.Facts
	// crlIssuer is the raw name of who signed the CRL; revoked holds the
	// serial numbers in it.
	crlIssuer []byte
	revoked   map[string]bool
	// warnings are what is not quite right with the set.
	warnings []string
}

func newServed(set *pki.Set) (*served, error) {
	certificate, err := tls.X509KeyPair(set.ServerPEM, set.KeyPEM)
	if err != nil {
		return nil, err
	}
	s := &served{
		certificate: certificate, roots: x509.NewCertPool(), facts: pki.FactsOf(set.Server), revoked: map[string]bool{},
	}
	s.roots.AddCert(set.CA)
	if set.CRL != nil {
		s.crlIssuer = bytes.Clone(set.CRL.RawIssuer)
		for _, entry := range set.CRL.RevokedCertificateEntries {
			s.revoked[string(entry.SerialNumber.Bytes())] = true
		}
	}
	return s, nil
}

// judge holds a client's certificates against the CA and its CRL. It does not
// rely on what crypto/tls has found, so that a handshake that was begun under
// another set is judged by this one, and so is each request after it.
func (s *served) judge(peer []*x509.Certificate, now time.Time) error {
	if len(peer) == 0 {
		return errNoCertificate
	}
	between := x509.NewCertPool()
	for _, c := range peer[1:] {
		between.AddCert(c)
	}
	chains, err := peer[0].Verify(x509.VerifyOptions{
		Roots: s.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return err
	}
	for _, chain := range chains {
		if !s.revokes(chain) {
			return nil
		}
	}
	return errRevoked
}

// revokes looks a chain up in the CRL, by the rule of package pki: the leaf's
// serial counts whoever issued it, since a manager may keep one list for all.
func (s *served) revokes(chain []*x509.Certificate) bool {
	for i, c := range chain[:len(chain)-1] {
		if s.revoked[string(c.SerialNumber.Bytes())] && (i == 0 || bytes.Equal(c.RawIssuer, s.crlIssuer)) {
			return true
		}
	}
	return false
}

// installed reads the certificate set from disk.
type installed struct {
	files *hostfs.Host
	paths config.Paths
}

// errTaken says that there is no certificate set any more, or none yet.
var errTaken = errors.New("certificate, key or CA is missing")

// read returns the files of the set and a digest over them, or over what is
// wrong with them.
func (i installed) read() (files [4]hostfs.File, digest [sha256.Size]byte, err error) {
	sum := sha256.New()
	for n, path := range []string{i.paths.CACert, i.paths.ServerCert, i.paths.ServerKey, i.paths.CRL} {
		if files[n], err = i.files.Read(path); err != nil {
			return files, sha256.Sum256([]byte(err.Error())), err
		}
		fmt.Fprintf(sum, "%v %d\n", files[n].Exists, len(files[n].Content))
		sum.Write(files[n].Content)
	}
	return files, [sha256.Size]byte(sum.Sum(nil)), nil
}

// parse makes a set that can be served of files, or says why not. One whose own
// certificate its CRL lists is served on, with a warning: clients decide about
// it, and the CRL's other entries must not wait.
func parse(files [4]hostfs.File, now time.Time) (*served, error) {
	ca, cert, key, crl := files[0], files[1], files[2], files[3]
	if !ca.Exists || !cert.Exists || !key.Exists {
		return nil, errTaken
	}
	set, err := pki.ParseFiles(ca.Content, cert.Content, key.Content, crl.Content)
	if err != nil {
		return nil, contract.Errorf(contract.CodeBundleInvalid, "%w", err)
	}
	warnings, err := set.Verify(pki.VerifyOptions{Now: now})
	switch {
	case errors.Is(err, pki.ErrRevoked):
		warnings = append(warnings, err.Error())
	case err != nil:
		return nil, contract.Errorf(contract.CodeBundleInvalid, "%w", err)
	}
	if key.Mode.Perm()&0o007 != 0 {
		warnings = append(warnings, fmt.Sprintf("%s is a private key that everybody may reach (mode %04o)", key.Path, key.Mode.Perm()))
	}
	s, err := newServed(set)
	if err != nil {
		return nil, contract.Errorf(contract.CodeBundleInvalid, "%s and %s: %w", cert.Path, key.Path, err)
	}
	s.warnings = warnings
	return s, nil
}
