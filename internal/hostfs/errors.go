package hostfs

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/linux-patch/enroll/internal/contract"
	"golang.org/x/sys/unix"
)

// failed gives err the code that its reader needs, and for the usual causes a
// hint that names the cure.
func failed(err error) error {
	if err == nil || errors.As(err, new(*contract.Error)) {
		return err
	}
	e := contract.Errorf(contract.CodeFilesystem, "%w", err)
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		e.Hint = "free space on that file system, or raise the quota, and run again"
	case errors.Is(err, unix.EROFS):
		e.Hint = "mount that file system writable, or name a path on one that is"
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "run as root, or as the owner of that path"
	case errors.Is(err, unix.EIO):
		e.Hint = "look into the kernel's log for the disk that fails"
	}
	return e
}

// also adds what went wrong while cleaning up after err.
func also(err, cleanup error) error {
	if cleanup == nil {
		return err
	}
	return fmt.Errorf("%w; then, cleaning up: %w", err, cleanup)
}

// refuse says that a path is not as it must be, and what to do about it.
func refuse(fix, format string, args ...any) error {
	return contract.Errorf(contract.CodeFilesystem, format, args...).WithHint("%s", fix)
}
