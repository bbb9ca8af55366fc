package install

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/statedir"
)

// Provision verifies a bundle, plans, and in a real run puts it in place.
func (in *Installer) Provision(ctx context.Context, bundle *contract.PkiBundle, from Source) error {
	set, err := in.accept(bundle)
	if err != nil {
		return err
	}
	ip := from.IP
	if in.ManagerAddr.IsValid() {
		ip = in.ManagerAddr
	}
	admit, err := in.planWhitelist(ip)
	if err != nil {
		return err
	}
	return in.apply(ctx, set, admit, Source{url: from.url, IP: ip})
}

// apply puts a verified set in place. Its order is what makes it safe to kill
// at any point: what was stored of the manager's answer goes last, so that
// until then the next run does all of this again and finds less and less to do.
// It shows what it has done: a run that fails claims no more. admit is nil where
// the manager is let in.
func (in *Installer) apply(ctx context.Context, set *pki.Set, admit *plan.Change, from Source) error {
	err := in.Perform(plan.Step{
		Do:  func() error { return in.place(ctx, set, from) },
		Say: func() error { in.showFiles(in.changes(set)); return nil },
	})
	if err != nil {
		return err
	}
	if err := in.letIn(ctx, admit, from.IP); err != nil {
		return err
	}
	if err := in.tellAgent(ctx, cmp.Or(from.url, in.agentsManager())); err != nil {
		return err
	}
	if err := in.installRepo(); err != nil {
		return err
	}
	return in.Perform(plan.Step{
		Do: func() error { return in.fulfil(ctx, set) },
		Say: func() error {
			in.Result.State, in.Result.Msg = contract.StateEnrolled, "would be enrolled"
			return in.foreseeClear(false)
		},
	})
}

// place puts the set in place, and the record of it.
func (in *Installer) place(ctx context.Context, set *pki.Set, from Source) error {
	if err := in.ensureDirs(); err != nil {
		return err
	}
	before := in.Disk.Provenance()
	if err := in.Disk.Remember(func(p *statedir.Provenance) { in.claim(p, set, from) }); err != nil {
		return err
	}
	changed, err := in.swap(ctx, set)
	switch {
	case errors.Is(err, ErrKeep):
		// Nothing was written.
		return errors.Join(err, in.Disk.Remember(func(p *statedir.Provenance) { *p = before }))
	case err != nil:
		return err
	}
	if changed {
		in.Record(contract.EventProvisioned, map[string]string{
			"serial": set.Server.SerialNumber.Text(16), "ca_sha256": pki.Fingerprint(set.CA.Raw),
		})
	}
	return nil
}

// fulfil ends the request whose set is in place.
func (in *Installer) fulfil(ctx context.Context, set *pki.Set) error {
	standing, err := in.withKeyBackups(in.Disk.Provenance())
	if err != nil {
		return err
	}
	if err := in.Disk.Remember(func(p *statedir.Provenance) {
		*p = standing
		p.Installed(in.installedDigests(), in.gone)
	}); err != nil {
		return err
	}
	if err := in.endRequest(ctx); err != nil {
		return err
	}
	in.Result.State = contract.StateEnrolled
	in.Result.Msg = fmt.Sprintf("enrolled; the certificate is valid until %s", set.Server.NotAfter.UTC().Format("2006-01-02 15:04 MST"))
	return nil
}

