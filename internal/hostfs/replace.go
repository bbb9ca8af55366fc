package hostfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Replace puts content at path in one step. After an error the old content or
// the new stands there, never a part.
func (h *Host) Replace(path string, content []byte, a Attributes) error {
	staged, err := h.Stage(path, whole(content), a)
	if err != nil {
		return err
	}
	return staged.Place()
}

// Staged is a file that is complete, and not at its place yet.
type Staged struct {
	host       *Host
	temp, path string
}

// Stage is the first half of Replace, for content that is written in parts.
// Place or Drop must follow.
func (h *Host) Stage(path string, write func(io.Writer) error, a Attributes) (*Staged, error) {
	if err := h.CheckPath(path); err != nil {
		return nil, err
	}
	temp, err := h.stage(path, write, a)
	if err != nil {
		return nil, failed(err)
	}
	return &Staged{host: h, temp: temp, path: path}, nil
}

// Place is the second half of Replace.
func (s *Staged) Place() error {
	if err := s.host.fs.Rename(s.temp, s.path); err != nil {
		return failed(also(err, s.Drop()))
	}
	return failed(s.host.syncDir(filepath.Dir(s.path)))
}

// Drop leaves the file at the path as it is.
func (s *Staged) Drop() error { return s.host.removeIfThere(s.temp) }

// Rehearse finds out whether a file can be put at path with these attributes
// and all that it keeps of the file there: it stages an empty one and removes
// it. A run with another state directory may take that for stale meanwhile: it
// is made anew then.
func (h *Host) Rehearse(path string, a Attributes) error {
	var err error
	for range editAttempts {
		if err = h.rehearse(path, a); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return err
}

func (h *Host) rehearse(path string, a Attributes) error {
	if err := h.CheckPath(path); err != nil {
		return err
	}
	temp, err := h.stage(path, whole(nil), a)
	if err != nil {
		return failed(err)
	}
	if err := h.removeIfThere(temp); err != nil {
		// Who can do without the file goes on, and ends with nothing to sweep.
		return failed(also(err, h.removeIfThere(temp)))
	}
	return nil
}

// Remove removes the file at path; a missing one is no error.
func (h *Host) Remove(path string) error {
	if err := h.CheckPath(path); err != nil {
		return err
	}
	file, err := h.Stat(path)
	if err != nil || !file.Exists {
		return err
	}
	if err := h.removeIfThere(path); err != nil {
		return failed(err)
	}
	return failed(h.syncDir(filepath.Dir(path)))
}

// SetAttributes gives the file at path its mode and owner, and touches
// nothing when it has them.
func (h *Host) SetAttributes(path string, a Attributes) error {
	if err := h.CheckPath(path); err != nil {
		return err
	}
	old, err := h.Stat(path)
	if err != nil {
		return err
	}
	if !old.Exists {
		return failed(fmt.Errorf("%s: %w", path, os.ErrNotExist))
	}
	owned := (a.UID == Keep || a.UID == old.UID) && (a.GID == Keep || a.GID == old.GID)
	if owned && old.Mode == a.Mode.Perm() {
		return nil
	}
	if !owned && old.Mode&a.Mode != old.Mode {
		// Neither the old group nor the new one may see, in between, what the
		// other mode would have kept from it.
		if err := h.fs.Chmod(path, old.Mode&a.Mode); err != nil {
			return failed(err)
		}
	}
	if err := h.apply(path, a); err != nil {
		return failed(err)
	}
	f, err := h.open(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrPermission) {
		return nil // a mode that bars its owner; the kernel will write it in its time
	}
	if err != nil {
		return failed(err)
	}
	defer f.Close()
	return failed(f.Sync())
}

// Rename gives a file another name in its directory, over what has that name.
func (h *Host) Rename(from, to string) error {
	if filepath.Dir(from) != filepath.Dir(to) {
		return refuse("name two files of one directory", "%s and %s are in different directories", from, to)
	}
	for _, path := range []string{from, to} {
		if err := h.CheckPath(path); err != nil {
			return err
		}
	}
	if err := h.fs.Rename(from, to); err != nil {
		return failed(err)
	}
	return failed(h.syncDir(filepath.Dir(to)))
}
