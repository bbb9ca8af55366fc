package converse

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/pace"
	"github.com/linux-patch/enroll/internal/statedir"
)

// Registered ends a run that was only to make the request.
func (c *Conversation) Registered(t *statedir.Token) error {
	c.NotePending(t)
	c.Result.State = contract.StateRegistered
	c.Result.Msg = fmt.Sprintf("this host is registered at %s and waits for approval%s", c.URL, c.approverHint(t))
	return nil
}

// Await polls until the manager has decided or a limit is reached. It returns the
// last answer where the manager has decided; with a bundle, where it approved.
func (c *Conversation) Await(ctx context.Context, client ManagerClient, t *statedir.Token) (*Answer, error) {
	if c.State == string(contract.StateRegistered) {
		return nil, c.Registered(t)
	}
	if !c.Doubted {
		c.NotePending(t)
	}
	if c.Wait {
		c.Record(contract.EventWaiting, nil)
	}
	asker := pace.Asker{Caller: pace.Wait, Interval: c.Interval, Rand: c.Rand}
	for {
		c.Progress(Progress{Phase: PhasePoll, Attempts: c.Result.Attempts, MachineID: c.Result.MachineID, FQDN: c.Result.FQDN})
		answer, verdict, err := c.poll(ctx, client, t)
		heard := pace.Pending
		switch verdict {
		case managerclient.Pending:
			c.Result.Attempts++
			if t, err = c.pending(t, answer.dialect); err != nil {
				return nil, err
			}
		case managerclient.RateLimited:
			heard = pace.RateLimited
			c.Result.RetryAfter = cmp.Or(answer.retryAfter, pace.RateLimit)
		case managerclient.ManagerError, managerclient.OnTheWay:
			heard = pace.Trouble
			if !c.Wait || ctx.Err() != nil {
				c.Result.RetryAfter = answer.told()
				// A signal while the answer came is what ends the run.
				return nil, cmp.Or(ctx.Err(), err)
			}
		default:
			return answer, err
		}
		if done, err := c.limit(t); done {
			return nil, err
		}
		wait, again := asker.Next(heard, answer.told())
		if !again {
			return nil, err
		}
		if err := c.waitFor(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// told is how long the manager asks to wait; 0 where no answer came.
func (a *Answer) told() time.Duration {
	if a == nil {
		return 0
	}
	return a.retryAfter
}

// pending notes that the manager knows the request, and how it says so. It
// returns the token with that in it.
func (c *Conversation) pending(t *statedir.Token, d managerclient.Dialect) (*statedir.Token, error) {
	if live := c.LiveToken(); live != nil {
		t = live // with what was heard of it since
	}
	known := *t
	known.Dialect, known.TakenOver, known.NoAnswerSince = d, false, nil
	if c.Doubted {
		c.Doubted = false
		c.NotePending(&known)
		return &known, c.revive(&known)
	}
	if t.Dialect != d || t.TakenOver || t.NoAnswerSince != nil {
		return &known, c.Disk.SaveToken(known)
	}
	return t, nil
}

// limit reports whether this run has waited as long as it may.
func (c *Conversation) limit(t *statedir.Token) (bool, error) {
	c.Result.State = contract.StatePending
	switch {
	case !c.Wait:
		c.Result.Msg = fmt.Sprintf("waiting for approval at %s since %s; run again after it%s", c.URL, t.Since.Format(time.RFC3339), c.approverHint(t))
		return true, nil
	case c.MaxAttempts > 0 && c.Result.Attempts >= c.MaxAttempts:
		return true, contract.Errorf(contract.CodeTimeout, "not approved at %s after %d polls (max_poll_attempts)%s", c.URL, c.Result.Attempts, c.approverHint(t))
	case !c.Deadline.IsZero() && !c.Now().Before(c.Deadline):
		return true, contract.Errorf(contract.CodeTimeout, "not approved at %s within %s (wait_timeout)%s", c.URL, time.Duration(c.WaitTimeout), c.approverHint(t))
	}
	return false, nil
}

// approverHint tells what an administrator has to do first where the manager
// knows this host already: deployed managers refuse to approve it (contract,
// admin API). It may know it from a request whose answer was lost: approved
// meanwhile, it made a host, and the manager took the next request all the same.
// So it does where an approved request was not fetched in time.
func (c *Conversation) approverHint(t *statedir.Token) string {
	switch {
	case c.ManagerKnows():
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
func (c *Conversation) waitFor(ctx context.Context, wait time.Duration) error {
	if !c.Deadline.IsZero() {
		wait = min(wait, c.Deadline.Sub(c.Now()))
	}
	c.Progress(Progress{Phase: PhaseWait, Attempts: c.Result.Attempts, Next: c.Now().Add(wait)})
	return managerclient.Sleep(ctx, wait)
}
