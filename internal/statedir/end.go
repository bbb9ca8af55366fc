package statedir

import (
	"path/filepath"
	"strings"
	"time"
)

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
