// Package ownership makes root's what a config.yaml of another user leads to:
// the option take_ownership.
//
// It promises that what can be refused is refused before anything is taken, that
// no content changes, and that nothing uses config.yaml before all is root's. It
// does not say that what was written there is right: it lists what is trusted
// from now on.
package ownership

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/linux-patch/enroll/internal/audit"
	"github.com/linux-patch/enroll/internal/config"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/report"
	"github.com/linux-patch/enroll/internal/statedir"
	"github.com/linux-patch/enroll/internal/whitelist"
)

// Taker takes files and directories of a host.
type Taker struct {
	Files    *hostfs.Host
	Accounts options.Accounts
	Audit    func(path string) audit.Recorder
}

// taking is one run of a Taker. The directories come first: from then on no one
// can change what is looked at. A file is replaced by a copy of what was looked
// at, since someone may hold the old one open; config.yaml comes last, so that
// until all is done nothing uses it.
type taking struct {
	Taker
	p   options.Params
	res *report.Result
	// foresees says that nothing is taken; seen is the host for which all is.
	foresees bool
	seen     *hostfs.Host
	// dirs are taken, files are to be; both end in taken.
	dirs  []string
	files []hostfs.File
	taken []string
}

func (t Taker) options() options.Host { return options.Host{Files: t.Files, Accounts: t.Accounts} }

// Take takes what it must, and returns the host to go on with: in check mode one
// for which it is done. A host that has nothing to take gets no lock file.
func (t Taker) Take(ctx context.Context, p options.Params, res *report.Result) (*hostfs.Host, error) {
	foreseen := &taking{Taker: t, p: p, res: report.New(), foresees: true, seen: t.Files}
	if err := foreseen.take(); err != nil || len(foreseen.taken) == 0 {
		return t.Files, err
	}
	files := t.Files
	err := plan.Step{Do: func() error { return t.takeLocked(ctx, p, res) }, Say: func() error {
		res.Add(foreseen.res)
		files = foreseen.seen
		return nil
	}}.Perform(p.Check)
	return files, err
}

func (t Taker) takeLocked(ctx context.Context, p options.Params, res *report.Result) error {
	lock, err := t.lock(ctx, p)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	return (&taking{Taker: t, p: p, res: res, seen: t.Files}).take()
}

// lock takes the run lock: no other run may replace a file after this one has
// read it, and before its copy is in place.
func (t Taker) lock(ctx context.Context, p options.Params) (*hostfs.Lock, error) {
	dir, _, err := t.options().LocateDir(string(p.StateDir))
	if err == nil {
		err = t.Files.EnsureDir(dir, 0o700)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.LockTimeout))
	defer cancel()
	lock, err := t.Files.Lock(ctx, statedir.PathsIn(dir).Lock, false, true)
	if errors.Is(err, hostfs.ErrBusy) {
		return nil, contract.Errorf(contract.CodeLocked, "take_ownership: another run on this host still holds %s", statedir.PathsIn(dir).Lock)
	}
	return lock, err
}

func (t *taking) take() error {
	path, _, err := t.options().Locate(string(t.p.ConfigPath))
	if err != nil {
		return err
	}
	if err := t.refuseState(); err != nil {
		return err
	}
	foreign := t.options().TrustConfig(hostfs.File{Path: path}) != nil
	if err := t.dir(filepath.Dir(path)); err != nil {
		return err
	}
	file, err := t.seen.ReadAlone(path)
	if err != nil {
		return err
	}
	cfg, err := config.Parse(file.Content)
	if err != nil {
		return contract.Errorf(contract.CodeConfig, "%s: %w", path, err)
	}
	paths, _, err := t.options().LocateAll(path, cfg.Paths())
	if err != nil {
		return err
	}
	if foreign || !t.seen.Access(file).Closed() {
		if err := t.inScope(path, paths); err != nil {
			return err
		}
	}
	if err := t.plan(path, paths); err != nil {
		return err
	}
	if len(t.taken) == 0 {
		return nil
	}
	trusted := t.tell(cfg, paths)
	if err := t.replace(path); err != nil {
		return err
	}
	if err := t.perform(func() error { return t.Audit(paths.AuditLog).Record(contract.EventOwnershipTaken, trusted) }); err != nil {
		t.res.Warn(fmt.Sprintf("the audit log was not written: %v", err))
	}
	return nil
}

