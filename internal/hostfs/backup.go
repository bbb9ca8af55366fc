package hostfs

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// backupTime is what follows NAME and a dot in a backup's name. The time is
// UTC, so that names sort by age.
const backupTime = "20060102T150405Z~"

// isBackup tells whether candidate is a backup, as we name them, of path.
func isBackup(path, candidate string) bool {
	suffix, ok := strings.CutPrefix(candidate, path+".")
	day, clock, both := strings.Cut(suffix, "T")
	clock, whole := strings.CutSuffix(clock, "Z~")
	return ok && both && whole && len(day) == 8 && len(clock) == 6 && consistsOf(day+clock, "0123456789")
}

// Backups lists the backups NAME.TIMESTAMP~ of the file at path, oldest first.
func (h *Host) Backups(path string) ([]string, error) {
	names, err := h.List(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	var backups []string
	for _, name := range names {
		if candidate := filepath.Join(filepath.Dir(path), name); isBackup(path, candidate) {
			backups = append(backups, candidate)
		}
	}
	return backups, nil
}

// backupName returns a name for a backup that is free.
func (h *Host) backupName(path string) (string, error) {
	for at := h.opt.Now().UTC(); ; at = at.Add(time.Second) {
		name := path + "." + at.Format(backupTime)
		_, err := h.lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
		if err != nil {
			return "", err
		}
	}
}

// stageBackupOf stages the copy of a file. That of a key has no ACL: it is for
// its owner alone.
func (h *Host) stageBackupOf(old File, key bool) (temp string, err error) {
	kept, err := h.xattrs(old.Path)
	if err != nil {
		return "", err
	}
	if key {
		delete(kept, aclAccess)
	}
	return h.stageWith(old.Path, whole(old.Content), h.backupAttributes(old, key), kept)
}

// backupAttributes are those of the old file, and for a key those that let
// its owner alone read it.
func (h *Host) backupAttributes(old File, key bool) Attributes {
	a := old.attributes()
	if key {
		a.Mode &= 0o600
	}
	if h.opt.UID != 0 {
		a.UID, a.GID = Keep, Keep // only root can give a file away
	}
	return a
}
