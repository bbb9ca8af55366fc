package hostfs

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/afero"
	"golang.org/x/sys/unix"
)

// kernelFS are file systems whose files are the kernel talking: reading one can
// wait for ever or change something, and nothing can be put in its place.
func kernelFS(magic int64) string {
	switch magic {
	case unix.PROC_SUPER_MAGIC:
		return "proc"
	case unix.SYSFS_MAGIC:
		return "sysfs"
	case unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC:
		return "cgroup"
	case unix.DEBUGFS_MAGIC:
		return "debugfs"
	case unix.TRACEFS_MAGIC:
		return "tracefs"
	case unix.SECURITYFS_MAGIC:
		return "securityfs"
	case unix.DEVPTS_SUPER_MAGIC:
		return "devpts"
	}
	return ""
}

// onDisk refuses an open file or directory that is the kernel's.
func onDisk(f afero.File, path string) error {
	fd, ok := descriptor(f)
	if !ok {
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return nil //nolint:nilerr // a file system that does not say what it is is none of the kernel's
	}
	if name := kernelFS(st.Type); name != "" {
		return refuse("name a file on a disk", "%s is on %s, where the kernel's own files are", path, name)
	}
	return nil
}

// examine describes an open file that is regular and on a disk.
func (h *Host) examine(f afero.File, path string) (File, os.FileInfo, error) {
	info, err := f.Stat()
	if err != nil {
		return File{}, nil, failed(err)
	}
	file, err := h.describe(path, info)
	if err == nil {
		err = onDisk(f, path)
	}
	return file, info, err
}

// ReadGiven reads a file that someone names for this program to read once,
// links followed. It never waits: what is no regular file is refused unopened.
func ReadGiven(fs afero.Fs, path string, limit int64) ([]byte, os.FileMode, error) {
	info, err := fs.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is %s, not a regular file", path, kind(info.Mode()))
	}
	f, err := fs.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is %s, not a regular file", path, kind(info.Mode()))
	}
	if err := onDisk(f, path); err != nil {
		return nil, 0, err
	}
	content, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = errors.New("it is larger than a file of its kind can be")
	}
	return content, info.Mode().Perm(), err
}
