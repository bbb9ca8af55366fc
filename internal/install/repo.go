package install

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/linux-patch/enroll/internal/aptrepo"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/report"
	"github.com/linux-patch/enroll/internal/statedir"
)

// noteRepo says what becomes of the package repository of a bundle.
func (in *Installer) noteRepo(repo *contract.RepoConfig) {
	switch in.repo = nil; {
	case repo != nil && !in.RepoConfigManage:
		in.Result.Warn("the bundle names a package repository: it is not installed here, the agent fetches it from the manager")
	case repo == nil && in.RepoConfigManage:
		in.Result.Warn("repo_config_manage is set, and the bundle names no package repository: none was installed")
	case repo != nil:
		in.repo = repo
	}
}

// noAPT reports whether this host has no APT.
func (in *Installer) noAPT() bool {
	names, err := in.Files.List(string(in.RepoDirectory))
	return err == nil && len(names) == 0
}

// rehearseRepo finds out, before any request, whether the repository can be put
// in place.
func (in *Installer) rehearseRepo() error {
	if !in.RepoConfigManage || in.noAPT() {
		return nil
	}
	keyring, sources := in.RepoPaths()
	for _, path := range []string{keyring, sources} {
		uid, gid := in.Accounts.Self()
		if err := in.rehearse(path, hostfs.File{Path: path, Mode: options.DefaultCertMode, UID: uid, GID: gid}); err != nil {
			return err
		}
	}
	return nil
}

// planRepo says which files the repository of the bundle changes. What is
// refused of it is a warning: the certificates are good.
func (in *Installer) planRepo() ([]desire, error) {
	if in.repo == nil {
		return nil, nil
	}
	refused := func(why error) ([]desire, error) {
		in.Result.Warn(fmt.Sprintf("the package repository that the bundle names was not installed: %v", why))
		return nil, nil
	}
	keyring, sources := in.RepoPaths()
	if in.noAPT() {
		return refused(fmt.Errorf("there is nothing in %s, this host seems to have no APT", in.RepoDirectory))
	}
	if strings.ContainsAny(keyring, " \t[]") {
		return refused(fmt.Errorf("%s has characters that APT cannot read in a path", in.RepoDirectory))
	}
	fingerprint, err := aptrepo.NormalizeFingerprint(in.RepoKeyFingerprint)
	if err != nil {
		return nil, contract.Errorf(contract.CodeInvalidArgument, "repo_key_fingerprint: %w", err)
	}
	key, err := aptrepo.Key(in.repo.GPGPublicKey, fingerprint)
	if err != nil {
		return refused(fmt.Errorf("gpg_public_key: %w", err))
	}
	list, dropped, err := aptrepo.Parse(in.repo.SourcesConfig)
	if err != nil {
		return refused(fmt.Errorf("sources_config: %w", err))
	}
	if len(dropped) > 0 {
		in.Result.Warn("left out of the package repository that the bundle names: " + strings.Join(dropped, ", "))
	}
	return in.repoChanges(map[string][]byte{keyring: key, sources: aptrepo.Render(list, keyring)}, keyring, sources)
}

func (in *Installer) repoChanges(content map[string][]byte, paths ...string) ([]desire, error) {
	var changes []desire
	for _, path := range paths {
		before, err := in.Files.Read(path)
		if err != nil {
			return nil, err
		}
		uid, gid := in.Accounts.Self()
		after := hostfs.File{Path: path, Exists: true, Content: content[path], Mode: options.DefaultCertMode, UID: uid, GID: gid}
		changes = append(changes, desire{before: report.Shown(before, describeRepo), after: report.Shown(after, describeRepo)})
	}
	return slices.DeleteFunc(changes, desire.met), nil
}

// installRepo puts the repository in place. The bundle is still stored: a run
// that is killed here comes here again.
func (in *Installer) installRepo() error {
	changes, err := in.planRepo()
	if err != nil || len(changes) == 0 {
		return err
	}
	return in.Perform(plan.Step{
		Do:  func() error { return in.placeRepo(changes) },
		Say: func() error { in.showFiles(changes); return nil },
	})
}

func (in *Installer) placeRepo(changes []desire) error {
	var replaced []hostfs.Change
	for _, d := range changes {
		if err := in.Files.EnsureDir(filepath.Dir(d.after.Path), 0o755); err != nil {
			return err
		}
		replaced = append(replaced, in.hostfsChange(d))
	}
	if err := in.Disk.Remember(func(p *statedir.Provenance) {
		for _, d := range changes {
			p.Place(d.after.Path, statedir.Digest(d.after.Content))
		}
	}); err != nil {
		return err
	}
	if err := in.replace(replaced); err != nil {
		return err
	}
	in.showFiles(changes)
	return in.Disk.Remember(func(p *statedir.Provenance) {
		for _, d := range changes {
			p.ForgetOlder(d.after.Path, statedir.Digest(d.after.Content))
		}
	})
}

// describeRepo shows sources as they are, and a keyring by its fingerprint.
func describeRepo(content []byte) string {
	if aptrepo.IsKeyring(content) {
		return aptrepo.Describe(content)
	}
	return string(content)
}
