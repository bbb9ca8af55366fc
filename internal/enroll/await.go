package enroll

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/pace"
	"github.com/linux-patch/enroll/internal/statedir"
)

// forgetWarning is when a pending request is about to be forgotten: deployed
// managers drop it after 24 h.
const forgetWarning = 20 * time.Hour

// resume goes on with a request that was made by an earlier run.
func (r *run) resume(ctx context.Context) error {
	token := r.liveToken()
	if r.State == string(contract.StateRegistered) && token != nil && r.Check {
		if r.o.NewToken() != nil {
			r.foreseeMirror()
		}
		return r.registered(token)
	}
	client, err := r.prepare(ctx)
	if err != nil {
		return err
	}
	r.identify(ctx)
	if r.Check {
		if token == nil {
			r.res.Act("take over the polling token from " + string(r.ConfigPath))
		}
		r.res.Act("ask " + r.URL.String() + " for the state of the request")
		return r.foreseeApproval(ctx)
	}
	if token == nil {
		if token, err = r.takeOver(); err != nil {
			return err
		}
	}
	if err := r.adopt(ctx); err != nil {
		return err
	}
	return r.await(ctx, client, token)
}

// registered ends a run that was only to make the request.
func (r *run) registered(t *statedir.Token) error {
	r.notePending(t)
	r.res.State = contract.StateRegistered
	r.res.Msg = fmt.Sprintf("this host is registered at %s and waits for approval%s", r.URL, r.approverHint(t))
	return nil
}

// errStillDead says that the manager does not honour a doubted token either.
var errStillDead = errors.New("the token is dead")

// await polls until the manager has decided or a limit is reached.
func (r *run) await(ctx context.Context, client ManagerClient, t *statedir.Token) error {
	if r.State == string(contract.StateRegistered) {
		return r.registered(t)
	}
	if !r.doubted {
		r.notePending(t)
	}
	if r.Wait {
		r.audit(contract.EventWaiting, nil)
	}
	asker := pace.Asker{Caller: pace.Wait, Interval: r.Interval, Rand: r.Rand}
	for {
		r.Progress(Progress{Phase: PhasePoll, Attempts: r.res.Attempts, MachineID: r.res.MachineID, FQDN: r.res.FQDN})
		answer, verdict, err := r.poll(ctx, client, t)
		heard := pace.Pending
		switch verdict {
		case managerclient.Approved:
			return r.approved(ctx, answer)
		case managerclient.Pending:
			r.res.Attempts++
			if t, err = r.pending(t, answer.dialect); err != nil {
				return err
			}
		case managerclient.RateLimited:
			heard = pace.RateLimited
			r.res.RetryAfter = cmp.Or(answer.retryAfter, pace.RateLimit)
		case managerclient.ManagerError, managerclient.OnTheWay:
			heard = pace.Trouble
			if !r.Wait || ctx.Err() != nil {
				r.res.RetryAfter = answer.told()
				// A signal while the answer came is what ends the run.
				return cmp.Or(ctx.Err(), err)
			}
		default:
			return r.turned(ctx, answer, err)
		}
		if done, err := r.limit(t); done {
			return err
		}
		wait, again := asker.Next(heard, answer.told())
		if !again {
			return err
		}
		if err := r.waitFor(ctx, wait); err != nil {
			return err
		}
	}
}

// told is how long the manager asks to wait; 0 where no answer came.
func (a *spooledAnswer) told() time.Duration {
	if a == nil {
		return 0
	}
	return a.retryAfter
}

// pending notes that the manager knows the request, and how it says so. It
// returns the token with that in it.
func (r *run) pending(t *statedir.Token, d managerclient.Dialect) (*statedir.Token, error) {
	if live := r.liveToken(); live != nil {
		t = live // with what was heard of it since
	}
	known := *t
	known.Dialect, known.TakenOver, known.NoAnswerSince = d, false, nil
	if r.doubted {
		r.doubted = false
		r.notePending(&known)
		return &known, r.revive(&known)
	}
	if t.Dialect != d || t.TakenOver || t.NoAnswerSince != nil {
		return &known, r.o.SaveToken(known)
	}
	return t, nil
}

// limit tells whether this run has waited as long as it may.
func (r *run) limit(t *statedir.Token) (bool, error) {
	r.res.State = contract.StatePending
	switch {
	case !r.Wait:
		r.res.Msg = fmt.Sprintf("waiting for approval at %s since %s; run again after it%s", r.URL, t.Since.Format(time.RFC3339), r.approverHint(t))
		return true, nil
	case r.MaxAttempts > 0 && r.res.Attempts >= r.MaxAttempts:
		return true, contract.Errorf(contract.CodeTimeout, "not approved at %s after %d polls (max_poll_attempts)%s", r.URL, r.res.Attempts, r.approverHint(t))
	case !r.deadline.IsZero() && !r.Now().Before(r.deadline):
		return true, contract.Errorf(contract.CodeTimeout, "not approved at %s within %s (wait_timeout)%s", r.URL, time.Duration(r.WaitTimeout), r.approverHint(t))
	}
	return false, nil
}

// approverHint tells what an administrator has to do first where the manager
// knows this host already: deployed managers refuse to approve it (contract,
// admin API). It may know it from a request whose answer was lost: approved
// meanwhile, it made a host, and the manager took the next request all the same.
// So it does where an approved request was not fetched in time.
func (r *run) approverHint(t *statedir.Token) string {
	switch {
	case r.managerKnows():
		return "; the manager knows this host already and refuses to approve it: " + contract.KnownHost + ", then approves"
	case t.LostRequest != nil:
		return fmt.Sprintf("; the answer to a request of %s was lost: if the manager knows this host from it, %s, then approves",
			t.LostRequest.UTC().Format(time.RFC3339), contract.KnownHost)
	case t.Replaces != nil:
		return fmt.Sprintf("; the manager no longer knew the request of %s, which may have been approved and not fetched in time: if the manager lists this host, %s, then approves",
			t.Replaces.UTC().Format(time.RFC3339), contract.KnownHost)
	}
	return ""
}

// waitFor waits, and not past the end of wait_timeout.
func (r *run) waitFor(ctx context.Context, wait time.Duration) error {
	if !r.deadline.IsZero() {
		wait = min(wait, r.deadline.Sub(r.Now()))
	}
	r.Progress(Progress{Phase: PhaseWait, Attempts: r.res.Attempts, Next: r.Now().Add(wait)})
	return pause(ctx, wait)
}

// notePending fills in what an approver compares, and warns before the manager
// forgets the request.
func (r *run) notePending(t *statedir.Token) {
	r.res.State = contract.StatePending
	r.res.PendingSince = t.Since.Format(time.RFC3339)
	if t.MachineID != "" {
		r.res.MachineID, r.res.FQDN = t.MachineID, t.FQDN
	}
	if age := r.Now().Sub(t.Since); age >= forgetWarning {
		r.res.Warn(fmt.Sprintf("the request is pending since %s; managers forget a request after 24 h", t.Since.Format(time.RFC3339)))
	}
}
