package hostfs

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// beneath does in one system call what os.Root does in one for each part of a
// path: openat2(2) resolves a name below a directory by the same rules. It makes
// and cuts nothing.
//
// ok is false where that cannot be had (Linux before 5.6, some containers), and
// for every answer but success and "is not there": os.Root finds out then.
func (r *RootFs) beneath(name, path string, flag int, more uint64) (file *os.File, ok bool, err error) {
	how := unix.OpenHow{
		Flags:   uint64(flag | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | more,
	}
	fd, err := unix.Openat2(r.top, name, &how)
	switch err {
	case nil:
		return os.NewFile(uintptr(fd), path), true, nil
	case unix.ENOENT:
		return nil, true, err
	}
	return nil, false, nil
}

// looks says that a file is opened for what is in it already.
func looks(flag int) bool { return flag&(os.O_CREATE|os.O_TRUNC) == 0 }

// lstatBeneath is Lstat by way of beneath.
func (r *RootFs) lstatBeneath(name string) (info os.FileInfo, ok bool, err error) {
	// The name of what Stat returns is the file's.
	f, ok, err := r.beneath(name, filepath.Base(name), unix.O_PATH|unix.O_NOFOLLOW, 0)
	if !ok || err != nil {
		return nil, ok, err
	}
	defer f.Close()
	info, err = f.Stat()
	return info, err == nil, err
}

// Straight reports whether no part of the path to an existing directory is a
// symbolic link. False may also mean that this cannot be told in one call.
func (r *RootFs) Straight(path string) bool {
	name, err := within(path)
	if err != nil {
		return false
	}
	f, ok, err := r.beneath(name, path, unix.O_PATH|unix.O_DIRECTORY, unix.RESOLVE_NO_SYMLINKS)
	if !ok || err != nil {
		return false
	}
	return f.Close() == nil
}
