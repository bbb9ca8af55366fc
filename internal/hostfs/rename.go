package hostfs

import "path/filepath"

// Rename gives a file of the state directory another name in it, and syncs the
// directory.
func (h *Host) Rename(from, to string) error {
	if err := h.CheckPath(to); err != nil {
		return err
	}
	if err := h.fs.Rename(from, to); err != nil {
		return failed(err)
	}
	return failed(h.syncDir(filepath.Dir(to)))
}
