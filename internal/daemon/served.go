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
	// ca is the CA's certificate as DER: who a CRL must be signed by.
	ca []byte
	// caFile is a digest of the file that the CA was read from.
	caFile [sha256.Size]byte
	// crl is nil where there is none, and crlProblem says why one that is on
	// disk is not the one in force.
	crl        *pki.CRL
	crlProblem error
	// warnings are what is not quite right with the set.
	warnings []string
}

func newServed(set *pki.Set) (*served, error) {
	certificate, err := tls.X509KeyPair(set.ServerPEM, set.KeyPEM)
	if err != nil {
		return nil, err
	}
	s := &served{certificate: certificate, roots: x509.NewCertPool(), facts: pki.FactsOf(set.Server), ca: set.CA.Raw}
	for _, ca := range set.ClientCAs() {
		s.roots.AddCert(ca)
	}
	return s, nil
}

// inForce is the list that is served by, for anyone who has read this CA file; nil
// where the file on disk is not that list, or the CA is another one by now.
func (l *listener) inForce(caFile []byte) *pki.CRL {
	if s := l.set.Load(); s != nil && s.crlProblem == nil && s.caFile == sha256.Sum256(caFile) {
		return s.crl
	}
	return nil
}

// revoked is how many certificates the CRL lists.
func (s *served) revoked() int {
	if s.crl == nil {
		return 0
	}
	return s.crl.Revoked()
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
// serial counts no matter who issued it, since a manager may keep one list for all.
func (s *served) revokes(chain []*x509.Certificate) bool {
	if s.crl == nil {
		return false
	}
	for i, c := range chain[:len(chain)-1] {
		if s.crl.Lists(c.SerialNumber) && (i == 0 || bytes.Equal(c.RawIssuer, s.crl.RawIssuer)) {
			return true
		}
	}
	return false
}

// installed reads the certificate set from disk.
type installed struct {
	files *hostfs.Host
	paths config.Paths
	crls  crlFile
}

func newInstalled(files *hostfs.Host, paths config.Paths) *installed {
	return &installed{files: files, paths: paths, crls: crlFile{files: files, path: paths.CRL}}
}

// errTaken says that there is no certificate set any more, or none yet.
var errTaken = errors.New("certificate, key or CA is missing")

// read returns the files of the set but for the CRL, and a digest over all, or
// over what is wrong with them.
func (i *installed) read() (files [3]hostfs.File, digest [sha256.Size]byte, err error) {
	sum := sha256.New()
	for n, path := range []string{i.paths.CACert, i.paths.ServerCert, i.paths.ServerKey} {
		if files[n], err = i.files.Read(path); err != nil {
			return files, sha256.Sum256([]byte(err.Error())), err
		}
		fmt.Fprintf(sum, "%v %d\n", files[n].Exists, len(files[n].Content))
		sum.Write(files[n].Content)
	}
	sum.Write(i.crls.look())
	return files, [sha256.Size]byte(sum.Sum(nil)), nil
}

// load makes a set that can be served of files, or says why not. One whose own
// certificate its CRL lists is served on, with a warning: clients decide about
// it, and the CRL's other entries must not wait.
func (i *installed) load(files [3]hostfs.File, now time.Time) (*served, error) {
	ca, cert, key := files[0], files[1], files[2]
	if !ca.Exists || !cert.Exists || !key.Exists {
		return nil, errTaken
	}
	refuse := func(err error) (*served, error) {
		return nil, contract.Errorf(contract.CodeBundleInvalid, "%w (%s, %s, %s)", err, ca.Path, cert.Path, key.Path)
	}
	set, err := pki.ParseFiles(ca.Content, cert.Content, key.Content, nil)
	if err != nil {
		return refuse(err)
	}
	warnings, err := set.Verify(pki.VerifyOptions{Now: now})
	if err != nil {
		return refuse(err)
	}
	if key.Mode.Perm()&0o007 != 0 {
		warnings = append(warnings, fmt.Sprintf("%s is a private key that others can read (mode %04o)", key.Path, key.Mode.Perm()))
	}
	s, err := newServed(set)
	if err != nil {
		return refuse(err)
	}
	s.caFile = sha256.Sum256(ca.Content)
	if s.crl, s.crlProblem, err = i.crls.load(set.CA); err != nil {
		return nil, err
	}
	if set.CRL = s.crl; set.CRL != nil {
		if err := set.CheckRevocation(); err != nil {
			warnings = append(warnings, err.Error())
		}
		warnings = append(warnings, s.crl.Warnings(i.paths.CRL, now)...)
	}
	s.warnings = warnings
	return s, nil
}
