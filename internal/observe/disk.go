package observe

import (
	"errors"
	"fmt"
	"time"

	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/statedir"
)

// Disk is what is on this host's disk.
type Disk struct {
	CA, Cert, Key, CRL hostfs.File
	// Set is nil where the installed files are no certificate set at all.
	Set *pki.Set
	// Unusable says why the installed set cannot serve; nil where it can.
	Unusable error
	Warnings []string
	// inForce is the list that the agent goes by; nil where the file tells.
	inForce *pki.CRL
	// CRLProblem says why the CRL was left out of that; nil where it was not.
	CRLProblem error

	// crlRefreshed says that the agent fetches new CRLs.
	crlRefreshed bool

	// ConfigToken is a token that stands in config.yaml.
	ConfigToken string
	// Store is the state directory.
	*statedir.Store
	// Stale are temporary files that a killed run left.
	Stale []string
}

// errMissing says that there is no certificate set to judge.
var errMissing = errors.New("certificate, key or CA is missing")

// Begun reports whether any of the files is there: without one, nothing is wrong,
// the host is just not enrolled.
func (d *Disk) Begun() bool { return d.CA.Exists || d.Cert.Exists || d.Key.Exists }

// Files are the installed ones, in the order in which results list them.
func (d *Disk) Files() []*hostfs.File {
	return []*hostfs.File{&d.CA, &d.Cert, &d.Key, &d.CRL}
}

// judge parses and verifies the installed set. Who the host is does not enter:
// that was judged when the set came, and a renamed host still has to serve.
func (d *Disk) judge(now time.Time) {
	d.Set, d.Warnings, d.CRLProblem = nil, nil, nil
	if !d.CA.Exists || !d.Cert.Exists || !d.Key.Exists {
		d.Unusable = errMissing
		return
	}
	d.Unusable = d.judgeWith(d.CRL.Content, now)
	why := d.Unusable
	if why == nil || !d.CRL.Exists || errors.Is(why, pki.ErrRevoked) {
		return
	}
	set, warnings := d.Set, d.Warnings
	if err := d.judgeWith(nil, now); err == nil || set == nil && d.Set != nil {
		d.Unusable, d.CRLProblem = err, why
		return
	}
	d.Set, d.Warnings = set, warnings
}

// judgeWith is judge with this CRL.
func (d *Disk) judgeWith(crl []byte, now time.Time) (err error) {
	if d.Set, err = pki.ParseFiles(d.CA.Content, d.Cert.Content, d.Key.Content, crl); err != nil {
		d.Set = nil
		return err
	}
	if d.inForce != nil {
		return d.judgeInForce(now)
	}
	d.Warnings, err = d.Set.Verify(pki.VerifyOptions{Now: now, CRLRefreshed: d.crlRefreshed})
	return err
}

// judgeInForce is for a list whose signature was checked when it was loaded, and
// whose bytes are gone since.
func (d *Disk) judgeInForce(now time.Time) (err error) {
	if d.Warnings, err = d.Set.Verify(pki.VerifyOptions{Now: now}); err != nil {
		return err
	}
	d.Set.CRL = d.inForce
	return d.Set.CheckRevocation()
}

// CRLWarning says that the CRL cannot be used, and who brings another: it can be
// had again at any time, so the set stays.
func (d *Disk) CRLWarning(why error) string {
	return fmt.Sprintf("%s cannot be used: %v; the certificates stay, but an agent that is started serves no client until the manager's current CRL is there "+
		"({manager_url}/api/v1/pki/crl.pem); linux_patch_api fetches it by itself", d.CRL.Path, why)
}

// Usable reports whether the installed set can serve from now on for longer than
// the time in which it is to be renewed. A certificate that was never valid for
// that long would be renewed for ever: the last third of its life is taken then.
func (d *Disk) Usable(now time.Time, renewBefore time.Duration) bool {
	if d.Set != nil {
		if life := d.Set.Server.NotAfter.Sub(d.Set.Server.NotBefore); renewBefore >= life {
			renewBefore = life / 3
		}
	}
	return d.Set != nil && d.Unusable == nil && !d.Set.ExpiresWithin(now, renewBefore)
}
