package faultfs

import (
	"os"

	"github.com/spf13/afero"
	"golang.org/x/sys/unix"
)

// File is a file whose operations are counted.
type File struct {
	fs    *Fs
	inner afero.File
	path  string
}

var _ afero.File = (*File)(nil)

// Name returns the file's name.
func (f *File) Name() string { return f.inner.Name() }

// Fd returns the descriptor of the inner file, or ^0 where it has none.
func (f *File) Fd() uintptr {
	if d, ok := f.inner.(interface{ Fd() uintptr }); ok {
		return d.Fd()
	}
	return ^uintptr(0)
}

// Flock locks the file.
func (f *File) Flock(how int) error {
	return f.fs.do("flock", f.path, func() error { return unix.Flock(int(f.Fd()), how) })
}

// Allocate reserves space for the file.
func (f *File) Allocate(size int64) error {
	return f.fs.do("allocate", f.path, func() error { return unix.Fallocate(int(f.Fd()), 0, 0, size) })
}

// Close closes the file, whatever it reports.
func (f *File) Close() error {
	err := f.inner.Close()
	if failure := f.fs.do("close", f.path, func() error { return nil }); failure != nil {
		return failure
	}
	return err
}

// Sync makes the file durable.
func (f *File) Sync() error {
	return f.fs.do("sync", f.path, func() error {
		if f.fs.NoSync {
			return nil
		}
		return f.inner.Sync()
	})
}

// Truncate changes the file's size.
func (f *File) Truncate(size int64) error {
	return f.fs.do("truncate", f.path, func() error { return f.inner.Truncate(size) })
}

// Stat describes the file.
func (f *File) Stat() (info os.FileInfo, err error) {
	err = f.fs.do("fstat", f.path, func() (err error) {
		info, err = f.inner.Stat()
		return err
	})
	return info, err
}

// Readdir lists a directory.
func (f *File) Readdir(count int) (infos []os.FileInfo, err error) {
	err = f.fs.do("readdir", f.path, func() (err error) {
		infos, err = f.inner.Readdir(count)
		return err
	})
	return infos, err
}

// Readdirnames lists the names in a directory.
func (f *File) Readdirnames(n int) (names []string, err error) {
	err = f.fs.do("readdir", f.path, func() (err error) {
		names, err = f.inner.Readdirnames(n)
		return err
	})
	return names, err
}

// Seek moves the file's position.
func (f *File) Seek(offset int64, whence int) (at int64, err error) {
	err = f.fs.do("seek", f.path, func() (err error) {
		at, err = f.inner.Seek(offset, whence)
		return err
	})
	return at, err
}

// Read reads from the file.
func (f *File) Read(p []byte) (int, error) {
	return f.transfer("read", p, f.inner.Read)
}

// ReadAt reads from a place in the file.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	return f.transfer("read", p, func(p []byte) (int, error) { return f.inner.ReadAt(p, off) })
}

// Write writes to the file.
func (f *File) Write(p []byte) (int, error) {
	return f.transfer("write", p, f.inner.Write)
}

// WriteAt writes to a place in the file.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	return f.transfer("write", p, func(p []byte) (int, error) { return f.inner.WriteAt(p, off) })
}

// WriteString writes to the file.
func (f *File) WriteString(s string) (int, error) { return f.Write([]byte(s)) }

// transfer moves bytes. io.EOF comes back as it is.
func (f *File) transfer(name string, p []byte, move func([]byte) (int, error)) (n int, err error) {
	v := f.fs.next(Op{name, f.path})
	switch {
	case v == pass:
		return move(p)
	case v == late:
		n, _ = move(p)
	case v == fail && name == "write":
		n, _ = move(p[:len(p)/2])
	}
	return n, f.fs.failure(name, f.path)
}
