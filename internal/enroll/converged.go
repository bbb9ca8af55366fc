package enroll

import (
	"context"

	"github.com/linux-patch/enroll/internal/contract"
)

// converged reports whether there is nothing at all to do, and then says so in the
// result. It is the path that runs most: a few reads, no lock, no request.
func (r *run) converged(ctx context.Context) (bool, error) {
	if r.Disk.Journal() != nil || len(r.Disk.Stale) > 0 || r.Disk.Cloned() {
		return false, nil
	}
	if r.State == string(contract.StateAbsent) {
		if r.LeftAnything() {
			return false, nil
		}
		return true, r.Remove(ctx)
	}
	switch next := r.decide(); next {
	case stepConverge:
	case stepForeign:
		return true, r.follow(ctx, next)
	default:
		return false, nil
	}
	if err := r.RefuseForeign(); err != nil {
		return false, err
	}
	repairs, admit, err := r.PlanRepairs()
	if err != nil || len(repairs) > 0 || admit != nil {
		return false, err
	}
	if r.PlanConfigURL(ctx) != nil {
		return false, nil
	}
	if err := r.Confirm(); err != nil {
		return true, err
	}
	return true, r.Conclude(ctx)
}
