package install

import (
	"context"
	"time"

	"github.com/linux-patch/enroll/internal/hostfs"
)

// whitelistMode is the mode of a whitelist that this program makes.
const whitelistMode = 0o644

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
