package statedir

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/plan"
)

const (
	// SpoolSpace is reserved for an answer before it is asked for: the largest
	// body that the client takes, and what is stored around it.
	SpoolSpace = 1536 << 10
	// spooledBody is the largest body that has room in it as a record.
	spooledBody = 1 << 20
)

// Poll is a poll whose answer is about to come.
type Poll struct {
	store *Store
	slot  *hostfs.Slot
}

// PreparePoll makes the file of the answer, reserves its space and syncs its
// name, before the request goes out.
func (s *Store) PreparePoll() (*Poll, error) {
	slot, err := s.Files.PrepareSlot(s.Paths.Spool, SpoolSpace)
	if err != nil {
		return nil, err
	}
	return &Poll{store: s, slot: slot}, nil
}

// Store writes an answer as it came. One that is larger than the space that was
// made for it is stored without its list of revoked certificates, since the key
// must not wait for that.
func (p *Poll) Store(a Answer) error {
	kept := a
	if isCut(a) {
		kept.Body = managerclient.WithoutCRL(kept.Body)
	}
	record, err := encodeRecord(kept)
	if err == nil {
		err = p.slot.Store(record)
	}
	return err
}

// StoreRest stores an answer whole that Store has cut, where the disk has room.
// After an error what Store wrote is there.
func (p *Poll) StoreRest(a Answer) error {
	if !isCut(a) {
		return nil
	}
	record, err := encodeRecord(a)
	if err != nil {
		return err
	}
	return p.store.Files.StoreMore(p.slot, record, p.store.private())
}

func isCut(a Answer) bool { return len(a.Body) > spooledBody && a.Encoding == "" }

// Close gives the file of the answer back.
func (p *Poll) Close() error { return p.slot.Close() }

// Hold makes a the answer that is to be put in place, also one that the disk
// did not take.
func (s *Store) Hold(a Answer) { s.spool, s.pollAt = &a, nil }

// MarkPoll notes that the answer to the poll that was just sent is unknown. Its
// mark is on disk since PreparePoll.
func (s *Store) MarkPoll() {
	s.spool, s.pollAt = nil, new(s.Now())
}

// RestorePoll leaves the mark of an earlier unanswered poll, and else none.
func (s *Store) RestorePoll(before *time.Time) error {
	if before == nil {
		return s.DropSpool()
	}
	return plan.Step{Say: s.DropSpool, Do: func() error {
		if err := s.Files.ResetSlot(s.Paths.Spool); err != nil {
			return err
		}
		s.spool, s.pollAt = nil, before
		return nil
	}}.Perform(s.Check)
}

// DropSpool removes an answer, or the mark of a poll.
func (s *Store) DropSpool() error {
	remove := plan.Step{Do: func() error { return s.Files.Remove(s.Paths.Spool) }}
	if err := remove.Perform(s.Check); err != nil {
		return err
	}
	s.spool, s.pollAt = nil, nil
	return nil
}

// SetAside keeps the stored answer under a name of its own, which it returns.
func (s *Store) SetAside() (string, error) {
	aside := filepath.Join(s.Paths.Dir, rejectedPrefix+s.Now().UTC().Format("20060102T150405.000000000Z"))
	if err := s.Files.Rename(s.Paths.Spool, aside); err != nil {
		return "", err
	}
	s.spool, s.pollAt = nil, nil
	return aside, nil
}

// keptRejected is how many bundles that were put aside stay for a look at them.
const keptRejected = 3

// PruneRejected removes the oldest ones: their names sort by time.
func (s *Store) PruneRejected() (failed []error) {
	names, err := s.Files.List(s.Paths.Dir)
	if err != nil {
		return nil
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, rejectedPrefix) })
	for len(names) > keptRejected {
		if err := s.Files.Remove(filepath.Join(s.Paths.Dir, names[0])); err != nil {
			failed = append(failed, err)
		}
		names = names[1:]
	}
	return failed
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
