package hostfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
)

// ErrCommitUnfinished says that a commit has begun and could not be completed:
// some files may be new and others old, or a last sync failed. The journal is
// there, and the next Finish goes on with it.
var ErrCommitUnfinished = errors.New("the change of the files is not complete; the next run finishes it")

// ErrJournalExists says that an earlier commit waits for Finish.
var ErrJournalExists = errors.New("an earlier commit is not finished")

// Change is what is to become of one file.
type Change struct {
	Path string
	// Content and Attributes are those of the new file.
	Content    []byte
	Attributes Attributes
	// Remove takes the file away instead.
	Remove bool
	// Backup keeps a copy of the old file as NAME.TIMESTAMP~.
	Backup bool
	// KeepOneBackup is for keys: the backup is readable by its owner alone,
	// and all older ones go once the commit stands.
	KeepOneBackup bool
}

// Result is what became of a commit.
type Result int

const (
	// Nothing says that there was no journal.
	Nothing Result = iota
	// Finished says that every file is as the commit wanted it.
	Finished
	// Undone says that every file is as it was before the commit.
	Undone
	// Abandoned says that the files are a mixture that can be neither finished
	// nor undone. The changes are to be applied again.
	Abandoned
)

func (r Result) String() string {
	return [...]string{"nothing to finish", "finished", "undone", "abandoned"}[r]
}

// Outcome tells what Commit or Finish did.
type Outcome struct {
	Result Result
	// Changed lists the files that were replaced or removed.
	Changed []string
	// Backups lists the copies of old files that were made.
	Backups []string
	// Left says which older backups of a key could not be removed, and why.
	Left []string
}

// Commit makes all changes or, after an error before the first of them, none.
//
// Backups come first. Then the files change in the order given: it decides
// which mixture a reader may see between two renames, and is best chosen so
// that each prefix of it works. For a new set: CA, CRL, key, certificate. The
// certificate, last, says that all else is there; key and certificate, which
// must fit, are neighbours. For a removal: the same from the end, so that the
// certificate goes first. An obstacle stops the commit rather than being
// passed over, since the order would be broken.
//
// The error is ErrCommitUnfinished when a file has changed and the rest, or
// the last sync, could not be done.
func (h *Host) Commit(journal string, changes []Change) (Outcome, error) {
	if len(changes) == 0 {
		return Outcome{}, nil
	}
	if err := h.CheckPath(journal); err != nil {
		return Outcome{}, err
	}
	if _, err := h.lstat(journal); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("%s: %w", journal, ErrJournalExists)
		}
		return Outcome{}, failed(err)
	}
	j := &Journal{Version: journalVersion, path: journal, host: h}
	if err := h.prepare(j, changes); err != nil {
		return Outcome{}, failed(also(err, h.discard(j, nil, Undone)))
	}
	out, err := h.forward(j, make([]status, len(j.Steps)))
	if err == nil {
		return out, nil
	}
	// What was refused may have been the first change, or have happened
	// though an error was reported.
	statuses, unknown := h.assess(j)
	if unknown == nil && !j.begun(statuses) {
		return Outcome{}, failed(also(err, h.discard(j, nil, Undone)))
	}
	return Outcome{}, failed(fmt.Errorf("%w: %w", ErrCommitUnfinished, err))
}

// prepare does all that can fail for want of space or permission: when it
// returns, only renames and removals are left. After an error too, j names
// what was staged.
func (h *Host) prepare(j *Journal, changes []Change) error {
	if err := h.stageAll(j, changes); err != nil {
		return err
	}
	// The temps must be as durable as the journal that speaks of them.
	if err := h.settle(j); err != nil {
		return err
	}
	return j.save()
}

func (h *Host) stageAll(j *Journal, changes []Change) error {
	for _, c := range changes {
		if slices.ContainsFunc(j.Steps, func(s step) bool { return s.Path == c.Path }) {
			return fmt.Errorf("%s: two changes to one file", c.Path)
		}
		if err := h.stageChange(j, c); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) stageChange(j *Journal, c Change) error {
	if err := h.CheckPath(c.Path); err != nil {
		return err
	}
	old, err := h.Read(c.Path)
	if err != nil {
		return err
	}
	if err := h.stageBackup(j, c, old); err != nil {
		return err
	}
	s := step{Action: doRemove, Path: c.Path, Before: old.hash()}
	if !c.Remove {
		temp, err := h.stage(c.Path, whole(c.Content), c.Attributes)
		if err != nil {
			return err
		}
		s.Action, s.Temp, s.After = doWrite, filepath.Base(temp), hash(c.Content)
	}
	j.Steps = append(j.Steps, s)
	return nil
}

// stageBackup stages the copy of the old file, ahead of all changes, and
// notes which older copies go.
func (h *Host) stageBackup(j *Journal, c Change, old File) error {
	made := c.Backup && old.Exists
	if c.KeepOneBackup {
		older, err := h.Backups(c.Path)
		if err != nil {
			return err
		}
		if !made && len(older) > 0 {
			older = older[:len(older)-1]
		}
		j.Prune = append(j.Prune, older...)
	}
	if !made {
		return nil
	}
	name, err := h.backupName(c.Path)
	if err != nil {
		return err
	}
	temp, err := h.stageBackupOf(old, c.KeepOneBackup)
	if err != nil {
		return err
	}
	first := slices.IndexFunc(j.Steps, func(s step) bool { return s.Action != doBackup })
	if first < 0 {
		first = len(j.Steps)
	}
	j.Steps = slices.Insert(j.Steps, first,
		step{Action: doBackup, Path: name, Temp: filepath.Base(temp), After: old.hash()})
	return nil
}

// forward does the steps that are pending, makes them durable, and ends the
// journal.
func (h *Host) forward(j *Journal, statuses []status) (Outcome, error) {
	out := Outcome{Result: Finished}
	for i, s := range j.Steps {
		if statuses[i] == pending {
			if err := h.perform(s); err != nil {
				return Outcome{}, err
			}
		}
		switch {
		case s.Action != doBackup:
			out.Changed = append(out.Changed, s.Path)
		case statuses[i] != lost:
			out.Backups = append(out.Backups, s.Path)
		}
	}
	if err := h.settle(j); err != nil {
		return Outcome{}, err
	}
	for _, path := range j.Prune {
		if err := insist(func() error { return h.removeIfThere(path) }); err != nil {
			out.Left = append(out.Left, fmt.Sprintf("%s: %v", path, err))
		}
	}
	if len(j.Prune) > 0 {
		if err := h.settle(j); err != nil {
			return Outcome{}, err
		}
	}
	return out, j.drop()
}

// perform does one step. What counts is what is there afterwards: on some
// network file systems a rename that reports an error has happened.
func (h *Host) perform(s step) error {
	return insist(func() (err error) {
		if s.Action == doRemove {
			err = h.removeIfThere(s.Path)
		} else {
			err = h.fs.Rename(s.temp(), s.Path)
		}
		if err == nil {
			return nil
		}
		if now, unknown := h.status(s); unknown == nil && now == done {
			return nil
		}
		return err
	})
}

// settle makes the names in all directories of the commit durable. A failed
// sync is not tried again: the kernel would claim success for what it dropped.
func (h *Host) settle(j *Journal) error {
	for _, dir := range j.dirs() {
		if err := h.syncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
