package hostfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
)

// EditOptions say how a file is edited.
type EditOptions struct {
	// LockPath is the lock file; empty means the file's path and ".lock".
	LockPath string
	// LockTimeout bounds the wait for it. At zero the lock is tried once.
	LockTimeout time.Duration
	// Create are the attributes of a file that is missing. An existing one
	// keeps its own.
	Create Attributes
	// Close takes the right to write from group and others. An open file is
	// replaced even where its content stays: someone may hold it open.
	Close bool
	// Backup keeps a copy of the old file as NAME.TIMESTAMP~.
	Backup bool
}

// EditResult is what an edit did.
type EditResult struct {
	Changed       bool
	Before, After []byte
	// BackupFile is empty where none was made.
	BackupFile string
}

// errMoved says that the file changed between reading and renaming.
var errMoved = errors.New("changed by a writer that does not take its lock")

// editAttempts is how often an edit is planned again because of errMoved.
const editAttempts = 32

// Edit changes one file, under its lock, to what edit makes of it. Where that
// is equal, or empty for a missing file, nothing is written (but see Close). Just before the
// rename the file is compared with what edit was given; another writer who
// takes no lock and came in between is not overwritten: edit is asked again.
//
// A lock that can't be had in time, or until ctx is done, is
// contract.CodeLocked. From then on ctx stops nothing. An error of edit is
// returned as it is. An error with Changed true says that the new content is in
// place but may not survive a power failure.
func (h *Host) Edit(ctx context.Context, path string, o EditOptions, edit func(old []byte, exists bool) ([]byte, error)) (EditResult, error) {
	if err := h.CheckPath(path); err != nil {
		return EditResult{}, err
	}
	if o.LockPath == "" {
		o.LockPath = path + ".lock"
	}
	ctx, cancel := context.WithTimeout(ctx, o.LockTimeout)
	defer cancel()
	lock, err := h.Lock(ctx, o.LockPath, false, true)
	if err != nil {
		return EditResult{}, err
	}
	defer lock.Unlock()
	for range editAttempts {
		result, err := h.editOnce(path, o, edit)
		if !errors.Is(err, errMoved) {
			return result, err
		}
	}
	return EditResult{}, contract.Errorf(contract.CodeLocked, "%s: %w", path, errMoved)
}

func (h *Host) editOnce(path string, o EditOptions, edit func([]byte, bool) ([]byte, error)) (EditResult, error) {
	old, err := h.Read(path)
	if err != nil {
		return EditResult{}, err
	}
	content, err := edit(bytes.Clone(old.Content), old.Exists)
	if err != nil {
		return EditResult{}, err
	}
	result := EditResult{Before: old.Content, After: content}
	a := o.Create
	if old.Exists {
		a = old.attributes()
	}
	if o.Close && old.Exists && len(h.Access(old).Others) > 0 {
		a.Mode &^= 0o022
	} else if bytes.Equal(content, old.Content) {
		return result, nil
	}
	temp, err := h.stage(path, whole(content), a)
	if err != nil {
		return EditResult{}, failed(h.swept(path, err))
	}
	if o.Backup && old.Exists {
		if result.BackupFile, err = h.backUp(old); err != nil {
			return EditResult{}, failed(also(h.swept(path, err), h.removeIfThere(temp)))
		}
	}
	if err := h.swap(temp, old, content); err != nil {
		err = also(err, h.removeIfThere(temp))
		if result.BackupFile != "" {
			err = also(err, h.removeIfThere(result.BackupFile))
		}
		return EditResult{}, failed(err)
	}
	result.Changed = true
	return result, failed(h.syncDir(filepath.Dir(path)))
}

// swept makes errMoved of the error that a temp file is gone: a run with
// another state directory, and so another run lock, has taken it for stale.
func (h *Host) swept(path string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, gone := h.lstat(filepath.Dir(path)); gone != nil {
		return err
	}
	return fmt.Errorf("%w: %w", errMoved, err)
}

// swap puts temp in old's place if old is still what it was.
func (h *Host) swap(temp string, old File, content []byte) error {
	now, err := h.Read(old.Path)
	if err != nil {
		return err
	}
	if now.Exists != old.Exists || now.attributes() != old.attributes() || !bytes.Equal(now.Content, old.Content) {
		return errMoved
	}
	err = h.fs.Rename(temp, old.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", errMoved, err) // another run swept our temp file
	}
	if err == nil {
		return nil
	}
	// As in perform: what counts is what is there afterwards.
	if now, unknown := h.Read(old.Path); unknown == nil && now.hash() == hash(content) {
		return nil
	}
	return err
}

// backUp makes the backup of a file that is about to be edited.
func (h *Host) backUp(old File) (string, error) {
	name, err := h.backupName(old.Path)
	if err != nil {
		return "", err
	}
	temp, err := h.stageBackupOf(old, false)
	if err != nil {
		return "", err
	}
	s := step{Action: doBackup, Path: name, Temp: filepath.Base(temp), After: old.hash()}
	if err := h.perform(s); err != nil {
		return "", also(err, h.removeIfThere(temp))
	}
	return name, nil
}