// refuseState leaves the state directory alone: its journal says what to write
// where, and nothing of someone else's may say that.
func (t *taking) refuseState() error {
	dir, _, err := t.options().LocateDir(string(t.p.StateDir))
	if err == nil {
		err = t.Files.CheckAbove(filepath.Join(dir, "token"))
	}
	if err == nil {
		return nil
	}
	return contract.Errorf(contract.CodeOf(err), "state_dir %s is not taken by take_ownership: %w", t.p.StateDir, err).
		WithHint("move %s away; a request that is under way in it is then made anew", t.p.StateDir)
}

// inScope refuses a path of someone else's config.yaml that is neither where
// the deployed installer puts such a file nor named by an option.
func (t *taking) inScope(configPath string, paths config.Paths) error {
	home := filepath.Dir(configPath)
	certs, root := home+"/certs", strings.TrimSuffix(home, "/etc/linux_patch_api")
	for _, c := range []struct {
		key, path string
		option    options.Path
		deployed  bool
	}{
		{"tls.ca_cert (option ca_cert_path)", paths.CACert, t.p.CACertPath, filepath.Dir(paths.CACert) == certs},
		{"tls.server_cert (option server_cert_path)", paths.ServerCert, t.p.ServerCertPath, filepath.Dir(paths.ServerCert) == certs},
		{"tls.server_key (option server_key_path)", paths.ServerKey, t.p.ServerKeyPath, filepath.Dir(paths.ServerKey) == certs},
		{"tls.crl_path (option crl_path)", paths.CRL, t.p.CRLPath, filepath.Dir(paths.CRL) == certs},
		{"whitelist.path (option whitelist_path)", paths.Whitelist, t.p.WhitelistPath, paths.Whitelist == home+"/whitelist.yaml"},
		{"logging.file_path", paths.AuditLog, "", paths.AuditLog == root+"/var/log/linux_patch_api/audit.log"},
	} {
		if c.deployed || slices.Contains([]string{
			contract.DefaultCACertPath, contract.DefaultServerCertPath, contract.DefaultServerKeyPath,
			contract.DefaultCRLPath, contract.DefaultWhitelistPath, contract.DefaultAuditLogPath,
		}, c.path) {
			continue
		}
		if named, _, err := t.options().Locate(string(c.option)); err == nil && named == c.path {
			continue
		}
		return contract.Errorf(contract.CodeConfig, "take_ownership: %s, which another user may have written, sets %s to %s", configPath, c.key, c.path).
			WithHint("if that is right, set the option to the same path (logging.file_path has none: correct it by hand, and chown root the file); else correct %s", configPath)
	}
	return nil
}

// plan takes the directories of the files, and finds the files that are to be
// replaced.
func (t *taking) plan(configPath string, paths config.Paths) error {
	homes := []string{filepath.Dir(configPath)}
	for _, path := range []string{paths.Whitelist, paths.CACert, paths.ServerCert, paths.ServerKey, paths.CRL} {
		if home := filepath.Dir(path); !slices.Contains(homes, home) {
			homes = append(homes, home)
		}
	}
	for _, home := range append(slices.Clone(homes), filepath.Dir(paths.AuditLog)) {
		if home == filepath.Dir(paths.AuditLog) && t.Files.CheckLog(paths.AuditLog) == nil {
			continue
		}
		if err := t.dir(home); err != nil {
			return err
		}
	}
	ours := []string{configPath, paths.CACert, paths.ServerCert, paths.ServerKey, paths.CRL, paths.Whitelist, configPath + ".lock", paths.Whitelist + ".lock"}
	for _, home := range homes {
		// A directory that was root's all along holds other things too.
		all := slices.Contains(t.dirs, home)
		if err := t.filesOf(home, func(path string) bool { return all || slices.Contains(ours, path) }); err != nil {
			return err
		}
	}
	// What cannot be replaced is found while nothing is taken.
	for _, f := range t.files {
		if err := t.seen.CheckPath(f.Path); err != nil {
			return err
		}
	}
	log, err := t.seen.Stat(paths.AuditLog)
	if err == nil && !t.seen.Access(log).Closed() {
		log, err = t.seen.ReadAlone(paths.AuditLog)
		t.file(log)
	}
	return err
}

func (t *taking) filesOf(home string, want func(path string) bool) error {
	names, err := t.seen.List(home)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(names, func(name string) bool { return want(filepath.Join(home, name)) }) {
		return nil
	}
	if slices.Contains(t.dirs, home) {
		files, err := t.seen.FilesIn(home)
		for _, f := range files {
			t.file(f)
		}
		return err
	}
	for _, name := range names {
		if path := filepath.Join(home, name); want(path) {
			f, err := t.seen.ReadAlone(path)
			if err != nil {
				return err
			}
			t.file(f)
		}
	}
	return nil
}

