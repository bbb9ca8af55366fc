package hostfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// shared are directories that many programs use: no one's to take.
const shared = " /var/log /var/lib /var/run /var/tmp /var/cache /usr/lib /usr/share /usr/local /usr/etc /etc/ssl /etc/pki "

// Takeable returns the directory as a File where root can make it its own, with
// Exists false where it is missing. What is above it must be root's already.
func (h *Host) Takeable(dir string) (File, error) {
	if _, err := h.checkDir(dir, filepath.Dir(dir)); err != nil {
		return File{}, err
	}
	info, err := h.lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return File{Path: dir}, nil
	}
	if err != nil {
		return File{}, failed(err)
	}
	uid, gid := h.owner(info)
	d := File{Path: dir, Exists: true, Mode: info.Mode().Perm(), UID: uid, GID: gid}
	switch {
	case !info.IsDir():
		return d, refuse("name the real directory in the path", "%s is %s, not a directory", dir, kind(info.Mode()))
	case h.trust(dir, info, false) == nil:
		return d, nil
	case info.Mode()&os.ModeSticky != 0, strings.Count(dir, "/") < 2, strings.Contains(shared, " "+dir+" "):
		return d, refuse("use a directory of its own for these files", "%s is a directory that others use too, and is not taken", dir)
	}
	return d, nil
}

// TakeDir makes a directory this user's, and closes it to others. It goes by
// what was opened, so that nothing else can be put in its place meanwhile.
func (h *Host) TakeDir(dir string) error {
	f, err := h.open(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return failed(err)
	}
	defer f.Close()
	fd, ok := descriptor(f)
	if !ok {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return failed(err)
	}
	if err := unix.Fchown(fd, h.opt.UID, Keep); err != nil {
		return failed(fmt.Errorf("take %s: %w", dir, err))
	}
	if err := unix.Fchmod(fd, uint32(info.Mode().Perm()&^0o022)); err != nil {
		return failed(fmt.Errorf("close %s: %w", dir, err))
	}
	return failed(f.Sync())
}

// FilesIn reads the files of a directory that is about to be taken. Anything
// that is no regular file of one name is refused: what has another name is not
// this directory's alone.
func (h *Host) FilesIn(dir string) ([]File, error) {
	names, err := h.List(dir)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, name := range slices.DeleteFunc(names, isTempName) {
		path := filepath.Join(dir, name)
		info, err := h.lstat(path)
		if err != nil {
			return nil, failed(err)
		}
		if info.IsDir() {
			continue
		}
		file, err := h.ReadAlone(path)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// ReadAlone is Read for a file that must have no other name.
func (h *Host) ReadAlone(path string) (File, error) {
	info, err := h.lstat(path)
	if err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode().IsRegular() && st.Nlink != 1 {
			return File{}, refuse("find out what it is (find -samefile), and remove it or put a copy in its place", "%s is a file of %d names (hard links) and is not taken", path, st.Nlink)
		}
	}
	return h.Read(path)
}
