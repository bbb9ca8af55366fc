package hostfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/afero"
	"golang.org/x/sys/unix"
)

const (
	logMode    = 0o640
	logDirMode = 0o750
	// systemGroups are the groups below it: those of services, not of people.
	systemGroups = 1000
)

// OpenLog opens the log at path for appending, and makes it and its directories
// where they are missing.
//
// The rules are those of CheckPath, with one exception: a system group may
// write above the log's own directory, as group syslog does in /var/log. Such a
// group could put something else in that directory's place. So each part is
// opened beneath the one before, follows no link, and is judged by what was
// opened; and a log of more than one name is refused, since it is another file
// too.
func (h *Host) OpenLog(path string) (afero.File, error) {
	path, _, err := h.Resolve(path)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	check := func(d string, info os.FileInfo) error { return h.trustLogDir(d, info, d != dir) }
	if err := h.makeLogDirs(dir, check); err != nil {
		return nil, failed(err)
	}
	f, err := h.openParts(path, check)
	if err != nil {
		return nil, failed(err)
	}
	if err := h.checkLog(f, path); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// CheckLog says whether OpenLog would take a log at path, changing nothing.
func (h *Host) CheckLog(path string) error {
	path, _, err := h.Resolve(path)
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	for _, d := range lineage(dir) {
		info, err := h.lstat(d)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			err = h.trustLogDir(d, info, d != dir)
		}
		if err != nil {
			return failed(err)
		}
	}
	file, err := h.Stat(path)
	if err != nil || !file.Exists || h.ours(file.UID) {
		return err
	}
	return h.Foreign(file)
}

// trustLogDir is trust with OpenLog's exception.
func (h *Host) trustLogDir(dir string, info os.FileInfo, above bool) error {
	uid, gid := h.owner(info)
	mode := info.Mode()
	if above && mode.IsDir() && uid == 0 && gid < systemGroups && mode&0o002 == 0 && len(h.writers(dir, mode, true, gid)) == 0 {
		return nil
	}
	return h.trust(dir, info, above)
}

func (h *Host) makeLogDirs(dir string, check func(string, os.FileInfo) error) error {
	for _, d := range lineage(dir) {
		info, err := h.lstat(d)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			perm := os.FileMode(0o755)
			if d == dir {
				perm = logDirMode
			}
			err = h.makeDir(d, perm)
		case err == nil:
			err = check(d, info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// openParts opens the log without following a link anywhere, where the file
// system can do that.
func (h *Host) openParts(path string, check func(string, os.FileInfo) error) (afero.File, error) {
	const flag = os.O_CREATE | os.O_WRONLY | os.O_APPEND | unix.O_NONBLOCK
	if r, ok := h.fs.(interface {
		OpenParts(path string, flag int, perm os.FileMode, check func(string, os.FileInfo) error) (afero.File, error)
	}); ok {
		return r.OpenParts(path, flag, logMode, check)
	}
	return h.open(path, flag, logMode)
}

// checkLog refuses what is not this log alone, and closes one that others may
// write.
func (h *Host) checkLog(f afero.File, path string) error {
	file, info, err := h.examine(f, path)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink != 1 {
		return refuse("move it away", "%s is a file of %d names: what is appended to it would stand in another file too", path, st.Nlink)
	}
	if !h.ours(file.UID) {
		return h.Foreign(file)
	}
	fd, ok := descriptor(f)
	if !ok || file.Mode&0o022 == 0 || file.UID != h.opt.UID {
		return nil
	}
	if err := unix.Fchmod(fd, uint32(file.Mode&^0o022)); err != nil {
		return failed(fmt.Errorf("close %s to others: %w", path, err))
	}
	return nil
}

// OpenParts opens a file beneath directories that are opened one in the other,
// none of them through a link; check judges each.
func (r *RootFs) OpenParts(path string, flag int, perm os.FileMode, check func(dir string, info os.FileInfo) error) (file afero.File, err error) {
	err = run("open", path, func(name string) error {
		dir, err := r.root.OpenFile(".", unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer func() { dir.Close() }()
		at, parts := "/", split(name)
		for _, part := range parts[:len(parts)-1] {
			at = filepath.Join(at, part)
			next, err := openAt(dir, part, unix.O_PATH|unix.O_DIRECTORY, 0, at)
			if err != nil {
				return err
			}
			dir.Close()
			dir = next
			info, err := dir.Stat()
			if err == nil {
				err = check(at, info)
			}
			if err != nil {
				return err
			}
		}
		f, err := openAt(dir, parts[len(parts)-1], flag, perm, path)
		if err == nil {
			file = f
		}
		return err
	})
	return file, err
}

// openAt opens a name in dir, not through a link.
func openAt(dir *os.File, name string, flag int, perm os.FileMode, path string) (*os.File, error) {
	for {
		fd, err := unix.Openat(int(dir.Fd()), name, flag|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(perm.Perm()))
		if err == nil {
			return os.NewFile(uintptr(fd), path), nil
		}
		if err != unix.EINTR {
			return nil, err
		}
	}
}
