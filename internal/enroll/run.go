package enroll

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/ownership"
	"github.com/linux-patch/enroll/internal/pace"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/report"
)

// Run brings the host to p.State as far as it can, and says what it did.
func (e *Enroller) Run(ctx context.Context, p options.Params) *report.Result {
	res := report.New()
	if p.TakeOwnership {
		files, err := ownership.Taker{Files: e.Files, Accounts: e.Accounts, Audit: e.Audit}.Take(ctx, p, res)
		if err != nil {
			res.Fail(err)
			return res
		}
		owning := *e
		owning.Files, e = files, &owning
	}
	s, err := e.Host().Settle(p)
	if err != nil {
		res.Fail(err)
		return res
	}
	r := e.run(s, res)
	res.Warn(s.Warnings...)
	if p.WaitTimeout > 0 {
		r.Deadline = e.Now().Add(time.Duration(p.WaitTimeout))
	}
	if err := r.goOn(ctx); err != nil {
		err = r.explain(ctx, err)
		if failed, ok := errors.AsType[*managerclient.RequestError](err); ok {
			res.RetryAfter = askedToWait(failed)
		}
		res.Fail(err)
		r.Record(contract.EventFailed, map[string]string{"code": string(contract.CodeOf(err)), "reason": err.Error()})
	}
	r.Describe()
	return res
}

// askedToWait is how long a manager that refused for now asks to wait.
func askedToWait(failed *managerclient.RequestError) time.Duration {
	if failed.RetryAfter == 0 && failed.Err.Code == contract.CodeRateLimited {
		return pace.RateLimit
	}
	return failed.RetryAfter
}

func (r *run) goOn(ctx context.Context) error {
	if r.State != string(contract.StateAbsent) && !r.byHand() {
		if err := r.NeedURL(); err != nil {
			return err
		}
	}
	lock, err := r.lock(ctx, false)
	if err != nil {
		return r.busy(err)
	}
	// The lock is replaced below; the last one held is the one to give back.
	defer func() { lock.Unlock() }()
	if err = r.Observe(); err != nil {
		return err
	}
	if lock == nil {
		done := false
		err := r.Perform(plan.Step{Do: func() (err error) {
			lock, done, err = r.begin(ctx)
			return err
		}})
		if err != nil || done {
			return err
		}
	}
	if err := r.finishKilledRun(ctx); err != nil {
		return err
	}
	if r.State == string(contract.StateAbsent) {
		return r.Remove(ctx)
	}
	if err := r.RefuseForeign(); err != nil {
		return err
	}
	return r.follow(ctx, r.decide())
}

// begin makes the lock of a first run, unless there is nothing to do.
func (r *run) begin(ctx context.Context) (lock *hostfs.Lock, done bool, err error) {
	if done, err := r.converged(ctx); err != nil || done {
		return nil, done, err
	}
	if lock, err = r.lock(ctx, true); err != nil {
		// Another run came first: this one ends here, with or without an error.
		return nil, true, r.busy(err)
	}
	return lock, false, r.Observe()
}

// explain makes an interrupted run's error say so.
func (r *run) explain(ctx context.Context, err error) error {
	if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	reason := "a signal"
	// A signal's cause is the signal's name, and is context.Canceled too.
	if cause := context.Cause(ctx); cause != context.Canceled { //nolint:errorlint // see above
		reason = strings.TrimSuffix(cause.Error(), " signal received")
	}
	return contract.Errorf(contract.CodeInterrupted, "stopped by %s; %s", reason, r.left())
}

// left says what a run that ends early leaves for the next one.
func (r *run) left() string {
	switch {
	case r.Disk != nil && r.Disk.Spool() != nil:
		return "the bundle is kept, the next run puts it in place"
	case r.Doubted:
		return "the token of the earlier request is kept, the next run asks with it once more"
	case r.Disk != nil && r.LiveToken() != nil:
		return "the request and its token are kept, the next run goes on with them"
	case r.Disk != nil && r.Disk.RequestAt() != nil:
		return fmt.Sprintf("a request of %s was sent and its answer lost: the manager may hold it, and the next run says so if it does",
			r.Disk.RequestAt().UTC().Format(time.RFC3339))
	default:
		return "this run has made no request"
	}
}
