package enroll

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/linux-patch/enroll/internal/aptrepo"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/report"
	"github.com/linux-patch/enroll/internal/statedir"
	"github.com/linux-patch/enroll/internal/whitelist"
)

// remove takes back what enrollment put on this host, and nothing else: files
// whose content it did not write stay.
func (r *run) remove(ctx context.Context) error {
	r.res.State = contract.StateAbsent
	r.res.Msg = "this host is not enrolled"
	ours, err := r.removable()
	if err != nil {
		return err
	}
	secrets, err := r.o.Secrets()
	if err != nil {
		return err
	}
	unlisted, listed, err := r.planUnlist()
	if err != nil {
		return err
	}
	held := r.heldByManager()
	forgotten, told := r.planForgetURL()
	r.showFiles(ours)
	for _, path := range secrets {
		r.res.Changed = true
		r.res.Act("remove " + path)
	}
	if listed {
		r.res.Show(unlisted)
	}
	if told {
		r.res.Show(forgotten)
	}
	if r.Check && r.res.Changed {
		r.res.Msg = "this host's enrollment would be removed" + held
	}
	if r.Check && r.mirrored() {
		return r.foreseeClear(false)
	}
	// With nothing to remove, the record of a removal that was killed at its
	// end may still have to go.
	if r.Check || !r.res.Changed && !r.mirrored() && !r.leftAnything() {
		return nil
	}
	r.res.Msg = "enrollment removed from this host" + held
	return r.applyRemoval(ctx, ours, secrets, listed, told)
}

// heldByManager says what the manager still holds of this host: a removal asks
// it for nothing.
func (r *run) heldByManager() string {
	o := r.o
	switch {
	case o.Provenance().CAFingerprint != "":
		return "; the manager still holds the host: an administrator removes it there too"
	case r.o.AnyLiveToken() != nil, o.RequestAt() != nil, o.Spool() != nil, o.PollAt() != nil:
		return "; the manager still holds the enrollment request: an administrator denies it there, or it expires within 24 h"
	}
	return ""
}

// leftAnything tells whether there may be something to take back.
func (r *run) leftAnything() bool {
	o := r.o
	return len(o.Provenance().Files) > 0 || len(o.Provenance().WhitelistEntries) > 0 || o.Provenance().ConfigManagerURL != "" ||
		o.Token() != nil || o.NewToken() != nil || o.RequestAt() != nil || o.Spool() != nil || o.PollAt() != nil
}

// removable are the files that enrollment wrote, wherever it wrote them.
func (r *run) removable() ([]desire, error) {
	claimed, err := r.withKeyBackups(r.o.Provenance())
	if err != nil {
		return nil, err
	}
	all, err := r.elsewhere(claimed)
	if err != nil {
		return nil, err
	}
	var ours []desire
	for _, d := range append(all, r.desired(nil)...) {
		switch {
		case !d.before.Exists:
		case claimed.Owns(d.before.Path, statedir.Digest(d.before.Content)):
			d.after = plan.File{Path: d.before.Path}
			ours = append(ours, d)
		default:
			r.res.Warn(fmt.Sprintf("%s stays: enrollment did not write what is in it", d.before.Path))
		}
	}
	return ours, nil
}

// elsewhere are the files at paths that enrollment wrote to and that are none
// of today's: backups of its keys, and what config.yaml named then.
func (r *run) elsewhere(claimed statedir.Provenance) ([]desire, error) {
	var all []desire
	for _, f := range claimed.Files {
		if r.installs(f.Path) {
			continue
		}
		file, err := r.readElsewhere(claimed, f.Path)
		if err != nil {
			return nil, contract.Errorf(contract.CodeFilesystem, "%s, which enrollment wrote, cannot be taken back: %w", f.Path, err).
				WithHint("mend that, or remove %s by hand, and run again; nothing was taken back yet", f.Path)
		}
		describe, isKey := kindOf(file.Content)
		all = append(all, desire{before: report.Shown(file, describe), isKey: isKey})
	}
	return all, nil
}

// readElsewhere reads a file, and refuses one of ours that could not be removed
// safely. In check mode it is read as a killed run's journal will leave it.
func (r *run) readElsewhere(claimed statedir.Provenance, path string) (hostfs.File, error) {
	if r.Check && r.o.Journal() != nil {
		end, err := r.o.Journal().EndState()
		if file, ok := end[path]; ok || err != nil {
			return file, err
		}
	}
	file, err := r.Files.Read(path)
	if err == nil && file.Exists && claimed.Owns(path, statedir.Digest(file.Content)) {
		err = r.Files.CheckPath(path)
	}
	return file, err
}

