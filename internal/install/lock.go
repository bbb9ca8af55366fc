package install

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/linux-patch/enroll/internal/hostfs"
)

// Alone keeps runs with other state directories, and so with other run locks,
// away from the certificates for as long as this one changes them. Where
// somebody does not let go of them it goes on after lock_timeout: everybody who
// may read the directories can lock them. dirs are locked too.
func (in *Installer) Alone(ctx context.Context, dirs ...string) (*hostfs.Lock, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(in.LockTimeout))
	defer cancel()
	for _, path := range []string{in.CACert, in.ServerCert, in.ServerKey, in.CRL} {
		dirs = append(dirs, filepath.Dir(path))
	}
	lock, err := in.Files.LockDirs(ctx, dirs)
	if errors.Is(err, hostfs.ErrBusy) && errors.Is(err, context.DeadlineExceeded) {
		in.Result.Warn(fmt.Sprintf("went on without the lock of a directory: %v; find out with lslocks who holds it", err))
		return nil, nil
	}
	return lock, err
}
