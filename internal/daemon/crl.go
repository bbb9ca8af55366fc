package daemon

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/pki"
)

// errCRL marks a certificate set that is fine but for its CRL: who is revoked is
// then not known, so that no client can be served.
var errCRL = errors.New("the CRL cannot be loaded")

// manyRevoked is from where on a list fills megabytes while it is loaded.
const manyRevoked = 20_000

// crlFile is the CRL on disk. It remembers what it loaded last, and what it
// could not load, so that no list is read into memory twice.
type crlFile struct {
	files *hostfs.Host
	path  string
	turn  turn
	// seen is what the file was at the last look.
	seen []byte
	// last is the list that was loaded last, of the file that was lastSeen,
	// signed by the CA lastCA.
	last             *pki.CRL
	lastSeen, lastCA []byte
	// refused is the file that could not be loaded last under the CA refusedCA.
	refused, refusedCA []byte
	why                error
}

// look returns what tells the file from others: a hash of its content, read
// without keeping it, or of what is wrong with it.
func (c *crlFile) look() []byte {
	sum := sha256.New()
	exists, err := c.read(func(from io.Reader) error {
		_, err := io.Copy(sum, from)
		return err
	})
	c.seen = sum.Sum(nil)
	switch {
	case err != nil:
		c.seen = []byte(err.Error())
	case !exists:
		c.seen = nil
	}
	return c.seen
}

func (c *crlFile) read(do func(io.Reader) error) (exists bool, err error) {
	file, about, err := c.files.Open(c.path)
	if err != nil || !about.Exists {
		return false, err
	}
	defer file.Close()
	return true, do(io.LimitReader(file, hostfs.MaxFile+1))
}

// load returns the list that is in force under ca; none where there is no file.
// Where the file cannot be loaded, that is the last one that could, and problem
// says so. An error is where there is no such one.
func (c *crlFile) load(ca *x509.Certificate) (list *pki.CRL, problem, err error) {
	switch {
	case c.seen == nil:
		return nil, nil, nil
	case c.last != nil && bytes.Equal(c.seen, c.lastSeen) && bytes.Equal(ca.Raw, c.lastCA):
		return c.last, nil, nil
	case !bytes.Equal(c.seen, c.refused) || !bytes.Equal(ca.Raw, c.refusedCA):
		c.turn.load(func() { list, err = c.loadNew(ca) })
		if err == nil {
			return list, nil, nil
		}
		c.refused, c.refusedCA, c.why = c.seen, ca.Raw, err
	}
	if c.last != nil && bytes.Equal(ca.Raw, c.lastCA) {
		return c.last, c.why, nil
	}
	return nil, nil, c.why
}

func (c *crlFile) loadNew(ca *x509.Certificate) (list *pki.CRL, err error) {
	// What was read, which need not be what was looked at.
	sum := sha256.New()
	exists, err := c.read(func(from io.Reader) error {
		list, err = pki.ReadCRL(c.path, io.TeeReader(from, sum))
		return err
	})
	if err == nil && !exists {
		err = fmt.Errorf("%s is being replaced", c.path)
	}
	if err == nil {
		if err = list.CheckIssuer(ca); err != nil {
			err = fmt.Errorf("%s: %w", c.path, err)
		}
	}
	if err != nil {
		return nil, contract.Errorf(contract.CodeBundleInvalid, "%w: %w", errCRL, err).
			WithHint("put the manager's current CRL at %s ({manager_url}/api/v1/pki/crl.pem)", c.path)
	}
	list.Forget()
	if list.Revoked() > manyRevoked {
		// The text is gone, and this process allocates too little for it to be
		// given back soon.
		debug.FreeOSMemory()
	}
	c.last, c.lastSeen, c.lastCA = list, sum.Sum(nil), ca.Raw
	return list, nil
}
