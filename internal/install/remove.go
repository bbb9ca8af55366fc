package install

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

// removal is what a removal takes away.
type removal struct {
	files   []desire
	secrets []string
	// unlisted and forgotten are the edits of the whitelist and of config.yaml;
	// nil where nothing of enrollment's is in them.
	unlisted, forgotten *plan.Change
}

// Remove removes what enrollment put on this host, and nothing else: files
// whose content it did not write stay.
func (in *Installer) Remove(ctx context.Context) error {
	in.Result.State = contract.StateAbsent
	in.Result.Msg = "this host is not enrolled"
	r, err := in.planRemoval()
	if err != nil {
		return err
	}
	held := in.heldByManager()
	return in.Perform(plan.Step{Do: func() error {
		// With nothing to remove, the record of a removal that was killed at its
		// end may still have to go.
		if !in.Result.Changed && r.empty() && !in.LeftAnything() {
			return nil
		}
		in.Result.Msg = "enrollment removed from this host" + held
		return in.applyRemoval(ctx, r)
	}, Say: func() error {
		if in.Result.Changed || !r.empty() {
			in.Result.Msg = "this host's enrollment would be removed" + held
		}
		if in.mirrored() {
			if err := in.foreseeClear(false); err != nil {
				return err
			}
		}
		r.show(in)
		return nil
	}})
}

// planRemoval finds what is to be removed. What cannot be is an error, while
// nothing was removed yet.
func (in *Installer) planRemoval() (r removal, err error) {
	if r.files, err = in.removable(); err != nil {
		return r, err
	}
	if r.secrets, err = in.Disk.Secrets(); err != nil {
		return r, err
	}
	if r.unlisted, err = in.planUnlist(); err == nil {
		r.forgotten = in.planForgetURL()
	}
	return r, err
}

// empty reports whether there is nothing to remove. A token that config.yaml
// holds beside its own file counts with that.
func (r removal) empty() bool {
	return len(r.files) == 0 && len(r.secrets) == 0 && r.unlisted == nil && r.forgotten == nil
}

// show shows what was removed, or would be.
func (r removal) show(in *Installer) {
	in.showFiles(r.files)
	for _, path := range r.secrets {
		in.Result.Changed = true
		in.Result.Act("remove " + path)
	}
	in.Result.Show(r.unlisted)
	in.Result.Show(r.forgotten)
}

// heldByManager says what the manager still holds of this host: a removal asks
// it for nothing.
func (in *Installer) heldByManager() string {
	o := in.Disk
	switch {
	case o.Provenance().CAFingerprint != "":
		return "; the manager still holds the host: an administrator removes it there too"
	case in.Disk.AnyLiveToken() != nil, o.RequestAt() != nil, o.Spool() != nil, o.PollAt() != nil:
		return "; the manager still holds the enrollment request: an administrator denies it there, or it expires within 24 h"
	}
	return ""
}

// LeftAnything reports whether there may be something to remove.
func (in *Installer) LeftAnything() bool {
	o := in.Disk
	return len(o.Provenance().Files) > 0 || len(o.Provenance().WhitelistEntries) > 0 || o.Provenance().ConfigManagerURL != "" ||
		o.Token() != nil || o.NewToken() != nil || o.RequestAt() != nil || o.Spool() != nil || o.PollAt() != nil
}

// removable are the files that enrollment wrote, wherever it wrote them.
func (in *Installer) removable() ([]desire, error) {
	claimed, err := in.withKeyBackups(in.Disk.Provenance())
	if err != nil {
		return nil, err
	}
	all, err := in.elsewhere(claimed)
	if err != nil {
		return nil, err
	}
	var ours []desire
	for _, d := range append(all, in.desired(nil)...) {
		switch {
		case !d.before.Exists:
		case claimed.Owns(d.before.Path, statedir.Digest(d.before.Content)):
			d.after = plan.File{Path: d.before.Path}
			ours = append(ours, d)
		default:
			in.Result.Warn(fmt.Sprintf("%s stays: enrollment did not write what is in it", d.before.Path))
		}
	}
	return ours, nil
}

// elsewhere are the files at paths that enrollment wrote to and that are none
// of today's: backups of its keys, and what config.yaml named then.
func (in *Installer) elsewhere(claimed statedir.Provenance) ([]desire, error) {
	var all []desire
	for _, f := range claimed.Files {
		if in.installs(f.Path) {
			continue
		}
		file, err := in.readElsewhere(claimed, f.Path)
		if err != nil {
			return nil, contract.Errorf(contract.CodeFilesystem, "%s, which enrollment wrote, cannot be removed: %w", f.Path, err).
				WithHint("fix that, or remove %s by hand, and run again; nothing was removed yet", f.Path)
		}
		describe, isKey := kindOf(file.Content)
		all = append(all, desire{before: report.Shown(file, describe), isKey: isKey})
	}
	return all, nil
}

