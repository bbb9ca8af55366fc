package enroll

import (
	"context"
	"errors"
	"time"

	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/report"
)

// TakenOut tells since when this host's enrollment is taken back with nobody
// having begun another one; nil where it is not. A daemon does not enroll such
// a host by itself.
func (e *Enroller) TakenOut(p options.Params) (*time.Time, error) {
	s, err := e.Host().Settle(p)
	if err != nil {
		return nil, err
	}
	store, err := e.run(s, nil).Load()
	if err != nil || store.Requested() {
		return nil, err
	}
	return store.Provenance().Removed, nil
}

// Recover finishes what a killed run began, as the next run would do first,
// and says what it did. Where another run holds the lock there is nothing to
// do: that run has done it.
func (e *Enroller) Recover(ctx context.Context, p options.Params) (actions []string, err error) {
	s, err := e.Host().Settle(p)
	if err != nil {
		return nil, err
	}
	s.Wait = false
	r := e.run(s, report.New())
	lock, err := r.lock(ctx, lockExisting)
	if errors.Is(err, hostfs.ErrBusy) || err == nil && lock == nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer lock.Unlock()
	if err = r.Observe(); err != nil {
		return nil, err
	}
	err = r.finishKilledRun(ctx)
	return r.Result.Actions, err
}