// ensureDirs makes the directories that the files go to. Preflight has done so
// too, but a bundle may wait on disk for days in between.
func (in *Installer) ensureDirs() error {
	for _, path := range []string{in.CACert, in.ServerCert, in.ServerKey, in.CRL, in.Whitelist} {
		if err := in.Files.EnsureDir(filepath.Dir(path), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// claim notes, before anything is written, what is about to be.
func (in *Installer) claim(p *statedir.Provenance, set *pki.Set, from Source) {
	for _, d := range in.desired(set) {
		// A CRL that stays is whose it was.
		if d.after.Exists && (d.after.Path != in.CRL || set.CRL != nil) {
			p.Place(d.after.Path, statedir.Digest(d.after.Content))
		}
	}
	p.EnrolledAt(from.url, from.IP)
	p.CAFingerprint = pki.Fingerprint(set.CA.Raw)
	p.MachineID, p.FQDN, p.Removed = in.Result.MachineID, in.Result.FQDN, nil
}

// swap puts a set in place, where it is not. What is there is looked at again:
// a run with another state directory, or someone by hand, may have replaced it
// since this one planned.
func (in *Installer) swap(ctx context.Context, set *pki.Set) (changed bool, err error) {
	lock, err := in.Alone(ctx)
	if err != nil {
		return false, err
	}
	defer lock.Unlock()
	if err := in.ObserveSet(); err != nil {
		return false, err
	}
	if err := in.acceptCA(set); err != nil {
		return false, err
	}
	changes := in.changes(set)
	if err := in.commit(changes); err != nil {
		return false, err
	}
	in.showFiles(changes)
	return len(changes) > 0, in.readBack(set)
}

// commit replaces the files as one set.
func (in *Installer) commit(changes []desire) error {
	var replaced []hostfs.Change
	for _, d := range changes {
		c := plan.Compare(d.before, d.after)
		if c.Op != plan.Attributes {
			replaced = append(replaced, in.hostfsChange(d))
			continue
		}
		if err := in.Files.SetAttributes(c.After.Path, attributesOf(c.After)); err != nil {
			return err
		}
		in.Result.Changed = true
	}
	return in.replace(replaced)
}

// readBack verifies what is on disk now, as the daemon will read it.
func (in *Installer) readBack(set *pki.Set) error {
	if err := in.ObserveSet(); err != nil {
		return err
	}
	if in.Disk.Unusable != nil || !bytes.Equal(in.Disk.Set.Server.Raw, set.Server.Raw) {
		return contract.Errorf(contract.CodeFilesystem, "the certificates were written, but %s does not read back as the bundle's: something else writes there too", in.ServerCert).
			WithHint("find what else writes %s and run again; the bundle is kept", in.ServerCert)
	}
	return nil
}

// withKeyBackups adds the backups of a key that enrollment itself had written:
// they are ours too, as one of what was there before enrollment is not. The
// disk tells them, since the run that made one may have been killed.
func (in *Installer) withKeyBackups(p statedir.Provenance) (statedir.Provenance, error) {
	backups, err := in.Files.Backups(in.ServerKey)
	if err != nil {
		return p, err
	}
	for _, path := range backups {
		file, err := in.Files.Read(path)
		if err != nil {
			return p, err
		}
		if file.Exists && p.Owns(in.ServerKey, statedir.Digest(file.Content)) {
			p.Place(path, statedir.Digest(file.Content))
		}
	}
	return p, nil
}

func (in *Installer) installedDigests() map[string]string {
	digests := map[string]string{}
	for _, f := range in.Disk.Files() {
		digests[f.Path] = ""
		if f.Exists {
			digests[f.Path] = statedir.Digest(f.Content)
		}
	}
	return digests
}

// gone reports whether there surely is no file.
func (in *Installer) gone(path string) bool {
	file, err := in.Files.Stat(path)
	return err == nil && !file.Exists
}

// endRequest drops the secrets of a request that is fulfilled.
func (in *Installer) endRequest(ctx context.Context) error {
	if err := in.clearMirror(ctx); err != nil {
		return err
	}
	return in.Disk.EndRequest()
}

// Source is where a bundle came from.
type Source struct {
	url string
	IP  netip.Addr
}

// SourceOf is where a stored answer came from.
func SourceOf(s statedir.Answer) Source {
	ip, _ := netip.ParseAddr(s.PeerIP)
	return Source{url: s.URL, IP: ip}
}

// AdoptSet makes a set that another program has installed that of this host, and
// ends the request. ip is the manager's address.
func (in *Installer) AdoptSet(ctx context.Context, ip netip.Addr) error {
	set := in.Disk.Set
	err := in.Disk.Remember(func(p *statedir.Provenance) {
		for path, sum := range in.installedDigests() {
			if sum != "" {
				p.Place(path, sum)
			}
		}
		p.EnrolledAt(in.URL.String(), ip)
		p.CAFingerprint = pki.Fingerprint(set.CA.Raw)
		p.MachineID, p.FQDN, p.Removed = in.Result.MachineID, in.Result.FQDN, nil
	})
	if err != nil {
		return err
	}
	in.Result.Act("take over the certificate set that another agent has fetched with the polling token")
	in.Result.Changed, in.Result.PendingSince = true, ""
	in.Record(contract.EventProvisioned, map[string]string{"serial": set.Server.SerialNumber.Text(16), "ca_sha256": pki.Fingerprint(set.CA.Raw)})
	if err := in.endRequest(ctx); err != nil {
		return err
	}
	return in.Converge(ctx)
}
