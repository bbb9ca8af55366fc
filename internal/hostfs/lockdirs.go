package hostfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/afero"
	"golang.org/x/sys/unix"
)

// LockDirs locks directories themselves, so that no lock file has to stand in
// them, and waits as Lock does. Missing directories are passed over, and so are
// those whose file system can't lock one, as NFS can't.
//
// Anyone who may read a directory can hold its lock for ever. So this keeps two
// runs of ours apart, and a caller goes on without it after a while, rather
// than let a stranger stop it for good.
func (h *Host) LockDirs(ctx context.Context, dirs []string) (*Lock, error) {
	dirs = slices.Clone(dirs)
	slices.Sort(dirs) // everybody in one order, or two would wait for each other
	all := &Lock{}
	var known []os.FileInfo
	for _, dir := range slices.Compact(dirs) {
		f, info, err := h.openDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			all.Unlock()
			return nil, failed(err)
		}
		all.files = append(all.files, f)
		// By a bind mount it may be one that is locked already, and then we
		// would wait for ourselves.
		if slices.ContainsFunc(known, func(other os.FileInfo) bool { return os.SameFile(info, other) }) {
			continue
		}
		known = append(known, info)
		if err := untilFree(ctx, func() error { return lockDir(f, dir) }); err != nil {
			all.Unlock()
			return nil, err
		}
	}
	return all, nil
}

func (h *Host) openDir(dir string) (afero.File, os.FileInfo, error) {
	f, err := h.open(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

func lockDir(f afero.File, dir string) error {
	err := flock(f, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w", dir, ErrBusy)
	}
	cannot := []error{unix.EBADF, unix.ENOLCK, unix.EOPNOTSUPP, unix.EINVAL, unix.ENOSYS}
	if err != nil && !slices.ContainsFunc(cannot, func(why error) bool { return errors.Is(err, why) }) {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	return nil
}
