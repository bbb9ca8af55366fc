package statedir

import (
	"errors"

	"github.com/linux-patch/enroll/internal/hostfs"
)

// Finish ends a commit that was killed.
func (s *Store) Finish() error {
	_, err := s.Files.Finish(s.Paths.Journal)
	if err == nil {
		s.journal = nil
	}
	return err
}

// Commit replaces files as one set, with the journal of this directory.
func (s *Store) Commit(changes []hostfs.Change) (hostfs.Outcome, error) {
	return s.Files.Commit(s.Paths.Journal, changes)
}

func (s *Store) loadJournal() (err error) {
	s.journal, err = s.Files.LoadJournal(s.Paths.Journal)
	if errors.Is(err, hostfs.ErrJournalDamaged) {
		// Finish sets it aside.
		s.journal, err = &hostfs.Journal{}, nil
	}
	return err
}
