package enroll

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
)

const (
	// maxFailures is how many times in a row a waiting run takes no answer, or
	// a 5xx, before it gives up.
	maxFailures = 5
	// rateLimitPause is the deployed managers' interval between two requests.
	rateLimitPause = 12 * time.Second
	failurePause   = 5 * time.Second
)

// resume goes on with a request that was made by an earlier run.
func (r *run) resume(ctx context.Context) error {
	token := r.liveToken()
	if r.State == string(contract.StateRegistered) && token != nil && r.Check {
		if r.o.newToken != nil {
			r.foreseeMirror()
		}
		return r.registered(token)
	}
	client, err := r.prepare()
	if err != nil {
		return err
	}
	r.identify(ctx)
	if r.Check {
		if token == nil {
			r.res.act("take over the polling token from " + string(r.ConfigPath))
		}
		r.res.act("ask " + r.url.String() + " for the state of the request")
		return r.foreseeApproval()
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
func (r *run) registered(t *tokenRecord) error {
	r.notePending(t)
	r.res.State = contract.StateRegistered
	r.res.Msg = fmt.Sprintf("this host is registered at %s and waits for approval%s", r.url, r.approverHint(t))
	return nil
}

// errStillDead says that the manager does not honour a doubted token either.
var errStillDead = errors.New("the token is dead")

// await polls until the manager has decided or a limit is reached.
func (r *run) await(ctx context.Context, client ManagerClient, t *tokenRecord) error {
	if r.State == string(contract.StateRegistered) {
		return r.registered(t)
	}
	if !r.doubted {
		r.notePending(t)
	}
	failures := 0
	for round := 0; ; round++ {
		r.Progress(Progress{Phase: PhasePoll, Attempts: r.res.Attempts})
		answer, verdict, err := r.poll(ctx, client, t)
		switch verdict {
		case managerclient.Approved:
			return r.approved(ctx, answer)
		case managerclient.Pending:
			failures = 0
			r.res.Attempts++
			if r.doubted {
				r.doubted = false
				r.notePending(t)
				if err := r.revive(t); err != nil {
					return err
				}
			}
		case managerclient.RateLimited:
			failures = 0
			r.res.RetryAfter = max(answer.retryAfter, rateLimitPause)
		case managerclient.ManagerError:
			if failures++; !r.Wait || failures >= maxFailures || ctx.Err() != nil {
				return err
			}
		default:
			return err
		}
		if done, err := r.limit(t); done {
			return err
		}
		if err := r.waitForNext(ctx, round, failures, verdict, answer); err != nil {
			return err
		}
	}
}

// limit tells whether this run has waited as long as it may.
func (r *run) limit(t *tokenRecord) (bool, error) {
	r.res.State = contract.StatePending
	switch {
	case !r.Wait:
		r.res.Msg = fmt.Sprintf("waiting for approval at %s since %s; run again after it%s", r.url, t.Since.Format(time.RFC3339), r.approverHint(t))
		return true, nil
	case r.maxAttempts > 0 && r.res.Attempts >= r.maxAttempts:
		return true, contract.Errorf(contract.CodeTimeout, "not approved at %s after %d polls (max_poll_attempts)%s", r.url, r.res.Attempts, r.approverHint(t))
	case !r.deadline.IsZero() && !r.Now().Before(r.deadline):
		return true, contract.Errorf(contract.CodeTimeout, "not approved at %s within %s (wait_timeout)%s", r.url, time.Duration(r.WaitTimeout), r.approverHint(t))
	}
	return false, nil
}

// approverHint tells what an administrator has to do first where the manager
// knows this host already: deployed managers refuse to approve it (contract,
// admin API). It may know it from a request whose answer was lost: approved
// meanwhile, it made a host, and the manager took the next request all the same.
// So it does where an approved request was not fetched in time.
func (r *run) approverHint(t *tokenRecord) string {
	switch {
	case r.managerKnows():
		return "; the manager knows this host already: an administrator removes the host there first, then approves"
	case t.LostRequest != nil:
		return fmt.Sprintf("; the answer to a request of %s was lost: if the manager knows this host from it, an administrator removes the host there first, then approves",
			t.LostRequest.UTC().Format(time.RFC3339))
	case t.Replaces != nil:
		return fmt.Sprintf("; the manager no longer knew the request of %s, which may have been approved and not fetched in time: if the manager lists this host, an administrator removes the host there first, then approves",
			t.Replaces.UTC().Format(time.RFC3339))
	}
	return ""
}

func (r *run) waitForNext(ctx context.Context, round, failures int, verdict managerclient.Verdict, answer *spooledAnswer) error {
	wait := jittered(r.interval, r.Rand())
	switch {
	case verdict == managerclient.RateLimited:
		wait = min(max(answer.retryAfter, rateLimitPause), MaxInterval)
		// Never earlier than told, and not all at the same moment.
		wait += time.Duration(float64(wait) * jitter * r.Rand())
	case failures > 0:
		wait = min(wait, jittered(failurePause<<failures, r.Rand()))
	case round == 0:
		wait = firstWait(r.interval, r.Rand())
	}
	if !r.deadline.IsZero() {
		wait = min(wait, r.deadline.Sub(r.Now()))
	}
	r.Progress(Progress{Phase: PhaseWait, Attempts: r.res.Attempts, Next: r.Now().Add(wait)})
	return pause(ctx, wait)
}

// notePending fills in what an approver compares, and warns before the manager
// forgets the request.
func (r *run) notePending(t *tokenRecord) {
	r.res.State = contract.StatePending
	r.res.PendingSince = t.Since.Format(time.RFC3339)
	if t.MachineID != "" {
		r.res.MachineID, r.res.FQDN = t.MachineID, t.FQDN
	}
	if age := r.Now().Sub(t.Since); age >= forgetWarning {
		r.res.warn(fmt.Sprintf("the request is pending since %s; managers forget a request after 24 h", t.Since.Format(time.RFC3339)))
	}
}
