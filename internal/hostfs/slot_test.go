package hostfs

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"golang.org/x/sys/unix"
)

func readSlot(t *testing.T, h *Host, want SlotState, record string) {
	t.Helper()
	state, got, at, err := h.ReadSlot("/slot")
	if err != nil || state != want || string(got) != record {
		t.Errorf("%v, %q, %v; want %v, %q", state, got, err, want, record)
	}
	if state == SlotPrepared || state == SlotStored {
		if !at.Equal(clock) {
			t.Errorf("at %v", at)
		}
	}
	if state == SlotTorn && at.IsZero() {
		t.Error("torn at no time")
	}
}

func TestSlot(t *testing.T) {
	s := newSandbox(t)
	h := s.host()
	readSlot(t, h, SlotMissing, "")
	slot, err := h.PrepareSlot("/slot", 4096)
	if err != nil {
		t.Fatal(err)
	}
	defer slot.Close()
	readSlot(t, h, SlotPrepared, "")
	var st unix.Stat_t
	if err := unix.Stat(s.out("/slot"), &st); err != nil {
		t.Fatal(err)
	}
	if st.Mode&0o777 != 0o600 || st.Size < 4096 || st.Blocks*512 < 4096 {
		t.Errorf("mode %o, size %d, %d blocks, want 0o600, 4096 at least, 4096 at least", st.Mode, st.Size, st.Blocks)
	}
	if err := slot.Store([]byte("the record")); err != nil {
		t.Fatal(err)
	}
	readSlot(t, h, SlotStored, "the record")
	if _, err := h.PrepareSlot("/slot", 0); !errors.Is(err, ErrSlotStored) {
		t.Errorf("a record would have been overwritten: got %v, want %v", err, ErrSlotStored)
	}
	readSlot(t, h, SlotStored, "the record")
	if err := h.ResetSlot("/slot"); err != nil {
		t.Fatal(err)
	}
	readSlot(t, h, SlotPrepared, "")
	if err := h.Remove("/slot"); err != nil {
		t.Fatal(err)
	}
	readSlot(t, h, SlotMissing, "")
}

