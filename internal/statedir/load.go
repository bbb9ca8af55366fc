package statedir

import (
	"errors"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/managerclient"
)

// Load reads the state directory. It changes nothing.
func Load(o Options) (*Store, error) {
	s := &Store{Options: o}
	for _, read := range []func() error{s.loadJournal, s.loadTokens, s.loadSpool, s.loadProvenance} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	s.tellClonesApart()
	return s, nil
}

func (s *Store) loadJournal() (err error) {
	s.journal, err = s.Files.LoadJournal(s.Paths.Journal)
	if errors.Is(err, hostfs.ErrJournalDamaged) {
		// Finish sets it aside.
		s.journal, err = &hostfs.Journal{}, nil
	}
	return err
}

func (s *Store) loadTokens() (err error) {
	if s.token, err = s.readToken(s.Paths.Token); err != nil {
		return err
	}
	s.newToken, s.requestAt, err = s.readRequest(s.Paths.Request)
	return err
}

func (s *Store) loadSpool() error {
	state, record, at, err := s.Files.ReadSlot(s.Paths.Spool)
	if err != nil {
		return err
	}
	switch state {
	case hostfs.SlotStored:
		s.spool = &Answer{}
		return decodeRecord(s.Paths.Spool, record, s.spool)
	case hostfs.SlotPrepared, hostfs.SlotTorn:
		s.pollAt = &at
	case hostfs.SlotMissing:
	}
	return nil
}

func (s *Store) loadProvenance() error {
	file, err := s.Files.Read(s.Paths.Provenance)
	if err != nil || !file.Exists {
		return err
	}
	if err := decodeRecord(s.Paths.Provenance, file.Content, &s.provenance); err != nil {
		return err
	}
	s.provenance.relocate(func(path string) string {
		if place, _, err := s.Files.Resolve(path); err == nil {
			return place
		}
		return path
	})
	return nil
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
		// Nobody can be asked with it, and it must not lock this host for ever.
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

// tellClonesApart takes out of s what belongs to a host with another
// machine-id. Records without one are of this host.
func (s *Store) tellClonesApart() {
	if s.MachineID == "" {
		// A request fails by it, with a message; what is installed goes on.
		return
	}
	if t, err := s.readToken(s.Paths.aside(s.Paths.Token)); err == nil && t != nil {
		s.clones.token = t.Token
	}
	theirs := s.of(s.provenance.RequestMachineID)
	if t := s.token; t != nil && s.of(t.MachineID) {
		theirs = theirs || s.provenance.RequestMachineID == ""
		s.clones.token = t.Token
	}
	if t := s.newToken; t != nil && s.of(t.MachineID) {
		s.newToken = nil
		s.clones.add(t.MachineID, s.Paths.Request)
	}
	if theirs && s.requestAt != nil {
		s.requestAt = nil
		s.clones.add(s.provenance.RequestMachineID, s.Paths.Request)
	}
	if theirs && (s.spool != nil || s.pollAt != nil) {
		s.spool, s.pollAt = nil, nil
		s.clones.add(s.provenance.RequestMachineID, s.Paths.Spool)
	}
	// Its proof goes with the request that it was made for.
	if proof, err := s.Files.Stat(s.Paths.Proof); err == nil && proof.Exists && (theirs || s.token != nil && s.of(s.token.MachineID)) {
		s.clones.add(s.provenance.RequestMachineID, s.Paths.Proof)
	}
	// The token goes last: it may be all that tells whose the rest is.
	if t := s.token; t != nil && s.of(t.MachineID) {
		s.token = nil
		s.clones.add(t.MachineID, s.Paths.Token)
	}
}

// of reports whether id is another host's.
func (s *Store) of(id string) bool { return id != "" && id != s.MachineID }
