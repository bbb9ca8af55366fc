package install

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/statedir"
)

// rehearse finds out whether a file can be put at path as after describes it:
// in a real run by doing it with a file that is removed again.
func (in *Installer) rehearse(path string, after hostfs.File) error {
	if err := in.Files.CheckPath(path); err != nil {
		return err
	}
	return in.Perform(plan.Step{
		Do: func() error { return in.tryFile(path, after) },
		Say: func() error {
			if err := in.Files.Writable(filepath.Dir(path)); err != nil {
				return err
			}
			return in.mayGive(after)
		},
	})
}

func (in *Installer) tryFile(path string, after hostfs.File) error {
	dir := filepath.Dir(path)
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
// anyone who holds it for ever is found while there is nothing to lose. Check mode
// looks only for one who holds it alone.
func (in *Installer) tryLock(ctx context.Context, path string) error {
	return in.Perform(plan.Step{
		Do: func() error { return in.tryLockFor(ctx, path, time.Duration(in.LockTimeout), false) },
		Say: func() error {
			if err := in.tryLockFor(ctx, path, 0, true); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		},
	})
}

// tryLockFor waits so long for the lock. A shared one is not made.
func (in *Installer) tryLockFor(ctx context.Context, path string, wait time.Duration, shared bool) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	lock, err := in.Files.Lock(ctx, path+".lock", shared, !shared)
	switch {
	case err == nil:
		lock.Unlock()
		return nil
	case errors.Is(err, hostfs.ErrBusy):
		return contract.Errorf(contract.CodeLocked, "%w; nothing was asked of the manager yet", err).
			WithHint("find out with lslocks who holds %s.lock, and run again when it is free", path)
	}
	return err
}

// preflightConfig finds out whether config.yaml can be locked and replaced.
func (in *Installer) preflightConfig(ctx context.Context, file hostfs.File) error {
	if err := in.rehearse(string(in.ConfigPath), file); err != nil {
		return err
	}
	return in.tryLock(ctx, string(in.ConfigPath))
}
