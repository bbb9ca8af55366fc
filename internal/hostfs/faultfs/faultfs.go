// Package faultfs is an afero.Fs for tests that counts every operation on a
// file system and its files, and makes chosen ones fail.
//
// An operation that fails has no effect, but for a write, which writes the
// first half of what it was given, as a full disk or a kill does. Closing
// takes effect always, as it does for a process that dies. Counting covers
// locks and preallocation; questions asked of a bare descriptor (statx(2),
// statfs(2)) are not seen.
package faultfs

import (
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/afero"
)

// Op is one operation: the name of the call, such as "rename" or "sync", and
// the path that it changes or asks about.
type Op struct {
	Name, Path string
}

// Fs makes operations on Inner fail. Its fields are set before it is used.
type Fs struct {
	Inner afero.Fs
	// At is the number, from 1, of the operation that fails; 0 fails none.
	At int
	// Err is what it reports.
	Err error
	// Forever makes all operations after it fail too: the process is dead, or
	// the disk is gone.
	Forever bool
	// Late lets the operation take effect before it fails.
	Late bool
	// NoSync counts syncs and does not do them: what a kill leaves is the same,
	// and tests of hundreds of kills end sooner.
	NoSync bool
	// Match, where set, says which operations count.
	Match func(Op) bool
	// Before, where set, is called before each operation that counts.
	Before func(Op)

	mu    sync.Mutex
	count int
	ops   []Op
}

var (
	_ afero.Fs      = (*Fs)(nil)
	_ afero.Lstater = (*Fs)(nil)
)

// Ops returns the operations that counted so far.
func (f *Fs) Ops() []Op {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.ops)
}

// Failed tells whether the operation that was to fail has been reached.
func (f *Fs) Failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.At > 0 && f.count >= f.At
}

// verdict is what becomes of one operation.
type verdict int

const (
	pass verdict = iota
	fail
	// late: it takes effect and fails.
	late
	// dead: it comes after the one that failed forever.
	dead
)

func (f *Fs) next(op Op) verdict {
	if f.Match != nil && !f.Match(op) {
		return pass
	}
	if f.Before != nil {
		f.Before(op)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	f.ops = append(f.ops, op)
	switch {
	case f.At == 0 || f.count < f.At || f.count > f.At && !f.Forever:
		return pass
	case f.count > f.At:
		return dead
	case f.Late:
		return late
	}
	return fail
}

func (f *Fs) failure(name, path string) error {
	return &os.PathError{Op: name, Path: path, Err: f.Err}
}

// do runs one operation, or fails it.
func (f *Fs) do(name, path string, run func() error) error {
	v := f.next(Op{name, path})
	if v == fail || v == dead {
		return f.failure(name, path)
	}
	if err := run(); err != nil {
		return err
	}
	if v == late {
		return f.failure(name, path)
	}
	return nil
}

// ask is do for an operation that returns a value.
func ask[T any](f *Fs, name, path string, run func() (T, error)) (value T, err error) {
	err = f.do(name, path, func() (err error) {
		value, err = run()
		return err
	})
	return value, err
}

// Name returns the name of this kind of file system.
func (f *Fs) Name() string { return "faultfs" }

// Create creates or truncates a file.
func (f *Fs) Create(name string) (afero.File, error) {
	return f.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
}

// Open opens a file for reading.
func (f *Fs) Open(name string) (afero.File, error) { return f.OpenFile(name, os.O_RDONLY, 0) }

// OpenFile opens a file whose operations are counted too.
func (f *Fs) OpenFile(name string, flag int, perm os.FileMode) (afero.File, error) {
	opened, err := ask(f, "open", name, func() (afero.File, error) { return f.Inner.OpenFile(name, flag, perm) })
	if err != nil {
		if opened != nil {
			opened.Close()
		}
		return nil, err
	}
	return &countedFile{fs: f, inner: opened, path: name}, nil
}

// Mkdir creates a directory.
func (f *Fs) Mkdir(name string, perm os.FileMode) error {
	return f.do("mkdir", name, func() error { return f.Inner.Mkdir(name, perm) })
}

// MkdirAll creates a directory and those above it.
func (f *Fs) MkdirAll(name string, perm os.FileMode) error {
	return f.do("mkdirall", name, func() error { return f.Inner.MkdirAll(name, perm) })
}

// Remove removes a file.
func (f *Fs) Remove(name string) error {
	return f.do("remove", name, func() error { return f.Inner.Remove(name) })
}

// RemoveAll removes a tree.
func (f *Fs) RemoveAll(name string) error {
	return f.do("removeall", name, func() error { return f.Inner.RemoveAll(name) })
}

// Rename renames a file; the Op has the new name.
func (f *Fs) Rename(oldname, newname string) error {
	return f.do("rename", newname, func() error { return f.Inner.Rename(oldname, newname) })
}

// Stat describes a file.
func (f *Fs) Stat(name string) (os.FileInfo, error) {
	return ask(f, "stat", name, func() (os.FileInfo, error) { return f.Inner.Stat(name) })
}

// LstatIfPossible describes a file, not following a link where Inner can do that.
func (f *Fs) LstatIfPossible(name string) (info os.FileInfo, lstat bool, err error) {
	err = f.do("lstat", name, func() (err error) {
		if l, ok := f.Inner.(afero.Lstater); ok {
			info, lstat, err = l.LstatIfPossible(name)
			return err
		}
		info, err = f.Inner.Stat(name)
		return err
	})
	return info, lstat, err
}

// ReadlinkIfPossible reads a link where Inner can do that.
func (f *Fs) ReadlinkIfPossible(name string) (string, error) {
	return ask(f, "readlink", name, func() (string, error) {
		if l, ok := f.Inner.(afero.LinkReader); ok {
			return l.ReadlinkIfPossible(name)
		}
		return "", afero.ErrNoReadlink
	})
}

// Chmod changes a mode.
func (f *Fs) Chmod(name string, mode os.FileMode) error {
	return f.do("chmod", name, func() error { return f.Inner.Chmod(name, mode) })
}

// Chown changes an owner.
func (f *Fs) Chown(name string, uid, gid int) error {
	return f.do("chown", name, func() error { return f.Inner.Chown(name, uid, gid) })
}

// Chtimes changes times.
func (f *Fs) Chtimes(name string, atime, mtime time.Time) error {
	return f.do("chtimes", name, func() error { return f.Inner.Chtimes(name, atime, mtime) })
}
