package enroll

import (
	"context"
	"errors"

	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/report"
)

// finishKilledRun ends what a killed run began. In check mode it shows what the
// end would be.
func (r *run) finishKilledRun(ctx context.Context) error {
	r.Result.Warn(r.Disk.CloneWarning()...)
	if err := r.Disk.SetClonesAside(); err != nil {
		return err
	}
	return r.Perform(plan.Step{
		Do:  func() error { return r.finish(ctx) },
		Say: r.ForeseeJournal,
	})
}

func (r *run) finish(ctx context.Context) error {
	if r.Disk.Journal() == nil && len(r.Disk.Stale) == 0 && (r.Disk.Unusable == nil || !r.Disk.Begun()) {
		return nil
	}
	// A run with another state directory may be between its first file and its
	// last: what looks like a mixture and its remains is at work.
	lock, err := r.Alone(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if r.Disk.Journal() != nil {
		r.ActUnfinished()
		if err := r.Disk.Finish(); err != nil {
			return err
		}
	}
	if _, err := r.Files.SweepTemps(r.Directories(), nil); err != nil {
		return err
	}
	return r.Observe()
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
	lock, err := r.lock(ctx, false)
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
