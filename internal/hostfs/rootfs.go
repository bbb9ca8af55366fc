package hostfs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/afero"
	"golang.org/x/sys/unix"
)

// RootFs is an afero.Fs over one os.Root. Paths are absolute and start at the
// root's directory; a symbolic link that leads out of it is an error.
//
// os.Root follows links that stay inside, even where O_NOFOLLOW is asked for.
// RootFs takes O_NOFOLLOW at its word: the last element of the path is then
// opened by openat(2) beneath its directory, and a link there is ELOOP.
type RootFs struct {
	root *os.Root
	// top is a descriptor of the same directory, that of at.
	top int
	at  *os.File
}

var (
	_ afero.Fs      = (*RootFs)(nil)
	_ afero.Lstater = (*RootFs)(nil)

	_ afero.LinkReader = (*RootFs)(nil)
)

// OpenRoot opens dir, "/" in production, as the root of a RootFs.
func OpenRoot(dir string) (*RootFs, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, failed(err)
	}
	at, err := root.OpenFile(".", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, failed(errors.Join(err, root.Close()))
	}
	return &RootFs{root: root, top: int(at.Fd()), at: at}, nil
}

// Close closes the root; files that were opened through it stay open.
func (r *RootFs) Close() error { return errors.Join(r.at.Close(), r.root.Close()) }

// Name returns the name of this kind of file system.
func (r *RootFs) Name() string { return "RootFs" }

var errNotClean = errors.New(`not an absolute path without ".."`)

// within returns the name that os.Root knows path by. A ".." is refused, not
// resolved: by text and through links it can mean two places.
func within(path string) (string, error) {
	if !filepath.IsAbs(path) || strings.Contains(path+"/", "/../") {
		return "", errNotClean
	}
	name := strings.TrimPrefix(filepath.Clean(path), "/")
	if name == "" {
		name = "."
	}
	return name, nil
}

// run calls f with the name of path inside the root. Errors name the path as
// the caller knows it, where those of os.Root name "etc/x" and "openat".
func run(op, path string, f func(name string) error) error {
	name, err := within(path)
	if err == nil {
		err = f(name)
	}
	if err == nil {
		return nil
	}
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		err = pathErr.Err
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}

// Create creates or truncates a file.
func (r *RootFs) Create(path string) (afero.File, error) {
	return r.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
}

// Open opens a file or directory for reading.
func (r *RootFs) Open(path string) (afero.File, error) {
	return r.OpenFile(path, os.O_RDONLY, 0)
}

// OpenFile opens a file; with unix.O_NOFOLLOW among the flags a symbolic link
// is not opened.
func (r *RootFs) OpenFile(path string, flag int, perm os.FileMode) (afero.File, error) {
	var file *os.File
	err := run("open", path, func(name string) (err error) {
		if looks(flag) {
			if found, ok, err := r.beneath(name, path, flag, 0); ok {
				file = found
				return err
			}
		}
		if flag&unix.O_NOFOLLOW == 0 || name == "." {
			file, err = r.root.OpenFile(name, flag, perm)
			return err
		}
		file, err = r.openLast(path, name, flag, perm)
		return err
	})
	if err != nil {
		// Not "return file, err": a nil *os.File would be a non-nil interface.
		return nil, err
	}
	return file, nil
}

func (r *RootFs) openLast(path, name string, flag int, perm os.FileMode) (*os.File, error) {
	// O_PATH needs no permission to list the directory.
	dir, err := r.root.OpenFile(filepath.Dir(name), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return openAt(dir, filepath.Base(name), flag, perm, path)
}

// Mkdir creates a directory.
func (r *RootFs) Mkdir(path string, perm os.FileMode) error {
	return run("mkdir", path, func(name string) error { return r.root.Mkdir(name, perm) })
}

// MkdirAll creates a directory and those above it that are missing.
func (r *RootFs) MkdirAll(path string, perm os.FileMode) error {
	return run("mkdir", path, func(name string) error { return r.root.MkdirAll(name, perm) })
}

// Remove removes a file or an empty directory.
func (r *RootFs) Remove(path string) error {
	return run("remove", path, r.root.Remove)
}

// RemoveAll removes a path and all beneath it.
func (r *RootFs) RemoveAll(path string) error {
	return run("remove", path, r.root.RemoveAll)
}

// Rename renames a file, over an existing one if there is one.
func (r *RootFs) Rename(oldpath, newpath string) error {
	return run("rename", newpath, func(newname string) error {
		oldname, err := within(oldpath)
		if err != nil {
			return err
		}
		err = r.root.Rename(oldname, newname)
		if linkErr, ok := errors.AsType[*os.LinkError](err); ok {
			err = linkErr.Err
		}
		return err
	})
}

// Stat follows a symbolic link that stays inside the root.
func (r *RootFs) Stat(path string) (info os.FileInfo, err error) {
	err = run("stat", path, func(name string) (err error) {
		info, err = r.root.Stat(name)
		return err
	})
	return info, err
}

// LstatIfPossible follows no link in the last element of path.
func (r *RootFs) LstatIfPossible(path string) (info os.FileInfo, lstat bool, err error) {
	err = run("lstat", path, func(name string) (err error) {
		if found, ok, err := r.lstatBeneath(name); ok {
			info = found
			return err
		}
		info, err = r.root.Lstat(name)
		return err
	})
	return info, true, err
}

// ReadlinkIfPossible returns what a symbolic link names.
func (r *RootFs) ReadlinkIfPossible(path string) (target string, err error) {
	err = run("readlink", path, func(name string) (err error) {
		target, err = r.root.Readlink(name)
		return err
	})
	return target, err
}

// Chmod changes the mode of a file or directory, not through a link. It works
// on a descriptor where it can: fchmodat2(2), which os.Root uses, is refused
// with EPERM by the seccomp filters of older container engines.
func (r *RootFs) Chmod(path string, mode os.FileMode) error {
	return run("chmod", path, func(name string) error {
		f, err := r.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if errors.Is(err, os.ErrPermission) {
			return r.root.Chmod(name, mode)
		}
		if err != nil {
			return err
		}
		defer f.Close()
		return f.(*os.File).Chmod(mode)
	})
}

// Chown changes the owner of a file, of a link itself where it is one.
func (r *RootFs) Chown(path string, uid, gid int) error {
	return run("chown", path, func(name string) error { return r.root.Lchown(name, uid, gid) })
}

// Chtimes changes the times of a file.
func (r *RootFs) Chtimes(path string, atime, mtime time.Time) error {
	return run("chtimes", path, func(name string) error { return r.root.Chtimes(name, atime, mtime) })
}
