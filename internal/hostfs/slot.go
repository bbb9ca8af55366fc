package hostfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/afero"
	"golang.org/x/sys/unix"
)

// SlotState is what is in a slot.
type SlotState int

const (
	// SlotMissing says that there is no file.
	SlotMissing SlotState = iota
	// SlotPrepared says that the slot waits for its record.
	SlotPrepared
	// SlotStored says that the record is whole.
	SlotStored
	// SlotTorn says that a write into the slot began and did not end, or that
	// the file is damaged: what it was to hold is lost.
	SlotTorn
)

func (s SlotState) String() string {
	return [...]string{"missing", "prepared", "stored", "torn"}[s]
}

// ErrSlotStored says that a slot holds a record that would be overwritten.
var ErrSlotStored = errors.New("the slot holds a record already")

// A slot file is one line of slotHeader bytes, padded with spaces,
//
//	linux-patch-enroll slot 1 prepared TIME
//	linux-patch-enroll slot 1 stored TIME LENGTH SHA256
//
// and the record. The line is shorter than a disk sector: it is old or new.
const (
	slotMagic  = "linux-patch-enroll slot 1 "
	slotHeader = 256
	// maxSlot bounds what ReadSlot reads: an answer of 64 MiB in base64, and what
	// is stored around it.
	maxSlot = 96 << 20
)

// Slot is a file that was made, given its space and synced before there was
// anything to put in it, so that storing needs one write and one sync.
type Slot struct {
	file afero.File
	path string
	now  func() time.Time
}

// PrepareSlot makes the slot at path, with space for a record of size bytes.
// A prepared or torn slot there is replaced; one with a record is
// ErrSlotStored.
func (h *Host) PrepareSlot(path string, size int64) (*Slot, error) {
	if err := h.CheckPath(path); err != nil {
		return nil, err
	}
	if state, _, _, err := h.ReadSlot(path); err != nil {
		return nil, err
	} else if state == SlotStored {
		return nil, failed(fmt.Errorf("%s: %w", path, ErrSlotStored))
	}
	return h.makeSlot(path, size)
}

// ResetSlot leaves a prepared slot at path, whatever was there.
func (h *Host) ResetSlot(path string) error {
	if err := h.CheckPath(path); err != nil {
		return err
	}
	s, err := h.makeSlot(path, 0)
	if err != nil {
		return err
	}
	return s.Close()
}

func (h *Host) makeSlot(path string, size int64) (*Slot, error) {
	f, temp, err := h.createTemp(path)
	if err != nil {
		return nil, failed(err)
	}
	s := &Slot{file: f, path: path, now: h.opt.Now}
	if err := h.placeSlot(s, temp, size); err != nil {
		f.Close()
		return nil, failed(err)
	}
	return s, nil
}

func (h *Host) placeSlot(s *Slot, temp string, size int64) error {
	err := s.allocate(slotHeader + size)
	if err == nil {
		err = s.put(header("prepared " + s.time()))
	}
	if err == nil {
		err = h.fs.Rename(temp, s.path)
	}
	if err != nil {
		return also(err, h.removeIfThere(temp))
	}
	return h.syncDir(filepath.Dir(s.path))
}

// allocate reserves size bytes: by fallocate(2), which holds on copy-on-write
// file systems too, else by writing them.
func (s *Slot) allocate(size int64) error {
	err := fallocate(s.file, size)
	if err == nil || !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	_, err = s.file.WriteAt(make([]byte, size), 0)
	return err
}

func fallocate(f afero.File, size int64) error {
	if a, ok := f.(interface{ Allocate(size int64) error }); ok {
		return a.Allocate(size)
	}
	fd, ok := descriptor(f)
	if !ok {
		return unix.EOPNOTSUPP
	}
	for {
		if err := unix.Fallocate(fd, 0, 0, size); err != unix.EINTR {
			return err
		}
	}
}

// Store puts record in the slot with one write and one sync.
func (s *Slot) Store(record []byte) error { return s.put(s.stored(record)) }

func (s *Slot) stored(record []byte) []byte {
	return append(header(fmt.Sprintf("stored %s %d %s", s.time(), len(record), hash(record))), record...)
}

// StoreMore replaces the record of a slot by a larger one. After an error the
// old record is there.
func (h *Host) StoreMore(s *Slot, record []byte, a Attributes) error {
	return h.Replace(s.path, s.stored(record), a)
}

// Close closes the file; what is in it stays.
func (s *Slot) Close() error { return s.file.Close() }

func (s *Slot) put(content []byte) error {
	if _, err := s.file.WriteAt(content, 0); err != nil {
		return failed(fmt.Errorf("write %s: %w", s.path, err))
	}
	if err := s.file.Sync(); err != nil {
		return failed(fmt.Errorf("sync %s: %w", s.path, err))
	}
	return nil
}

func (s *Slot) time() string { return s.now().UTC().Format(time.RFC3339) }

func header(words string) []byte {
	return fmt.Appendf(nil, "%-*s\n", slotHeader-1, slotMagic+words)
}

// ReadSlot tells what is in the slot at path, the record where it is whole,
// and when the slot was prepared or the record stored; for a torn slot that
// does not say so, when the file was written.
func (h *Host) ReadSlot(path string) (SlotState, []byte, time.Time, error) {
	f, err := h.open(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return SlotMissing, nil, time.Time{}, nil
	}
	if err != nil {
		return SlotMissing, nil, time.Time{}, failed(err)
	}
	defer f.Close()
	_, info, err := h.examine(f, path)
	if err != nil {
		return SlotMissing, nil, time.Time{}, err
	}
	content, err := io.ReadAll(io.LimitReader(f, maxSlot))
	if err != nil {
		return SlotMissing, nil, time.Time{}, failed(fmt.Errorf("read %s: %w", path, err))
	}
	state, record, at := parseSlot(content)
	if at.IsZero() {
		at = info.ModTime()
	}
	return state, record, at, nil
}

func parseSlot(content []byte) (state SlotState, record []byte, at time.Time) {
	torn := func() (SlotState, []byte, time.Time) { return SlotTorn, nil, at }
	if len(content) < slotHeader || !bytes.HasPrefix(content, []byte(slotMagic)) {
		return torn()
	}
	words := strings.Fields(string(content[len(slotMagic):slotHeader]))
	if len(words) < 2 {
		return torn()
	}
	at, err := time.Parse(time.RFC3339, words[1])
	if err != nil {
		return torn()
	}
	switch {
	case words[0] == "prepared" && len(words) == 2:
		return SlotPrepared, nil, at
	case words[0] == "stored" && len(words) == 4:
		length, err := strconv.Atoi(words[2])
		if err != nil || length < 0 || length > len(content)-slotHeader {
			return torn()
		}
		record := content[slotHeader : slotHeader+length]
		if hash(record) != words[3] {
			return torn()
		}
		return SlotStored, record, at
	}
	return torn()
}
