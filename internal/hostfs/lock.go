package hostfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/spf13/afero"
	"golang.org/x/sys/unix"
)

// ErrBusy says that someone else holds a lock.
var ErrBusy = errors.New("locked by another process")

// Lock is a held flock(2), or several. The kernel drops it when the process
// dies.
type Lock struct {
	files []afero.File
}

// Lock takes the lock file at path, waiting until ctx is done; with a ctx that
// is done already it tries once. Then, and only then, the error is ErrBusy,
// with ctx's own cause in it.
//
// With create a missing lock file is made, of mode 0600: anyone who can open a
// lock file can hold it for ever, and only root, or the owner of the
// directory, can replace what it guards. Without create a missing one is
// fs.ErrNotExist. Lock files are never removed: who waits on a removed one
// would share its lock with no one.
func (h *Host) Lock(ctx context.Context, path string, shared, create bool) (*Lock, error) {
	if err := h.CheckPath(path); err != nil {
		return nil, err
	}
	how := unix.LOCK_EX
	flag := os.O_RDWR // NFS gives an exclusive lock to a writer only
	if shared {
		how = unix.LOCK_SH
		flag = os.O_RDONLY
	}
	if create {
		flag |= os.O_CREATE
	}
	var l *Lock
	err := untilFree(ctx, func() (err error) {
		l, err = h.tryLock(path, flag, how)
		return err
	})
	return l, err
}

// untilFree tries until no one else holds the lock, or ctx is done.
func untilFree(ctx context.Context, try func() error) error {
	for delay := 5 * time.Millisecond; ; delay = min(2*delay, 100*time.Millisecond) {
		err := try()
		if err == nil || !errors.Is(err, ErrBusy) {
			return failed(err)
		}
		select {
		case <-ctx.Done():
			return &contract.Error{Code: contract.CodeLocked, Err: fmt.Errorf("%w (%w)", err, context.Cause(ctx))}
		case <-time.After(delay):
		}
	}
}

// tryLock opens the file anew each time: it may have been replaced meanwhile.
func (h *Host) tryLock(path string, flag, how int) (*Lock, error) {
	f, err := h.open(path, flag|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if err := h.lockFile(f, path, how); err != nil {
		f.Close()
		return nil, err
	}
	return &Lock{files: []afero.File{f}}, nil
}

func (h *Host) lockFile(f afero.File, path string, how int) error {
	file, info, err := h.examine(f, path)
	if err != nil {
		return err
	}
	if err := h.closeLock(file, how); err != nil {
		return err
	}
	if err := flock(f, how|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w", path, ErrBusy)
	} else if err != nil {
		return fmt.Errorf("the file system can't lock %s: %w", path, err)
	}
	// A lock on a file that is no longer at path excludes no one.
	named, err := h.lstat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(info, named) {
		return fmt.Errorf("%s: %w", path, ErrBusy)
	}
	return nil
}

// closeLock refuses a lock file of someone else, and closes one of ours that
// others can open: a lock can be held for ever by anyone who can. A shared lock
// is check mode's, which changes nothing.
func (h *Host) closeLock(file File, how int) error {
	if !h.ours(file.UID) {
		return h.Foreign(file)
	}
	if how == unix.LOCK_SH || file.Mode&^0o600 == 0 || file.UID != h.opt.UID {
		return nil
	}
	return h.fs.Chmod(file.Path, 0o600)
}

// flock locks through the descriptor, or asks a file that does it by itself.
func flock(f afero.File, how int) error {
	if l, ok := f.(interface{ Flock(how int) error }); ok {
		return l.Flock(how)
	}
	fd, ok := descriptor(f)
	if !ok {
		return unix.ENOLCK
	}
	for {
		if err := unix.Flock(fd, how); err != unix.EINTR {
			return err
		}
	}
}

// Unlock gives the lock back. On a nil Lock it does nothing.
func (l *Lock) Unlock() {
	if l == nil {
		return
	}
	for _, f := range l.files {
		_ = f.Close()
	}
}
