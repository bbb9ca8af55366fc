// Package hosttest is a host in a directory of the real file system, for tests.
package hosttest

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/linux-patch/enroll/internal/hostfs"
)

// Dir is the directory that is the host's root.
type Dir struct {
	T    testing.TB
	Root *hostfs.RootFs
	dir  string
}

// New makes the root of a host that has no file.
func New(t testing.TB) *Dir {
	t.Helper()
	dir := t.TempDir()
	Must(t, os.Chmod(dir, 0o755))
	root, err := hostfs.OpenRoot(dir)
	Must(t, err)
	t.Cleanup(func() { _ = root.Close() })
	return &Dir{T: t, Root: root, dir: dir}
}

// Path is where a file of the host is.
func (d *Dir) Path(name string) string { return filepath.Join(d.dir, name) }

// Write makes a file of the host, and the directories above it.
func (d *Dir) Write(name, content string, mode fs.FileMode) {
	d.T.Helper()
	Must(d.T, os.MkdirAll(filepath.Dir(d.Path(name)), 0o755))
	Must(d.T, os.WriteFile(d.Path(name), []byte(content), mode))
	Must(d.T, os.Chmod(d.Path(name), mode))
}

// Must ends a test that cannot go on.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("got %v, want no error", err)
	}
}
