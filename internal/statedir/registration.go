package statedir

import "github.com/linux-patch/enroll/internal/hostfs"

// recordSpace is reserved for a token before it is asked for.
const recordSpace = 4 << 10

// Registration is a request whose token is about to come.
type Registration struct {
	store *Store
	slot  *hostfs.Slot
}

// PrepareRequest marks on disk that a registration is sent, and reserves space
// for its token, so that a full disk cannot lose it.
func (s *Store) PrepareRequest() (*Registration, error) {
	slot, err := s.Files.PrepareSlot(s.Paths.Request, recordSpace)
	if err != nil {
		return nil, err
	}
	s.requestAt = new(s.Now().UTC())
	return &Registration{store: s, slot: slot}, nil
}

// Store writes the token that the registration brought.
func (r *Registration) Store(t Token) error {
	raw, err := encodeRecord(t)
	if err != nil {
		return err
	}
	if err := r.slot.Store(raw); err != nil {
		return err
	}
	r.store.newToken, r.store.requestAt = &t, nil
	return nil
}

// StoreElsewhere writes a token that its slot did not take: it is handed out
// once, and another file may take it.
func (r *Registration) StoreElsewhere(t Token) error {
	if err := r.store.SaveToken(t); err != nil {
		return err
	}
	r.store.newToken, r.store.requestAt = &t, nil
	return nil
}

// Close gives the file of the mark back.
func (r *Registration) Close() error { return r.slot.Close() }

// ForgetRequest removes the mark of a registration that reached no one. It is
// forgotten even where the file stays.
func (s *Store) ForgetRequest() error {
	s.requestAt = nil
	return s.Files.Remove(s.Paths.Request)
}

// Adopt makes the token of an answered registration that of this host, in place
// of any older one.
func (s *Store) Adopt() error {
	if err := s.SaveToken(*s.newToken); err != nil {
		return err
	}
	if err := s.Files.Remove(s.Paths.Request); err != nil {
		return err
	}
	s.newToken = nil
	return nil
}
