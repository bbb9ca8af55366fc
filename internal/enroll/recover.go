package enroll

import (
	"context"

	"github.com/linux-patch/enroll/internal/plan"
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
