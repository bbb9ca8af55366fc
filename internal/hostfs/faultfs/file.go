package faultfs

import (
	"os"

	"github.com/spf13/afero"
	"golang.org/x/sys/unix"
)

// countedFile is a file whose operations are counted.
type countedFile struct {
	fs    *Fs
	inner afero.File
	path  string
}

func (f *countedFile) Name() string { return f.inner.Name() }

// Fd returns the descriptor of the inner file, or ^0 where it has none.
func (f *countedFile) Fd() uintptr {
	if d, ok := f.inner.(interface{ Fd() uintptr }); ok {
		return d.Fd()
	}
	return ^uintptr(0)
}

func (f *countedFile) Flock(how int) error {
	return f.fs.do("flock", f.path, func() error { return unix.Flock(int(f.Fd()), how) })
}

// Allocate reserves space for the file.
func (f *countedFile) Allocate(size int64) error {
	return f.fs.do("allocate", f.path, func() error { return unix.Fallocate(int(f.Fd()), 0, 0, size) })
}

// Close closes the file, whatever it reports.
func (f *countedFile) Close() error {
	err := f.inner.Close()
	if failure := f.fs.do("close", f.path, func() error { return nil }); failure != nil {
		return failure
	}
	return err
}

func (f *countedFile) Sync() error {
	return f.fs.do("sync", f.path, func() error {
		if f.fs.NoSync {
			return nil
		}
		return f.inner.Sync()
	})
}

func (f *countedFile) Truncate(size int64) error {
	return f.fs.do("truncate", f.path, func() error { return f.inner.Truncate(size) })
}

func (f *countedFile) Stat() (os.FileInfo, error) {
	return ask(f.fs, "fstat", f.path, f.inner.Stat)
}

func (f *countedFile) Readdir(count int) ([]os.FileInfo, error) {
	return ask(f.fs, "readdir", f.path, func() ([]os.FileInfo, error) { return f.inner.Readdir(count) })
}

func (f *countedFile) Readdirnames(n int) ([]string, error) {
	return ask(f.fs, "readdir", f.path, func() ([]string, error) { return f.inner.Readdirnames(n) })
}

func (f *countedFile) Seek(offset int64, whence int) (int64, error) {
	return ask(f.fs, "seek", f.path, func() (int64, error) { return f.inner.Seek(offset, whence) })
}

func (f *countedFile) Read(p []byte) (int, error) {
	return f.transfer("read", p, f.inner.Read)
}

func (f *countedFile) ReadAt(p []byte, off int64) (int, error) {
	return f.transfer("read", p, func(p []byte) (int, error) { return f.inner.ReadAt(p, off) })
}

func (f *countedFile) Write(p []byte) (int, error) {
	return f.transfer("write", p, f.inner.Write)
}

func (f *countedFile) WriteAt(p []byte, off int64) (int, error) {
	return f.transfer("write", p, func(p []byte) (int, error) { return f.inner.WriteAt(p, off) })
}

func (f *countedFile) WriteString(s string) (int, error) { return f.Write([]byte(s)) }

// transfer moves bytes. io.EOF comes back as it is.
func (f *countedFile) transfer(name string, p []byte, move func([]byte) (int, error)) (n int, err error) {
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
