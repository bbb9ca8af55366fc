package enroll

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/report"
	"github.com/linux-patch/enroll/internal/statedir"
)

// RefreshCRL fetches the CRL from the manager and puts it in place where it is
// newer. What makes it trusted is its signature by the installed CA: HTTPS that
// does not verify is a warning. inForce is the list that whoever asks goes by,
// nil where there is none: an older one is never taken, whatever is on disk.
func (e *Enroller) RefreshCRL(ctx context.Context, p options.Params, inForce *pki.CRL) (changed bool, warnings []string, err error) {
	p.Wait = false
	s, err := e.Host().Settle(p)
	if err != nil {
		return false, nil, err
	}
	r := &run{Enroller: e, Settings: s, res: report.New(), o: &observed{Store: &statedir.Store{}}}
	if err := r.NeedURL(); err != nil {
		return false, nil, err
	}
	raw, err := r.fetchCRL(ctx)
	if err == nil {
		changed, err = r.installCRL(ctx, raw, inForce)
	}
	return changed, r.res.Warnings, err
}

// fetchCRL asks before any lock is taken.
func (r *run) fetchCRL(ctx context.Context) ([]byte, error) {
	raw, err := r.fetchCRLOnce(ctx)
	if err == nil || contract.CodeOf(err) != contract.CodeTLSUntrusted || r.Insecure {
		return raw, err
	}
	r.res.Warn(fmt.Sprintf("the CRL was fetched without verifying the manager's HTTPS (%v); its signature by the CA is what it is trusted by", err))
	loose := *r.Settings
	loose.Insecure, loose.ManagerCAPath, loose.ManagerCAPEM, loose.ManagerCAFingerprint = true, "", "", ""
	again := &run{Enroller: r.Enroller, Settings: &loose, res: report.New(), o: r.o}
	return again.fetchCRLOnce(ctx)
}

func (r *run) fetchCRLOnce(ctx context.Context) ([]byte, error) {
	client, err := r.dial()
	if err != nil {
		return nil, err
	}
	fetcher, ok := client.(interface {
		FetchCRL(context.Context) ([]byte, error)
	})
	if !ok {
		return nil, contract.Errorf(contract.CodeInternal, "%T fetches no CRL", client)
	}
	return fetcher.FetchCRL(ctx)
}

// installCRL judges a list under the run lock, and puts it in place.
func (r *run) installCRL(ctx context.Context, raw []byte, inForce *pki.CRL) (changed bool, err error) {
	lock, err := r.lock(ctx, lockCreate)
	if err != nil {
		return false, err
	}
	defer lock.Unlock()
	if r.o.Store, err = r.load(); err != nil {
		return false, err
	}
	if r.o.Journal() != nil {
		return false, errUnfinished
	}
	apart, err := r.alone(ctx)
	if err != nil {
		return false, err
	}
	defer apart.Unlock()
	set, crl, err := r.readForCRL()
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
	return true, r.writeCRL(crl, content)
}

var errUnfinished = errors.New("an interrupted run is to be finished first")

// readForCRL reads the installed set without judging its CRL.
func (r *run) readForCRL() (set *pki.Set, crl hostfs.File, err error) {
	var files [4]hostfs.File
	for i, path := range []string{r.CACert, r.ServerCert, r.ServerKey, r.CRL} {
		if files[i], err = r.Files.Read(path); err != nil {
			return nil, crl, err
		}
	}
	set, err = pki.ParseFiles(files[0].Content, files[1].Content, files[2].Content, nil)
	return set, files[3], err
}

// writeCRL replaces the file. Where enrollment wrote it, the new content is ours
// as well, before it is there.
func (r *run) writeCRL(crl hostfs.File, content []byte) error {
	ours := r.o.Provenance().Owns(crl.Path, statedir.Digest(crl.Content))
	if ours {
		if err := r.o.Remember(func(p *statedir.Provenance) { p.Place(crl.Path, statedir.Digest(content)) }); err != nil {
			return err
		}
	}
	mode := r.CertFileMode
	if crl.Exists {
		mode = crl.Mode
	}
	if err := r.Files.Replace(crl.Path, content, r.attributes(crl, mode)); err != nil || !ours {
		return err
	}
	return r.o.Remember(func(p *statedir.Provenance) { p.ForgetOlder(crl.Path, statedir.Digest(content)) })
}
