package hostfs

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
)

// status is how far one step of a commit has come.
type status int

const (
	// pending: it can be done.
	pending status = iota
	// done: the path is as the step wanted it.
	done
	// lost: it can't be done, since the staged file is gone or someone else
	// has changed the path since.
	lost
)

func (h *Host) status(s step) (status, error) {
	now, err := h.Read(s.Path)
	if err != nil {
		return lost, err
	}
	staged := false
	if s.Temp != "" {
		temp, err := h.Read(s.temp())
		if err != nil {
			return lost, err
		}
		staged = temp.hash() == s.After
	}
	switch {
	case staged && (now.hash() == s.Before || now.hash() == s.After):
		return pending, nil
	case now.hash() == s.After:
		return done, nil
	case s.Action == doRemove && now.hash() == s.Before:
		return pending, nil
	}
	return lost, nil
}

func (h *Host) assess(j *Journal) ([]status, error) {
	statuses := make([]status, len(j.Steps))
	for i, s := range j.Steps {
		var err error
		if statuses[i], err = h.status(s); err != nil {
			return nil, err
		}
	}
	return statuses, nil
}

// begun tells whether a file of the set, not counting backups, has changed.
func (j *Journal) begun(statuses []status) bool {
	for i, s := range j.Steps {
		if s.Action != doBackup && statuses[i] == done && s.Before != s.After {
			return true
		}
	}
	return false
}

// verdict is what becomes of the commit. Forward is possible while no step is
// lost; a backup that someone removed after the files began to change is not
// worth a mixture.
func (j *Journal) verdict(statuses []status) Result {
	begun, stuck := j.begun(statuses), false
	for i, s := range j.Steps {
		if statuses[i] == lost && (s.Action != doBackup || !begun) {
			stuck = true
		}
	}
	switch {
	case !stuck:
		return Finished
	case !begun:
		return Undone
	}
	return Abandoned
}

// Finish ends the commit that a kill or an error left in the journal. It goes
// forward where every staged file is still there or in place already, goes
// back where nothing has changed yet, and else abandons: it removes what was
// staged and the journal, never a file or a backup, and the caller applies
// its changes again.
//
// A file that someone else has changed since the kill is not overwritten; it
// counts as lost. A damaged journal is set aside as JOURNAL.damaged and
// abandoned; SweepTemps then finds what it had staged.
func (h *Host) Finish(journal string) (Outcome, error) {
	if err := h.CheckPath(journal); err != nil {
		return Outcome{}, err
	}
	j, err := h.LoadJournal(journal)
	if errors.Is(err, ErrJournalDamaged) {
		return h.setAside(journal)
	}
	if err != nil || j == nil {
		return Outcome{}, err
	}
	statuses, err := h.assess(j)
	if err != nil {
		return Outcome{}, failed(fmt.Errorf("%w: %w", ErrCommitUnfinished, err))
	}
	result := j.verdict(statuses)
	if result == Finished {
		return h.finish(j, statuses)
	}
	return Outcome{Result: result}, failed(h.discard(j, statuses, result))
}

func (h *Host) finish(j *Journal, statuses []status) (Outcome, error) {
	for i, s := range j.Steps {
		var err error
		switch {
		case statuses[i] == pending:
			err = h.CheckPath(s.Path)
		case s.Temp != "":
			err = h.removeIfThere(s.temp()) // damaged, and not needed any more
		}
		if err != nil {
			return Outcome{}, failed(err)
		}
	}
	out, err := h.forward(j, statuses)
	if err != nil {
		return Outcome{}, failed(fmt.Errorf("%w: %w", ErrCommitUnfinished, err))
	}
	return out, nil
}

// discard removes what was staged, then the journal, so that nothing is left
// at any moment that no journal accounts for. It touches no file of the set.
// When the commit is undone its backups, equal to the files, go too; when it
// is abandoned they may be all that is left of the old files, and stay.
func (h *Host) discard(j *Journal, statuses []status, result Result) error {
	var first error
	for i, s := range j.Steps {
		var err error
		switch {
		case s.Action == doBackup && result == Undone:
			err = cmp.Or(h.removeIfThere(s.temp()), h.removeCopy(s))
		case s.Action == doBackup && statuses[i] == pending:
			err = h.perform(s)
		case s.Temp != "":
			err = h.removeIfThere(s.temp())
		}
		first = cmp.Or(first, err)
	}
	first = cmp.Or(first, h.settle(j))
	return cmp.Or(first, j.drop())
}

// removeCopy removes the backup that a commit made, if it still is that.
func (h *Host) removeCopy(s step) error {
	file, err := h.Read(s.Path)
	if err != nil || file.hash() != s.After {
		return err
	}
	return h.removeIfThere(s.Path)
}

func (h *Host) setAside(journal string) (Outcome, error) {
	if err := h.fs.Rename(journal, journal+".damaged"); err != nil {
		return Outcome{}, failed(err)
	}
	return Outcome{Result: Abandoned}, failed(h.syncDir(filepath.Dir(journal)))
}

// EndState returns what Finish would leave at each path that it would change
// or has changed; nothing where it would go back or abandon.
func (j *Journal) EndState() (map[string]File, error) {
	statuses, err := j.host.assess(j)
	if err != nil || j.verdict(statuses) != Finished {
		return nil, err
	}
	end := make(map[string]File)
	for i, s := range j.Steps {
		if s.Action == doBackup {
			continue
		}
		file := File{Path: s.Path}
		if s.Action == doWrite {
			from := s.Path
			if statuses[i] == pending {
				from = s.temp()
			}
			if file, err = j.host.Read(from); err != nil {
				return nil, err
			}
			file.Path = s.Path
		}
		end[s.Path] = file
	}
	return end, nil
}
