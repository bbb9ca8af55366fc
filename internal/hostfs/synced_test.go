package hostfs

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
)

// TestNothingIsLeftUnsynced: when an operation returns, a power failure takes
// nothing of it back. No kill shows that, since the kernel outlives one.
func TestNothingIsLeftUnsynced(t *testing.T) {
	appendLine := func(old []byte, _ bool) ([]byte, error) { return append(old, "x\n"...), nil }
	edit := EditOptions{Create: Attributes{0o644, Keep, Keep}, Backup: true, LockTimeout: 1e9}
	for _, c := range []struct {
		name string
		do   func(h *Host) error
	}{
		{"replace", func(h *Host) error { return h.Replace("/d/f", []byte("new"), Attributes{0o600, Keep, Keep}) }},
		{"remove", func(h *Host) error { return h.Remove("/d/f") }},
		{"attributes", func(h *Host) error { return h.SetAttributes("/d/f", Attributes{0o600, Keep, Keep}) }},
		{"rename", func(h *Host) error { return h.Rename("/d/f", "/d/g") }},
		{"edit", func(h *Host) error { _, err := h.Edit(context.Background(), "/d/f", edit, appendLine); return err }},
		{"edit of a new file", func(h *Host) error { _, err := h.Edit(context.Background(), "/d/new", edit, appendLine); return err }},
		{"a slot", func(h *Host) error {
			slot, err := h.PrepareSlot("/d/slot", 100)
			if err != nil {
				return err
			}
			if err := slot.Store([]byte("record")); err != nil {
				return err
			}
			return slot.Close()
		}},
		{"a slot anew", func(h *Host) error { return h.ResetSlot("/d/slot") }},
		{"a damaged journal", func(h *Host) error { _, err := h.Finish("/d/journal"); return err }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSandbox(t)
			s.write("/d/f", "old\n", 0o644)
			s.write("/d/journal", "{", 0o600)
			f := &faultfs.Fs{}
			if err := c.do(s.faulty(f)); err != nil {
				t.Fatal(err)
			}
			unsynced, changes := map[string]bool{}, 0
			for _, op := range f.Ops() {
				switch op.Name {
				case "rename", "remove":
					delete(unsynced, op.Path)
					unsynced[filepath.Dir(op.Path)] = true
					changes++
				case "write", "writeat", "chmod", "chown", "truncate":
					unsynced[op.Path] = true
					changes++
				case "sync":
					delete(unsynced, op.Path)
				}
			}
			if left := slices.Sorted(maps.Keys(unsynced)); len(left) > 0 || changes == 0 {
				t.Errorf("after %d changes not synced: got %q\n%v, want len(left) none, changes some", changes, left, f.Ops())
			}
		})
	}
}