// perform does something, unless it is only foreseen.
func (t *taking) perform(do func() error) error { return plan.Step{Do: do}.Perform(t.foresees) }

// note adds a path to what is taken.
func (t *taking) note(path string) {
	t.taken = append(t.taken, path)
	if t.foresees {
		t.seen = t.Files.Assume(t.taken)
	}
}

// dir takes a directory that is not root's alone.
func (t *taking) dir(dir string) error {
	d, err := t.seen.Takeable(dir)
	if err != nil || !d.Exists || t.seen.CheckAbove(filepath.Join(dir, "any")) == nil || slices.Contains(t.dirs, dir) {
		return err
	}
	if err := t.mayTake(dir); err != nil {
		return err
	}
	if err := t.perform(func() error { return t.Files.TakeDir(dir) }); err != nil {
		return err
	}
	t.dirs = append(t.dirs, dir)
	t.note(dir)
	t.show(d)
	return nil
}

func (t *taking) mayTake(path string) error {
	if uid, _ := t.Accounts.Self(); uid == 0 {
		return nil
	}
	return contract.Errorf(contract.CodeFilesystem, "take_ownership: only root can take %s", path).WithHint("run with become")
}

// file notes a file that someone else may write. One of the owner that was
// asked for stays.
func (t *taking) file(f hostfs.File) {
	if t.seen.Access(f).Closed() {
		return
	}
	if uid, err := t.Accounts.UID(t.p.Owner); t.p.Owner != "" && err == nil && f.UID == uid && t.seen.Access(f).Others == nil {
		return
	}
	t.files = append(t.files, f)
	t.note(f.Path)
}

// replace puts the copies in place, config.yaml last.
func (t *taking) replace(configPath string) error {
	slices.SortStableFunc(t.files, func(a, b hostfs.File) int {
		switch configPath {
		case a.Path:
			return 1
		case b.Path:
			return -1
		}
		return 0
	})
	for _, f := range t.files {
		if err := t.mayTake(f.Path); err != nil {
			return err
		}
		taken := hostfs.Attributes{Mode: f.Mode &^ 0o022, UID: 0, GID: f.GID}
		if err := t.perform(func() error { return t.Files.Replace(f.Path, f.Content, taken) }); err != nil {
			return err
		}
		t.show(f)
	}
	return nil
}

// show puts the change into the result; a content is not shown, it stays.
func (t *taking) show(f hostfs.File) {
	after := f
	after.UID, after.Mode = 0, f.Mode&^0o022
	c := plan.Compare(report.Shown(f, nothing), report.Shown(after, nothing))
	t.res.Changed = true
	t.res.Act(strings.Replace(c.Action(), string(plan.Attributes), "take ownership of", 1))
	t.res.Diff = append(t.res.Diff, c.Diff())
}

func nothing([]byte) string { return "" }

// tell lists all that becomes trusted by this, in warnings and for the audit log.
func (t *taking) tell(cfg *config.Config, paths config.Paths) map[string]string {
	listed := map[string]string{}
	trusted := append([]string{}, t.dirs...)
	var cas, entries []string
	for _, f := range t.files {
		trusted = append(trusted, f.Path)
		switch f.Path {
		case paths.CACert:
			cas = fingerprints(f.Content)
		case paths.Whitelist:
			entries = append(entries, whitelist.Describe(f.Content))
		}
	}
	say := func(field, what string, all []string) {
		if len(all) > 0 {
			listed[field] = strings.Join(all, ", ")
			t.res.Warn(fmt.Sprintf("take_ownership: trusted from now on: %s %s", what, listed[field]))
		}
	}
	say("paths", "the paths", trusted)
	if u, err := managerclient.ParseURL(cfg.Enrollment.ManagerURL); cfg.Enrollment.ManagerURL != "" && err == nil {
		say("manager", "the manager_url", []string{u.String()})
	}
	say("ca_sha256", "the CA with the SHA-256", cas)
	say("whitelist_entries", "the whitelist entries", entries)
	return listed
}

func fingerprints(content []byte) []string {
	var all []string
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			all = append(all, pki.Fingerprint(block.Bytes))
		}
	}
	return all
}
