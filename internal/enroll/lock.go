package enroll

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/plan"
)

// lock takes the run lock: nil where there is no lock file and none is to be
// created. A host that is converged without this program's help so
// stays as it is. Check mode takes it shared, and never makes it.
func (r *run) lock(ctx context.Context, create bool) (lock *hostfs.Lock, err error) {
	err = r.Perform(plan.Step{
		Do:  func() (err error) { lock, err = r.takeLock(ctx, create); return err },
		Say: func() (err error) { lock, err = r.shareLock(ctx); return err },
	})
	return lock, err
}

func (r *run) takeLock(ctx context.Context, create bool) (*hostfs.Lock, error) {
	if create {
		if err := r.Files.EnsureDir(r.StatePaths().Dir, 0o700); err != nil {
			return nil, err
		}
	}
	// Nearly always no one holds it, and nothing has to be made ready for a wait.
	lock, err := r.Files.Lock(atOnce(), r.StatePaths().Lock, false, create)
	if errors.Is(err, hostfs.ErrBusy) {
		wait, cancel := r.lockContext(ctx)
		defer cancel()
		lock, err = r.Files.Lock(wait, r.StatePaths().Lock, false, create)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return lock, err
}

// atOnce is for a lock that is tried for once.
func atOnce() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// shareLock keeps other runs from changing what is looked at, if it can.
func (r *run) shareLock(ctx context.Context) (*hostfs.Lock, error) {
	wait := time.Duration(0)
	if r.State == string(contract.StateAbsent) {
		wait = time.Duration(r.LockTimeout)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	lock, err := r.Files.Lock(ctx, r.StatePaths().Lock, true, false)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, hostfs.ErrBusy):
		r.Result.Warn("another run on this host is under way: what is shown may be outdated when it ends")
		return nil, nil
	}
	return lock, err
}

// lockContext ends when this run has waited long enough for another one: not
// at all where it must not wait, lock_timeout where it removes an enrollment,
// and as long as it would wait for the manager otherwise.
func (r *run) lockContext(ctx context.Context) (context.Context, context.CancelFunc) {
	switch {
	case r.State == string(contract.StateAbsent):
		return context.WithTimeout(ctx, time.Duration(r.LockTimeout))
	case !r.Wait || r.State == string(contract.StateRegistered):
		return context.WithTimeout(ctx, 0)
	case !r.Deadline.IsZero():
		return context.WithTimeout(ctx, r.Deadline.Sub(r.Now()))
	default:
		return context.WithCancel(ctx)
	}
}

// busy makes a result of a lock that another run holds.
func (r *run) busy(err error) error {
	if !errors.Is(err, hostfs.ErrBusy) {
		return err
	}
	if r.State == string(contract.StateAbsent) || r.Wait && r.State == string(contract.StateEnrolled) {
		return contract.Errorf(contract.CodeLocked, "another run on this host still holds %s", r.StatePaths().Lock)
	}
	r.Result.State = contract.StatePending
	r.Result.Msg = "another run on this host is enrolling it; run again to see how that went"
	return nil
}
