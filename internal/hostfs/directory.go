package hostfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/afero"
	"golang.org/x/sys/unix"
)

// EnsureDir makes the directory path with the given mode, and with 0755 those
// above it that are missing, each synced into its parent. One that exists is
// checked as CheckPath checks directories and keeps its mode.
func (h *Host) EnsureDir(path string, mode os.FileMode) error {
	exists, err := h.checkDir(path, path)
	if err != nil || exists {
		return err
	}
	for _, dir := range lineage(path) {
		perm := os.FileMode(0o755)
		if dir == path {
			perm = mode.Perm()
		}
		if err := h.makeDir(dir, perm); err != nil {
			return failed(err)
		}
	}
	// Someone may have been quicker in a sticky directory.
	_, err = h.checkDir(path, path)
	return err
}

func (h *Host) makeDir(dir string, perm os.FileMode) error {
	if _, err := h.lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := h.fs.Mkdir(dir, perm); errors.Is(err, fs.ErrExist) {
		return nil
	} else if err != nil {
		return err
	}
	info, err := h.lstat(dir)
	if err != nil {
		return err
	}
	if info.Mode().Perm() != perm {
		// A umask took bits away.
		if err := h.fs.Chmod(dir, perm); err != nil {
			return err
		}
	}
	return h.syncDir(filepath.Dir(dir))
}

// Writable says whether this process may create files in dir, or, where dir
// is missing, in the directory above it that would come to hold it. Nothing
// is written to find out.
func (h *Host) Writable(dir string) error {
	f, at, err := h.openNearest(dir)
	if err != nil {
		return failed(err)
	}
	defer f.Close()
	fd, ok := descriptor(f)
	if !ok {
		return nil
	}
	if err := unix.Faccessat(fd, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return failed(fmt.Errorf("write in %s: %w", at, err))
	}
	return nil
}

// Space says whether dir, or the nearest existing directory above it, is on a
// file system with room for need bytes. Quotas are not seen.
func (h *Host) Space(dir string, need int64) error {
	f, at, err := h.openNearest(dir)
	if err != nil {
		return failed(err)
	}
	defer f.Close()
	fd, ok := descriptor(f)
	if !ok {
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil || st.Blocks == 0 {
		return nil
	}
	free := st.Bavail
	if h.opt.UID == 0 {
		free = st.Bfree
	}
	if uint64(need) > free*uint64(st.Bsize) || st.Files > 0 && st.Ffree == 0 {
		return failed(fmt.Errorf("%s needs room for %d bytes: %w", at, need, unix.ENOSPC))
	}
	return nil
}

// openNearest opens dir or the nearest directory above it that exists.
func (h *Host) openNearest(dir string) (afero.File, string, error) {
	for {
		f, err := h.open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
			return f, dir, err
		}
		dir = filepath.Dir(dir)
	}
}

// List returns the names in dir, sorted; a missing dir has none.
func (h *Host) List(dir string) ([]string, error) {
	names, err := h.list(dir)
	slices.Sort(names)
	return names, err
}

// list is List in no order.
func (h *Host) list(dir string) ([]string, error) {
	f, err := h.open(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		if why := h.CheckPath(filepath.Join(dir, "any")); why != nil {
			return nil, why
		}
		return nil, failed(err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, failed(fmt.Errorf("list %s: %w", dir, err))
	}
	return names, nil
}
