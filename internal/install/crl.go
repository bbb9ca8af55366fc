package install

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"runtime/debug"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/statedir"
)

// InstallCRL judges a list, and puts it in place. The run lock is held. It
// forgets the bytes of the list before it reads the one on disk: a million
// entries are 40 MB each time.
func (in *Installer) InstallCRL(ctx context.Context, list *pki.CRLHead, inForce *pki.CRL) (changed bool, err error) {
	if in.Disk.Store, err = in.Load(); err != nil {
		return false, err
	}
	if in.Disk.Journal() != nil {
		return false, errUnfinished
	}
	apart, err := in.Alone(ctx)
	if err != nil {
		return false, err
	}
	defer apart.Unlock()
	ca, err := in.readCA()
	if err != nil {
		return false, err
	}
	file, before, err := in.Files.Digest(in.CRL)
	if err != nil {
		return false, err
	}
	if err := list.CheckIssuer(ca); err != nil {
		return false, contract.Errorf(contract.CodeBadAnswer, "the manager's CRL: %w", err)
	}
	after := digestCRL(list)
	if file.Exists && before == after {
		return false, nil
	}
	if inForce != nil && list.OlderThan(&inForce.CRLHead) {
		return false, olderCRL(list)
	}
	staged, err := in.stageCRL(file, list)
	if err != nil {
		return false, err
	}
	if err := in.checkNewer(list, ca); err != nil {
		return false, errors.Join(err, staged.Drop())
	}
	p := in.Disk.Provenance()
	// The first one beside a set of enrollment's is ours as well.
	ours := p.Owns(file.Path, before) || !file.Exists && p.CAFingerprint == pki.Fingerprint(ca.Raw)
	return true, in.placeCRL(staged, file.Path, after, ours)
}

var errUnfinished = errors.New("an interrupted run is to be finished first")

func olderCRL(list *pki.CRLHead) error {
	return contract.Errorf(contract.CodeBadAnswer, "the manager's CRL is older than the one in force: number %s of %s", list.Number, list.ThisUpdate.UTC())
}

// readCA reads the installed set without judging its CRL.
func (in *Installer) readCA() (*x509.Certificate, error) {
	var files [3]hostfs.File
	for i, path := range []string{in.CACert, in.ServerCert, in.ServerKey} {
		var err error
		if files[i], err = in.Files.Read(path); err != nil {
			return nil, err
		}
	}
	set, err := pki.ParseFiles(files[0].Content, files[1].Content, files[2].Content, nil)
	if err != nil {
		return nil, err
	}
	return set.CA, nil
}

// digestCRL is what statedir.Digest says of the file that the list becomes.
func digestCRL(list *pki.CRLHead) string {
	sum := sha256.New()
	// A hash takes everything.
	_ = list.WritePEM(sum)
	return hex.EncodeToString(sum.Sum(nil))
}

// stageCRL forgets the list's bytes once they are on disk.
func (in *Installer) stageCRL(file hostfs.File, list *pki.CRLHead) (*hostfs.Staged, error) {
	defer forget(list)
	return in.Files.Stage(file.Path, list.WritePEM, in.attributes(file, in.ModeOf(file, false)))
}

// checkNewer holds the list against that on disk, where that is one of the CA.
func (in *Installer) checkNewer(list *pki.CRLHead, ca *x509.Certificate) error {
	file, about, err := in.Files.Open(in.CRL)
	if err != nil || !about.Exists {
		return err
	}
	defer file.Close()
	onDisk, err := pki.ReadCRLHead("CRL file", file)
	if err != nil {
		// What is no list is replaced.
		onDisk = &pki.CRLHead{}
	}
	defer forget(onDisk)
	if err == nil && onDisk.CheckIssuer(ca) == nil && list.OlderThan(onDisk) {
		return olderCRL(list)
	}
	return nil
}

// forget gives the memory of a list back before the next is read: this process
// allocates too little for that to happen soon by itself.
func forget(list *pki.CRLHead) {
	list.Forget()
	debug.FreeOSMemory()
}

// placeCRL replaces the file. Where that is ours, the new content is so before
// it is there.
func (in *Installer) placeCRL(staged *hostfs.Staged, path, after string, ours bool) error {
	if ours {
		if err := in.Disk.Remember(func(p *statedir.Provenance) { p.Place(path, after) }); err != nil {
			return errors.Join(err, staged.Drop())
		}
	}
	if err := staged.Place(); err != nil || !ours {
		return err
	}
	return in.Disk.Remember(func(p *statedir.Provenance) { p.ForgetOlder(path, after) })
}
