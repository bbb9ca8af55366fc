package statedir

import (
	"bytes"
	"path/filepath"
	"strings"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/plan"
)

// Cloned reports whether files of another host are to be set aside.
func (s *Store) Cloned() bool { return len(s.clones.files) > 0 }

// CloneWarning says whose state was found; none where it is this host's.
func (s *Store) CloneWarning() []string { return s.clones.warning() }

// Theirs reports whether token is that of the host that this one was copied
// from.
func (s *Store) Theirs(token string) bool { return token == s.clones.token }

// ClonedSet reports whether the installed set is that of another host, by the
// record that came with it.
func (s *Store) ClonedSet() bool { return s.MachineID != "" && s.of(s.provenance.MachineID) }

// SetClonesAside moves what belongs to another host out of the way. It stays
// readable until the next one comes: an administrator may have to find out
// which request was copied.
func (s *Store) SetClonesAside() error {
	return plan.Step{Do: func() error {
		for _, path := range s.clones.files {
			if err := s.Files.Rename(path, s.Paths.aside(path)); err != nil {
				return err
			}
		}
		s.clones.files = nil
		return nil
	}}.Perform(s.Check)
}

// SaveToken writes the token, alive or dead.
func (s *Store) SaveToken(t Token) error {
	raw, err := encodeRecord(t)
	if err != nil {
		return err
	}
	if err := s.Files.Replace(s.Paths.Token, raw, s.private()); err != nil {
		return err
	}
	s.token = &t
	return nil
}

// Bury marks the token as one that the manager no longer honours. It is kept
// until a new one replaces it: unless this is final, what said so may have been
// a firewall.
func (s *Store) Bury(state contract.State, final bool) error {
	if s.token == nil {
		return nil
	}
	dead := *s.token
	dead.Dead, dead.Final = state, final
	return s.SaveToken(dead)
}

// Remember changes the provenance file, where it changes.
func (s *Store) Remember(change func(*Provenance)) error {
	next := s.provenance
	change(&next)
	raw, err := encodeRecord(next)
	if err != nil {
		return err
	}
	before, err := encodeRecord(s.provenance)
	if err == nil && bytes.Equal(raw, before) {
		return nil
	}
	if err := s.Files.Replace(s.Paths.Provenance, raw, s.private()); err != nil {
		return err
	}
	s.provenance = next
	return nil
}

// Sign notes, before a request goes out, which host makes it: the marks of a
// request that is not answered yet do not say so themselves.
func (s *Store) Sign() error {
	return s.Remember(func(p *Provenance) { p.RequestMachineID = s.MachineID })
}

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

// EndRequest drops the secrets of a request that is fulfilled. The spool goes
// last: while it is there, the next run comes here again.
func (s *Store) EndRequest() error {
	for _, path := range []string{s.Paths.Proof, s.Paths.Request, s.Paths.Token, s.Paths.Spool} {
		if err := s.Files.Remove(path); err != nil {
			return err
		}
	}
	s.token, s.newToken, s.requestAt, s.spool, s.pollAt = nil, nil, nil, nil, nil
	return nil
}

// Secrets are the files that hold a token or a key.
func (s *Store) Secrets() ([]string, error) {
	names, err := s.Files.List(s.Paths.Dir)
	if err != nil {
		return nil, err
	}
	var secrets []string
	for _, name := range names {
		path := filepath.Join(s.Paths.Dir, name)
		switch {
		case path == s.Paths.Token, path == s.Paths.Request, path == s.Paths.Spool, path == s.Paths.Proof,
			strings.HasPrefix(name, rejectedPrefix), strings.HasPrefix(name, clonedPrefix):
			secrets = append(secrets, path)
		}
	}
	return secrets, nil
}

// Clear removes the secrets, and forgets what enrollment put on this host but
// that it was removed at now.
func (s *Store) Clear(secrets []string, now time.Time) error {
	for _, path := range secrets {
		if err := s.Files.Remove(path); err != nil {
			return err
		}
	}
	s.token, s.newToken, s.requestAt, s.spool, s.pollAt = nil, nil, nil, nil, nil
	return s.Remember(func(p *Provenance) { *p = Provenance{Removed: &now} })
}