// readElsewhere reads a file, and refuses one of ours that could not be removed
// safely. Where a killed run's journal is only foreseen, it is read as that will
// leave it.
func (in *Installer) readElsewhere(claimed statedir.Provenance, path string) (hostfs.File, error) {
	if in.Disk.Journal() != nil {
		end, err := in.Disk.Journal().EndState()
		if file, ok := end[path]; ok || err != nil {
			return file, err
		}
	}
	file, err := in.Files.Read(path)
	if err == nil && file.Exists && claimed.Owns(path, statedir.Digest(file.Content)) {
		err = in.Files.CheckPath(path)
	}
	return file, err
}

// installs reports whether path is one of the four that this run replaces.
func (in *Installer) installs(path string) bool {
	return slices.ContainsFunc(in.Disk.Files(), func(f *hostfs.File) bool { return f.Path == path })
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

func (in *Installer) mirrored() bool { return in.Disk.ConfigToken != "" && in.Disk.Token() != nil }

// planUnlist takes the entries out of the whitelist that enrollment added.
func (in *Installer) planUnlist() (*plan.Change, error) {
	p := in.Disk.Provenance()
	if len(p.WhitelistEntries) == 0 {
		return nil, nil
	}
	file, err := in.Files.Read(p.WhitelistPath)
	if err != nil || !file.Exists {
		return nil, err
	}
	after := file
	if after.Content, err = in.unlist(file.Content); err != nil {
		return nil, err
	}
	return plan.Compare(report.ShownText(file), report.ShownText(after)), nil
}

func (in *Installer) unlist(content []byte) ([]byte, error) {
	for _, entry := range in.Disk.Provenance().WhitelistEntries {
		var err error
		if content, err = whitelist.Remove(content, entry); err != nil {
			return nil, contract.Errorf(contract.CodeWhitelist, "%s: %w", in.Disk.Provenance().WhitelistPath, err)
		}
	}
	return content, nil
}

// applyRemoval closes the manager's door first: a manager that is let in but
// finds no certificate is worse than one that is locked out. It shows what it
// has done: a run that fails claims no more.
func (in *Installer) applyRemoval(ctx context.Context, r removal) error {
	now := in.Now().UTC()
	if err := in.Files.EnsureDir(in.StatePaths().Dir, 0o700); err != nil {
		return err
	}
	claimed, err := in.withKeyBackups(in.Disk.Provenance())
	if err != nil {
		return err
	}
	claimed.Removed = &now
	if err := in.Disk.Remember(func(p *statedir.Provenance) { *p = claimed }); err != nil {
		return err
	}
	done := removal{}
	defer func() { done.show(in) }()
	if err := in.applyUnlist(ctx, r.unlisted); err != nil {
		return err
	}
	done.unlisted = r.unlisted
	if done.files, err = in.removeFiles(ctx, r.files); err != nil {
		return err
	}
	if r.forgotten != nil {
		if err := in.forgetURL(ctx); err != nil {
			return err
		}
		done.forgotten = r.forgotten
	}
	if in.mirrored() {
		if err := in.clearMirror(ctx); err != nil {
			return err
		}
	}
	// Some may be gone when it fails.
	in.Result.Changed = in.Result.Changed || len(r.secrets) > 0
	if err := in.Disk.Clear(r.secrets, now); err != nil {
		return err
	}
	done.secrets = r.secrets
	in.Record(contract.EventRemoved, nil)
	return in.Observe()
}

// applyUnlist takes enrollment's entries out of the whitelist.
func (in *Installer) applyUnlist(ctx context.Context, unlisted *plan.Change) error {
	if unlisted == nil {
		return nil
	}
	p := in.Disk.Provenance()
	if _, err := in.edit(ctx, p.WhitelistPath, in.Backup, in.unlist); err != nil {
		return err
	}
	in.Record(contract.EventWhitelistChanged, map[string]string{"path": p.WhitelistPath, "removed": strings.Join(p.WhitelistEntries, " ")})
	return nil
}

// removeFiles removes the installed files, but none that a run with another
// state directory has replaced meanwhile. It returns those that are gone.
func (in *Installer) removeFiles(ctx context.Context, ours []desire) (gone []desire, err error) {
	var dirs []string
	for _, d := range ours {
		dirs = append(dirs, filepath.Dir(d.before.Path))
	}
	lock, err := in.Alone(ctx, dirs...)
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	// What a killed removal staged where certificates no longer are is found by
	// no other run.
	if _, err := in.Files.SweepTemps(dirs, nil); err != nil {
		return nil, err
	}
	var changes []hostfs.Change
	for _, d := range ours {
		now, err := in.Files.Read(d.before.Path)
		if err != nil {
			return nil, err
		}
		if !now.Exists {
			continue
		}
		if !bytes.Equal(now.Content, d.before.Content) {
			in.Result.Warn(fmt.Sprintf("%s stays: it was replaced meanwhile", d.before.Path))
			continue
		}
		change := in.hostfsChange(d)
		change.Backup = change.Backup && !d.isKey
		changes, gone = append(changes, change), append(gone, d)
	}
	// From the end: without the certificate no one takes the rest for a set.
	slices.Reverse(changes)
	if err := in.replace(changes); err != nil {
		return nil, err
	}
	return gone, nil
}
