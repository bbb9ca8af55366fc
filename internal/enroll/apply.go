package enroll

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/statedir"
)

// apply puts a verified set in place. Its order is what makes it safe to kill
// at any point: what was stored of the manager's answer goes last, so that
// until then the next run does all of this again and finds less and less to do.
// It shows what it has done: a run that fails claims no more. admit is nil where
// the manager is let in.
func (r *run) apply(ctx context.Context, set *pki.Set, admit *plan.Change, from source) error {
	if err := r.ensureDirs(); err != nil {
		return err
	}
	before := r.o.Provenance()
	if err := r.o.Remember(func(p *statedir.Provenance) { r.claim(p, set, from) }); err != nil {
		return err
	}
	changed, err := r.swap(ctx, set)
	switch {
	case errors.Is(err, errKeep):
		// Nothing was written.
		return errors.Join(err, r.o.Remember(func(p *statedir.Provenance) { *p = before }))
	case err != nil:
		return err
	}
	if changed {
		r.audit(contract.EventProvisioned, map[string]string{
			"serial": set.Server.SerialNumber.Text(16), "ca_sha256": pki.Fingerprint(set.CA.Raw),
		})
	}
	if admit != nil {
		if err := r.applyWhitelist(ctx, from.ip); err != nil {
			return err
		}
		r.res.Show(*admit)
	}
	if err := r.tellAgent(ctx); err != nil {
		return err
	}
	if err := r.installRepo(); err != nil {
		return err
	}
	standing, err := r.withKeyBackups(r.o.Provenance())
	if err != nil {
		return err
	}
	if err := r.o.Remember(func(p *statedir.Provenance) {
		*p = standing
		p.Installed(r.installedDigests(), r.gone)
	}); err != nil {
		return err
	}
	return r.endRequest(ctx)
}

// ensureDirs makes the directories that the files go to. Preflight has done so
// too, but a bundle may wait on disk for days in between.
func (r *run) ensureDirs() error {
	for _, path := range []string{r.CACert, r.ServerCert, r.ServerKey, r.CRL, r.Whitelist} {
		if err := r.Files.EnsureDir(filepath.Dir(path), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// claim notes, before anything is written, what is about to be.
func (r *run) claim(p *statedir.Provenance, set *pki.Set, from source) {
	for _, d := range r.desired(set) {
		if d.after.Exists {
			p.Place(d.after.Path, statedir.Digest(d.after.Content))
		}
	}
	if from.url != "" {
		p.ManagerURL = from.url
	}
	if from.ip.IsValid() {
		p.ManagerIP = from.ip.String()
	}
	p.CAFingerprint = pki.Fingerprint(set.CA.Raw)
	p.MachineID, p.FQDN, p.Removed = r.res.MachineID, r.res.FQDN, nil
}

// swap puts a set in place, where it is not. What is there is looked at again:
// a run with another state directory, or somebody by hand, may have replaced it
// since this one planned.
func (r *run) swap(ctx context.Context, set *pki.Set) (changed bool, err error) {
	lock, err := r.alone(ctx)
	if err != nil {
		return false, err
	}
	defer lock.Unlock()
	if err := r.observeSet(); err != nil {
		return false, err
	}
	if err := r.acceptCA(set); err != nil {
		return false, err
	}
	changes := r.changes(set)
	if err := r.commit(changes); err != nil {
		return false, err
	}
	r.showFiles(changes)
	return len(changes) > 0, r.readBack(set)
}

// commit replaces the files as one set.
func (r *run) commit(changes []desire) error {
	var replaced []hostfs.Change
	for _, d := range changes {
		c, _ := plan.Compare(d.before, d.after)
		if c.Op != plan.Attributes {
			replaced = append(replaced, r.hostfsChange(d))
			continue
		}
		if err := r.Files.SetAttributes(c.After.Path, attributesOf(c.After)); err != nil {
			return err
		}
		r.res.Changed = true
	}
	return r.replace(replaced)
}

// replace changes files as one set.
func (r *run) replace(changes []hostfs.Change) error {
	if len(changes) == 0 {
		return nil
	}
	out, err := r.o.Commit(changes)
	r.res.BackupFiles = append(r.res.BackupFiles, out.Backups...)
	r.res.Warn(out.Left...)
	if errors.Is(err, hostfs.ErrCommitUnfinished) {
		r.res.Changed = true
	}
	return err
}

// readBack verifies what is on disk now, as the daemon will read it.
func (r *run) readBack(set *pki.Set) error {
	if err := r.observeSet(); err != nil {
		return err
	}
	if r.o.unusable != nil || !bytes.Equal(r.o.set.Server.Raw, set.Server.Raw) {
		return contract.Errorf(contract.CodeFilesystem, "the certificates were written, but %s does not read back as the bundle's: something else writes there too", r.ServerCert).
			WithHint("find what else writes %s and run again; the bundle is kept", r.ServerCert)
	}
	return nil
}

// withKeyBackups adds the backups of a key that enrollment itself had written:
// they are ours too, as one of what was there before enrollment is not. The
// disk tells them, since the run that made one may have been killed.
func (r *run) withKeyBackups(p statedir.Provenance) (statedir.Provenance, error) {
	backups, err := r.Files.Backups(r.ServerKey)
	if err != nil {
		return p, err
	}
	for _, path := range backups {
		file, err := r.Files.Read(path)
		if err != nil {
			return p, err
		}
		if file.Exists && p.Owns(r.ServerKey, statedir.Digest(file.Content)) {
			p.Place(path, statedir.Digest(file.Content))
		}
	}
	return p, nil
}

func (r *run) installedDigests() map[string]string {
	digests := map[string]string{}
	for _, f := range r.o.files() {
		digests[f.Path] = ""
		if f.Exists {
			digests[f.Path] = statedir.Digest(f.Content)
		}
	}
	return digests
}

// gone tells whether there surely is no file.
func (r *run) gone(path string) bool {
	file, err := r.Files.Stat(path)
	return err == nil && !file.Exists
}

// endRequest drops the secrets of a request that is fulfilled.
func (r *run) endRequest(ctx context.Context) error {
	if err := r.clearMirror(ctx); err != nil {
		return err
	}
	return r.o.EndRequest()
}
