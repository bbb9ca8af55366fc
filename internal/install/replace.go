package install

import (
	"errors"

	"github.com/linux-patch/enroll/internal/hostfs"
)

// replace changes files as one set.
func (in *Installer) replace(changes []hostfs.Change) error {
	if len(changes) == 0 {
		return nil
	}
	out, err := in.Disk.Commit(changes)
	in.Result.BackupFiles = append(in.Result.BackupFiles, out.Backups...)
	in.Result.Warn(out.Left...)
	if errors.Is(err, hostfs.ErrCommitUnfinished) {
		in.Result.Changed = true
	}
	return err
}

// hostfsChange is one file of a commit.
func (in *Installer) hostfsChange(d desire) hostfs.Change {
	return hostfs.Change{
		Path: d.after.Path, Content: d.after.Content, Remove: !d.after.Exists,
		Attributes: attributesOf(d.after),
		Backup:     in.Backup && d.before.Exists, KeepOneBackup: d.isKey,
	}
}
