// Package device opens what is written to and never replaced by a new file:
// devices and pipes, such as /dev/null and /dev/stdout.
package device

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/afero"
)

// Open opens path for writing where it is a device or a pipe; for a regular file,
// a directory and a missing file it returns nil. A FIFO that no one reads is an
// error, not a wait.
func Open(f afero.Fs, path string) (afero.File, error) {
	about, err := f.Stat(path)
	if ofSystem(path) || err == nil && !about.Mode().IsRegular() && !about.IsDir() {
		return f.OpenFile(path, os.O_WRONLY|os.O_APPEND|syscall.O_NONBLOCK, 0)
	}
	return nil, nil
}

// ofSystem reports whether a name is the system's, whatever it leads to now:
// /dev/stdout is a link to a file where standard output is one.
func ofSystem(path string) bool {
	full, err := filepath.Abs(path)
	directory := filepath.Dir(full)
	return err == nil && (directory == "/dev" || directory == "/dev/fd" || strings.HasPrefix(directory, "/proc/"))
}