// A record larger than the space that was reserved is stored too.
func TestSlotOverflow(t *testing.T) {
	s := newSandbox(t)
	slot, err := s.host().PrepareSlot("/slot", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slot.Close()
	record := strings.Repeat("x", 100_000)
	if err := slot.Store([]byte(record)); err != nil {
		t.Fatal(err)
	}
	readSlot(t, s.host(), SlotStored, record)
}

// TestSlotWindow lists all that stands between an answer and its safety.
func TestSlotWindow(t *testing.T) {
	s := newSandbox(t)
	f := &faultfs.Fs{}
	slot, err := s.faulty(f).PrepareSlot("/slot", 4096)
	if err != nil {
		t.Fatal(err)
	}
	before := len(f.Ops())
	if err := slot.Store([]byte("record")); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, op := range f.Ops()[before:] {
		names = append(names, op.Name)
	}
	if !slices.Equal(names, []string{"write", "sync"}) {
		t.Errorf("the window holds %v", names)
	}
}

// TestSlotTorn cuts the write of a record at each byte.
func TestSlotTorn(t *testing.T) {
	s := newSandbox(t)
	h := s.host()
	const record = "the record"
	slot, err := h.PrepareSlot("/slot", 64)
	if err != nil {
		t.Fatal(err)
	}
	prepared := []byte(s.read("/slot"))
	if err := slot.Store([]byte(record)); err != nil {
		t.Fatal(err)
	}
	slot.Close()
	stored := []byte(s.read("/slot"))
	end := slotHeader + len(record)
	for n := range len(stored) + 1 {
		cut := append(bytes.Clone(stored[:n]), prepared[n:]...)
		want, wantRecord := SlotTorn, ""
		switch {
		case bytes.Equal(cut, prepared):
			want = SlotPrepared
		case n >= end:
			want, wantRecord = SlotStored, record
		}
		s.write("/slot", string(cut), 0o600)
		readSlot(t, h, want, wantRecord)
		if n < slotHeader {
			s.write("/slot", string(stored[:n]), 0o600)
			readSlot(t, h, SlotTorn, "")
		}
	}
	s.write("/slot", "", 0o600)
	again, err := h.PrepareSlot("/slot", 64) // over a file that is none
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	readSlot(t, h, SlotPrepared, "")
}

// TestSlotFaults: no slot or a whole one, whatever fails while it is made.
func TestSlotFaults(t *testing.T) {
	prepare := func(f *faultfs.Fs) (sandbox, error) {
		s := newSandbox(t)
		slot, err := s.faulty(f).PrepareSlot("/slot", 1024)
		if err == nil {
			err = slot.Store([]byte("record"))
			slot.Close()
		}
		return s, err
	}
	eachFault(t, func(f *faultfs.Fs) {
		if _, err := prepare(f); err != nil {
			t.Fatal(err)
		}
	}, func(name string, fault *faultfs.Fs) {
		s, err := prepare(fault)
		h := s.quick()
		state, record, _, rerr := h.ReadSlot("/slot")
		switch {
		case rerr != nil:
			t.Errorf("%s: %v", name, rerr)
		case err == nil && (state != SlotStored || string(record) != "record"):
			t.Errorf("%s: no error, but %v", name, state)
		case err != nil && contract.CodeOf(err) != contract.CodeFilesystem:
			t.Errorf("%s: %v", name, err)
		}
		if _, err := h.SweepTemps([]string{"/"}, nil); err != nil {
			t.Errorf("%s: got %v, want no error", name, err)
		}
		if state == SlotStored {
			return
		}
		slot, err := h.PrepareSlot("/slot", 10)
		if err != nil {
			t.Fatalf("%s: once more: got %v, want no error", name, err)
		}
		slot.Close()
		if tree := s.tree(); len(tree) != 1 {
			t.Errorf("%s: got %v, want 1", name, tree)
		}
	})
}

// A file system without fallocate(2) gets its space by writing.
func TestSlotWithoutFallocate(t *testing.T) {
	s := newSandbox(t)
	f := &faultfs.Fs{At: 1, Err: syscall.EOPNOTSUPP, Match: func(op faultfs.Op) bool { return op.Name == "allocate" }}
	slot, err := s.faulty(f).PrepareSlot("/slot", 8192)
	if err != nil {
		t.Fatal(err)
	}
	defer slot.Close()
	if info, err := os.Stat(s.out("/slot")); err != nil || info.Size() != slotHeader+8192 {
		t.Errorf("got %v, %v, want %v", info, err, slotHeader+8192)
	}
	readSlot(t, s.host(), SlotPrepared, "")
}

// FuzzSlot: what counts as stored is what Store would have written.
func FuzzSlot(f *testing.F) {
	f.Add([]byte(""), []byte("record"))
	f.Add(header("prepared 2026-05-06T07:08:09Z"), []byte{})
	f.Add(header("stored 2026-05-06T07:08:09Z 0 "+hash(nil)), []byte{0})
	f.Add(header("stored 2026-05-06T07:08:09Z -1 "+hash(nil)), []byte{0})
	f.Fuzz(func(t *testing.T, content, record []byte) {
		state, got, at := parseSlot(content)
		if state == SlotStored && (!bytes.HasPrefix(content[slotHeader:], got) || at.IsZero()) {
			t.Errorf("stored %q, not in the file", got)
		}
		if state != SlotStored && got != nil {
			t.Errorf("%v with a record", state)
		}
		file := &memory{content: content}
		slot := &Slot{file: file, now: func() time.Time { return clock }}
		if err := slot.Store(record); err != nil {
			t.Fatal(err)
		}
		state, got, at = parseSlot(file.content)
		if state != SlotStored || !bytes.Equal(got, record) || !at.Equal(clock) {
			t.Errorf("%q came back as %v %q", record, state, got)
		}
	})
}

// memory is a file that WriteAt overwrites.
type memory struct {
	*os.File
	content []byte
}

func (m *memory) WriteAt(p []byte, _ int64) (int, error) {
	m.content = append(bytes.Clone(p), m.content[min(len(p), len(m.content)):]...)
	return len(p), nil
}

func (m *memory) Sync() error { return nil }
