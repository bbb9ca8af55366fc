package install

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/statedir"
)

// earliest is a time before which no host's clock can be right: this program
// is younger.
var earliest = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

// Preflight finds all that would make an approved bundle useless before the
// manager is asked for one: it hands a bundle out once. proxied says that the
// manager is asked through a proxy.
func (in *Installer) Preflight(ctx context.Context, proxied bool) error {
	if now := in.Now(); now.Before(earliest) {
		return contract.Errorf(contract.CodeIdentity, "this host's clock says %s", now.UTC().Format(time.RFC3339)).
			WithHint("set the clock (chronyc makestep, timedatectl set-time) and run again")
	}
	if in.WhitelistManager && !in.ManagerAddr.IsValid() && proxied {
		return contract.Errorf(contract.CodeInvalidArgument, "missing required arguments: manager_ip").
			WithHint("requests go through a proxy, so the connection does not show the manager's address; set manager_ip (of the daemon --enroll-manager-ip), or whitelist_manager to false")
	}
	if err := in.PreflightFiles(); err != nil {
		return err
	}
	if err := in.PreflightWhitelist(ctx); err != nil {
		return err
	}
	return in.preflightMirror(ctx)
}

// PreflightFiles finds out whether each file can be put in place.
func (in *Installer) PreflightFiles() error {
	for _, d := range in.desired(nil) {
		path := d.after.Path
		after := hostfs.File{Path: path, Mode: d.after.Mode, UID: d.after.UID, GID: d.after.GID}
		if err := in.rehearse(path, after); err != nil {
			return err
		}
	}
	for _, path := range in.StatePaths().Files() {
		if err := in.Files.CheckPath(path); err != nil {
			return err
		}
	}
	if err := in.rehearseRepo(); err != nil || in.Check {
		return err
	}
	return in.Files.Space(in.StatePaths().Dir, 2*statedir.SpoolSpace)
}

// rehearse finds out whether a file can be put at path as after describes it:
// in a real run by doing it with a file that is removed again.
func (in *Installer) rehearse(path string, after hostfs.File) error {
	if err := in.Files.CheckPath(path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if in.Check {
		if err := in.Files.Writable(dir); err != nil {
			return err
		}
		return in.mayGive(after)
	}
	if err := in.Files.EnsureDir(dir, 0o755); err != nil {
		return err
	}
	if err := in.Files.Writable(dir); err != nil {
		return err
	}
	if err := in.Files.Space(dir, statedir.SpoolSpace); err != nil {
		return err
	}
	if err := in.Files.Rehearse(path, hostfs.Attributes{Mode: after.Mode, UID: after.UID, GID: after.GID}); err != nil {
		return contract.Errorf(contract.CodeOf(err), "%s could not be replaced as it has to be (mode %04o, owner %d, group %d): %w",
			path, after.Mode, after.UID, after.GID, err).WithHint("%s; nothing was asked of the manager yet", contract.HintOf(err))
	}
	return nil
}

// mayGive judges an owner where nothing may be written to find out.
func (in *Installer) mayGive(f hostfs.File) error {
	uid, gid := in.Accounts.Self()
	if f.UID == uid && f.GID == gid {
		return nil
	}
	if err := in.Accounts.MayGive(f.UID, f.GID); err != nil {
		return contract.Errorf(contract.CodeFilesystem, "%s: %w", f.Path, err).
			WithHint("run with become, or as the owner of that file")
	}
	return nil
}

// tryLock takes the lock of a file that is edited later, and gives it back:
// whoever holds it for ever is found while there is nothing to lose. Check mode
// looks only for one who holds it alone.
func (in *Installer) tryLock(ctx context.Context, path string) error {
	timeout := time.Duration(in.LockTimeout)
	if in.Check {
		timeout = 0
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	lock, err := in.Files.Lock(ctx, path+".lock", in.Check, !in.Check)
	switch {
	case err == nil:
		lock.Unlock()
		return nil
	case errors.Is(err, fs.ErrNotExist) && in.Check:
		return nil
	case errors.Is(err, hostfs.ErrBusy):
		return contract.Errorf(contract.CodeLocked, "%w; nothing was asked of the manager yet", err).
			WithHint("find out with lslocks who holds %s.lock, and run again when it is free", path)
	}
	return err
}

// preflightMirror gives the copy of the token in config.yaml up where it could
// not be made, or not be removed again. A token that stands there already has to
// be removed at the end: then it is an error.
func (in *Installer) preflightMirror(ctx context.Context) error {
	if in.TokenStorage != options.TokenInConfig || !in.ConfigFile.Exists || in.ConfigFile.Mode.Perm()&0o007 != 0 && in.Disk.ConfigToken == "" {
		return nil
	}
	err := in.preflightConfig(ctx, in.ConfigFile)
	if err == nil || in.Disk.ConfigToken != "" {
		return err
	}
	in.TokenStorage = options.TokenInStateDir
	in.Result.Warn(fmt.Sprintf("the polling token is not copied to %s: %v", in.ConfigPath, err))
	return nil
}

// preflightConfig finds out whether config.yaml can be locked and replaced.
func (in *Installer) preflightConfig(ctx context.Context, file hostfs.File) error {
	if err := in.rehearse(string(in.ConfigPath), file); err != nil {
		return err
	}
	return in.tryLock(ctx, string(in.ConfigPath))
}
