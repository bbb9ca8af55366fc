package statedir

import (
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/managerclient"
)

// SaveToken writes the token, alive or dead.
func (s *Store) SaveToken(t Token) error {
	if err := s.write(s.Paths.Token, t); err != nil {
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

// LiveToken is the token that the manager at url may still honour.
func (s *Store) LiveToken(url string) *Token {
	return s.live(func(t *Token) bool { return t.ManagerURL == url })
}

// AnyLiveToken is a live token for whichever manager: a report has no URL.
func (s *Store) AnyLiveToken() *Token { return s.live(func(*Token) bool { return true }) }

func (s *Store) live(fits func(*Token) bool) *Token {
	for _, t := range []*Token{s.newToken, s.token} {
		if t != nil && t.Dead == "" && fits(t) {
			return t
		}
	}
	return nil
}

func (s *Store) loadTokens() (err error) {
	if s.token, err = s.readToken(s.Paths.Token); err != nil {
		return err
	}
	s.newToken, s.requestAt, err = s.readRequest(s.Paths.Request)
	return err
}

// readToken reads the saved token, if any.
func (s *Store) readToken(path string) (*Token, error) {
	file, err := s.Files.Read(path)
	if err != nil || !file.Exists {
		return nil, err
	}
	return s.decodeToken(path, file.Content)
}

func (s *Store) decodeToken(path string, raw []byte) (*Token, error) {
	t := &Token{}
	if err := decodeRecord(path, raw, t); err != nil {
		return nil, err
	}
	s.Secret(t.Token)
	if !managerclient.ValidToken(t.Token) {
		// No one can be asked with it, and it must not lock this host for ever.
		t.Dead, t.Final = contract.StateExpired, true
	}
	return t, nil
}

// readRequest reads the slot of a registration: the token that it brought, or
// the time since which it waits for one.
func (s *Store) readRequest(path string) (*Token, *time.Time, error) {
	state, raw, at, err := s.Files.ReadSlot(path)
	switch {
	case err != nil:
		return nil, nil, err
	case state == hostfs.SlotPrepared, state == hostfs.SlotTorn:
		return nil, &at, nil
	case state != hostfs.SlotStored:
		return nil, nil, nil
	}
	t, err := s.decodeToken(path, raw)
	return t, nil, err
}

// Requested reports whether the manager may hold a request of this host.
func (s *Store) Requested() bool {
	return s.AnyLiveToken() != nil || s.requestAt != nil || s.spool != nil
}