// installs tells whether path is one of the four that this run replaces.
func (r *run) installs(path string) bool {
	return slices.ContainsFunc(r.o.files(), func(f *hostfs.File) bool { return f.Path == path })
}

// kindOf tells what a file of enrollment is, by its content.
func kindOf(content []byte) (describe func([]byte) string, isKey bool) {
	switch {
	case bytes.Contains(content, []byte("PRIVATE KEY-----")):
		return pki.DescribeKey, true
	case bytes.Contains(content, []byte("X509 CRL-----")):
		return pki.DescribeCRL, false
	case aptrepo.IsKeyring(content), bytes.HasPrefix(content, []byte("Types: ")):
		return describeRepo, false
	default:
		return pki.DescribeCertificate, false
	}
}

func (r *run) mirrored() bool { return r.o.configToken != "" && r.o.Token() != nil }

// planUnlist takes the entries out of the whitelist that enrollment added.
func (r *run) planUnlist() (plan.Change, bool, error) {
	p := r.o.Provenance()
	if len(p.WhitelistEntries) == 0 {
		return plan.Change{}, false, nil
	}
	file, err := r.Files.Read(p.WhitelistPath)
	if err != nil || !file.Exists {
		return plan.Change{}, false, err
	}
	content, err := r.unlist(file.Content)
	if err != nil {
		return plan.Change{}, false, err
	}
	after := file
	after.Content = content
	c, changed := plan.Compare(report.ShownText(file), report.ShownText(after))
	return c, changed, nil
}

func (r *run) unlist(content []byte) ([]byte, error) {
	for _, entry := range r.o.Provenance().WhitelistEntries {
		var err error
		if content, err = whitelist.Remove(content, entry); err != nil {
			return nil, contract.Errorf(contract.CodeWhitelist, "%s: %w", r.o.Provenance().WhitelistPath, err)
		}
	}
	return content, nil
}

// applyRemoval closes the manager's door first: a manager that is let in but
// finds no certificate is worse than one that is locked out.
func (r *run) applyRemoval(ctx context.Context, ours []desire, secrets []string, listed, told bool) error {
	now := r.Now().UTC()
	if err := r.Files.EnsureDir(r.statePaths().Dir, 0o700); err != nil {
		return err
	}
	claimed, err := r.withKeyBackups(r.o.Provenance())
	if err != nil {
		return err
	}
	claimed.Removed = &now
	if err := r.o.Remember(func(p *statedir.Provenance) { *p = claimed }); err != nil {
		return err
	}
	if listed {
		if _, err := r.edit(ctx, r.o.Provenance().WhitelistPath, r.Backup, r.unlist); err != nil {
			return err
		}
		r.audit(contract.EventWhitelistChanged, map[string]string{
			"path": r.o.Provenance().WhitelistPath, "removed": strings.Join(r.o.Provenance().WhitelistEntries, " "),
		})
	}
	if err := r.removeFiles(ctx, ours); err != nil {
		return err
	}
	if told {
		if err := r.forgetURL(ctx); err != nil {
			return err
		}
	}
	if r.mirrored() {
		if err := r.clearMirror(ctx); err != nil {
			return err
		}
	}
	if err := r.o.Clear(secrets, now); err != nil {
		return err
	}
	r.audit(contract.EventRemoved, nil)
	return r.observe()
}

// removeFiles removes the installed files, but none that a run with another
// state directory has replaced meanwhile.
func (r *run) removeFiles(ctx context.Context, ours []desire) error {
	var dirs []string
	for _, d := range ours {
		dirs = append(dirs, filepath.Dir(d.before.Path))
	}
	lock, err := r.alone(ctx, dirs...)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	// What a killed removal staged where certificates no longer are is found by
	// no other run.
	if _, err := r.Files.SweepTemps(dirs, nil); err != nil {
		return err
	}
	var changes []hostfs.Change
	for _, d := range ours {
		now, err := r.Files.Read(d.before.Path)
		if err != nil {
			return err
		}
		if !now.Exists || !bytes.Equal(now.Content, d.before.Content) {
			continue
		}
		change := r.hostfsChange(d)
		change.Backup = change.Backup && !d.isKey
		changes = append(changes, change)
	}
	// From the end: without the certificate nobody takes the rest for a set.
	slices.Reverse(changes)
	return r.replace(changes)
}
