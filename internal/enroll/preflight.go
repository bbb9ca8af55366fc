package enroll

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"path/filepath"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/statedir"
)

// earliest is a time before which no host's clock can be right: this program
// is younger.
var earliest = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

// preflight finds all that would make an approved bundle useless before the
// manager is asked for one: it hands a bundle out once.
func (r *run) preflight(ctx context.Context, client ManagerClient) error {
	if now := r.Now(); now.Before(earliest) {
		return contract.Errorf(contract.CodeIdentity, "this host's clock says %s", now.UTC().Format(time.RFC3339)).
			WithHint("set the clock (chronyc makestep, timedatectl set-time) and run again")
	}
	if r.WhitelistManager && !r.ManagerAddr.IsValid() && client.UsesProxy() {
		return contract.Errorf(contract.CodeInvalidArgument, "missing required arguments: manager_ip").
			WithHint("requests go through a proxy, so the connection does not show the manager's address; set manager_ip (of the daemon --enroll-manager-ip), or whitelist_manager to false")
	}
	if err := r.preflightFiles(); err != nil {
		return err
	}
	if err := r.preflightWhitelist(ctx); err != nil {
		return err
	}
	return r.preflightMirror(ctx)
}

func (r *run) preflightFiles() error {
	for _, d := range r.desired(nil) {
		path := d.after.Path
		after := hostfs.File{Path: path, Mode: d.after.Mode, UID: d.after.UID, GID: d.after.GID}
		if err := r.rehearse(path, after); err != nil {
			return err
		}
	}
	for _, path := range r.statePaths().Files() {
		if err := r.Files.CheckPath(path); err != nil {
			return err
		}
	}
	if err := r.rehearseRepo(); err != nil || r.Check {
		return err
	}
	return r.Files.Space(r.statePaths().Dir, 2*statedir.SpoolSpace)
}

// rehearse finds out whether a file can be put at path as after describes it:
// in a real run by doing it with a file that is removed again.
func (r *run) rehearse(path string, after hostfs.File) error {
	if err := r.Files.CheckPath(path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if r.Check {
		if err := r.Files.Writable(dir); err != nil {
			return err
		}
		return r.mayGive(after)
	}
	if err := r.Files.EnsureDir(dir, 0o755); err != nil {
		return err
	}
	if err := r.Files.Writable(dir); err != nil {
		return err
	}
	if err := r.Files.Space(dir, statedir.SpoolSpace); err != nil {
		return err
	}
	if err := r.Files.Rehearse(path, hostfs.Attributes{Mode: after.Mode, UID: after.UID, GID: after.GID}); err != nil {
		return contract.Errorf(contract.CodeOf(err), "%s could not be replaced as it has to be (mode %04o, owner %d, group %d): %w",
			path, after.Mode, after.UID, after.GID, err).WithHint("%s; nothing was asked of the manager yet", contract.HintOf(err))
	}
	return nil
}

// mayGive judges an owner where nothing may be written to find out.
func (r *run) mayGive(f hostfs.File) error {
	uid, gid := r.Accounts.Self()
	if f.UID == uid && f.GID == gid {
		return nil
	}
	if err := r.Accounts.MayGive(f.UID, f.GID); err != nil {
		return contract.Errorf(contract.CodeFilesystem, "%s: %w", f.Path, err).
			WithHint("run with become, or as the owner of that file")
	}
	return nil
}

// tryLock takes the lock of a file that is edited later, and gives it back:
// whoever holds it for ever is found while there is nothing to lose. Check mode
// looks only for one who holds it alone.
func (r *run) tryLock(ctx context.Context, path string) error {
	timeout := time.Duration(r.LockTimeout)
	if r.Check {
		timeout = 0
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	lock, err := r.Files.Lock(ctx, path+".lock", r.Check, !r.Check)
	switch {
	case err == nil:
		lock.Unlock()
		return nil
	case errors.Is(err, fs.ErrNotExist) && r.Check:
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
func (r *run) preflightMirror(ctx context.Context) error {
	if r.TokenStorage != options.TokenInConfig || !r.ConfigFile.Exists || r.ConfigFile.Mode.Perm()&0o007 != 0 && r.o.configToken == "" {
		return nil
	}
	err := r.preflightConfig(ctx, r.ConfigFile)
	if err == nil || r.o.configToken != "" {
		return err
	}
	r.TokenStorage = options.TokenInStateDir
	r.res.Warn(fmt.Sprintf("the polling token is not copied to %s: %v", r.ConfigPath, err))
	return nil
}

// preflightConfig finds out whether config.yaml can be locked and replaced.
func (r *run) preflightConfig(ctx context.Context, file hostfs.File) error {
	if err := r.rehearse(string(r.ConfigPath), file); err != nil {
		return err
	}
	return r.tryLock(ctx, string(r.ConfigPath))
}

// hostPort is where to find the route to the manager. The port, which does not
// matter for a route, is a number: names need /etc/services, which small images
// do not have.
func hostPort(u *url.URL) string {
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443"))
}

func fingerprintOf(option string) (string, error) {
	if option == "" {
		return "", nil
	}
	return pki.NormalizeFingerprint(option)
}
