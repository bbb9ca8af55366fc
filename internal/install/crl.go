package install

import (
	"bytes"
	"context"
	"errors"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/statedir"
)

// InstallCRL judges a list, and puts it in place. The run lock is held.
func (in *Installer) InstallCRL(ctx context.Context, raw []byte, inForce *pki.CRL) (changed bool, err error) {
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
	set, crl, err := in.readForCRL()
	if err != nil {
		return false, err
	}
	list, err := pki.ReadCRL("the manager's CRL", bytes.NewReader(raw))
	if err != nil {
		return false, contract.Errorf(contract.CodeBadAnswer, "%w", err)
	}
	if err := list.CheckIssuer(set.CA); err != nil {
		return false, contract.Errorf(contract.CodeBadAnswer, "the manager's CRL: %w", err)
	}
	content := list.PEM()
	if crl.Exists && bytes.Equal(crl.Content, content) {
		return false, nil
	}
	onDisk, err := pki.ReadCRL("CRL file", bytes.NewReader(crl.Content))
	if err != nil || onDisk.CheckIssuer(set.CA) != nil {
		onDisk = nil
	}
	for _, have := range []*pki.CRL{inForce, onDisk} {
		if have != nil && list.OlderThan(have) {
			return false, contract.Errorf(contract.CodeBadAnswer, "the manager's CRL is older than the one in force: number %s of %s", list.Number, list.ThisUpdate.UTC())
		}
	}
	return true, in.writeCRL(crl, content)
}

var errUnfinished = errors.New("an interrupted run is to be finished first")

// readForCRL reads the installed set without judging its CRL.
func (in *Installer) readForCRL() (set *pki.Set, crl hostfs.File, err error) {
	var files [4]hostfs.File
	for i, path := range []string{in.CACert, in.ServerCert, in.ServerKey, in.CRL} {
		if files[i], err = in.Files.Read(path); err != nil {
			return nil, crl, err
		}
	}
	set, err = pki.ParseFiles(files[0].Content, files[1].Content, files[2].Content, nil)
	return set, files[3], err
}

// writeCRL replaces the file. Where enrollment wrote it, the new content is ours
// as well, before it is there.
func (in *Installer) writeCRL(crl hostfs.File, content []byte) error {
	ours := in.Disk.Provenance().Owns(crl.Path, statedir.Digest(crl.Content))
	if ours {
		if err := in.Disk.Remember(func(p *statedir.Provenance) { p.Place(crl.Path, statedir.Digest(content)) }); err != nil {
			return err
		}
	}
	mode := in.CertFileMode
	if crl.Exists {
		mode = crl.Mode
	}
	if err := in.Files.Replace(crl.Path, content, in.attributes(crl, mode)); err != nil || !ours {
		return err
	}
	return in.Disk.Remember(func(p *statedir.Provenance) { p.ForgetOlder(crl.Path, statedir.Digest(content)) })
}
