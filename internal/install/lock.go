package install

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/linux-patch/enroll/internal/hostfs"
)

// Alone keeps runs with other state directories, and so with other run locks,
// away from the certificates for as long as this one changes them. Where
// someone does not let go of them it goes on after lock_timeout: anyone who
// may read the directories can lock them. dirs are locked too.
func (in *Installer) Alone(ctx context.Context, dirs ...string) (*hostfs.Lock, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(in.LockTimeout))
	defer cancel()
	for _, path := range []string{in.CACert, in.ServerCert, in.ServerKey, in.CRL} {
		dirs = append(dirs, filepath.Dir(path))
	}
	lock, err := in.Files.LockDirs(ctx, dirs)
	if errors.Is(err, hostfs.ErrBusy) && errors.Is(err, context.DeadlineExceeded) {
		in.Result.Warn(fmt.Sprintf("went on without the lock of a directory: %v; find out with lslocks who holds it", err))
		return nil, nil
	}
	return lock, err
}

// edit changes one of the files that others write too, under its lock. A
// signal ends the wait for the lock, but not the edit: it is short.
func (in *Installer) edit(ctx context.Context, path string, backup bool, change func(old []byte) ([]byte, error)) (hostfs.EditResult, error) {
	opt := hostfs.EditOptions{
		LockTimeout: time.Duration(in.LockTimeout),
		Close:       true,
		Create:      in.attributes(hostfs.File{}, whitelistMode),
		Backup:      backup,
	}
	edited, err := in.Files.Edit(ctx, path, opt, func(old []byte, _ bool) ([]byte, error) { return change(old) })
	if edited.BackupFile != "" {
		in.Result.BackupFiles = append(in.Result.BackupFiles, edited.BackupFile)
	}
	return edited, err
}

// whitelistMode is the mode of a whitelist that this program makes.
const whitelistMode = 0o644
