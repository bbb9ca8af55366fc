package statedir

import "bytes"

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
