package enroll

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
)

const (
	// grace is what an answer on its way gets when a signal comes: it may be
	// the bundle, which is handed out once. A run still ends within a second.
	grace = 500 * time.Millisecond
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
		if token, err = r.takeOver(ctx); err != nil {
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
	r.res.State = contract.StateRegistered
	r.notePending(t)
	r.res.Msg = fmt.Sprintf("this host is registered at %s and waits for approval%s", r.url, r.approverHint())
	return nil
}

// await polls until the manager has decided or a limit is reached.
func (r *run) await(ctx context.Context, client ManagerClient, t *tokenRecord) error {
	if r.State == string(contract.StateRegistered) {
		return r.registered(t)
	}
	r.notePending(t)
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
		case managerclient.RateLimited:
			failures = 0
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
		r.res.Msg = fmt.Sprintf("waiting for approval at %s since %s; run again after it%s", r.url, t.Since.Format(time.RFC3339), r.approverHint())
		return true, nil
	case r.maxAttempts > 0 && r.res.Attempts >= r.maxAttempts:
		return true, contract.Errorf(contract.CodeTimeout, "not approved at %s after %d polls (max_poll_attempts)%s", r.url, r.res.Attempts, r.approverHint())
	case !r.deadline.IsZero() && !r.Now().Before(r.deadline):
		return true, contract.Errorf(contract.CodeTimeout, "not approved at %s within %s (wait_timeout)%s", r.url, time.Duration(r.WaitTimeout), r.approverHint())
	}
	return false, nil
}

// approverHint tells what an administrator has to do first where the manager
// knows this host already: deployed managers refuse to approve it (contract,
// admin API).
func (r *run) approverHint() string {
	if !r.o.enrolled() {
		return ""
	}
	return "; the manager knows this host already: an administrator removes the host there first, then approves"
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

// spooledAnswer is an answer to a poll, on disk where that was possible.
type spooledAnswer struct {
	spooled
	bundle     *contract.PkiBundle
	retryAfter time.Duration
}

// poll asks once. Between the manager's act and the bundle on disk stand the
// arrival of the answer, one write and one fsync: the file is made, its space
// reserved and its name synced before the request goes out.
func (r *run) poll(ctx context.Context, client ManagerClient, t *tokenRecord) (*spooledAnswer, managerclient.Verdict, error) {
	if ctx.Err() != nil {
		return nil, managerclient.Bad, ctx.Err()
	}
	unanswered := r.o.pollAt
	slot, err := r.Files.PrepareSlot(r.settings.state.spool, spoolSpace)
	if err != nil {
		return nil, managerclient.Bad, err
	}
	defer slot.Close()
	lingering, cancel := linger(ctx)
	defer cancel()
	raw, err := client.Poll(lingering, t.Token)
	if err != nil {
		return nil, noAnswer(err), r.unanswered(err, unanswered)
	}
	a := &spooledAnswer{retryAfter: raw.RetryAfter, spooled: spooled{
		HTTPStatus: raw.HTTPStatus, URL: r.url.String(), At: r.Now().UTC(), Body: raw.Body,
	}}
	if raw.PeerIP.IsValid() {
		a.PeerIP = raw.PeerIP.String()
	}
	stored := false
	if raw.HTTPStatus >= 200 && raw.HTTPStatus <= 299 && len(raw.Body) > 0 {
		record, err := encodeRecord(a.spooled)
		if err == nil {
			err = slot.Store(record)
		}
		if stored = err == nil; !stored {
			r.res.warn(fmt.Sprintf("the manager's answer could not be stored, it is used from memory: %v", err))
		}
	}
	verdict, bundle, err := managerclient.Judge(raw.HTTPStatus, raw.Body)
	a.bundle = bundle
	return a, verdict, r.heard(verdict, a, stored, unanswered, err)
}

// heard brings the disk in line with an answer, and words the ones that end a
// run.
func (r *run) heard(verdict managerclient.Verdict, a *spooledAnswer, stored bool, unanswered *time.Time, why error) error {
	switch verdict {
	case managerclient.Approved:
		r.o.spool, r.o.pollAt = &a.spooled, nil
		return nil
	case managerclient.Pending:
		return r.dropSpool()
	case managerclient.RateLimited:
		return r.restoreSpool(unanswered)
	case managerclient.ManagerError:
		// A gateway may have lost the bundle on its way: the mark stays.
		now := r.Now()
		r.o.pollAt = &now
		return why
	case managerclient.Denied, managerclient.Unknown:
		return r.turnedDown(verdict, unanswered)
	default:
		return r.nonsense(a, stored, unanswered, why)
	}
}

// turnedDown ends a request that the manager no longer honours.
func (r *run) turnedDown(verdict managerclient.Verdict, unanswered *time.Time) error {
	state := contract.StateDenied
	if verdict == managerclient.Unknown {
		state = contract.StateExpired
	}
	if err := r.bury(state); err != nil {
		return err
	}
	if err := r.dropSpool(); err != nil {
		return err
	}
	r.res.State = state
	r.audit(contract.EventDenied, map[string]string{"state": string(state)})
	switch {
	case state == contract.StateDenied:
		return contract.Errorf(contract.CodeDenied, "%s denied the enrollment of %s", r.url, r.res.FQDN)
	case r.revived:
		return contract.Errorf(contract.CodeConflict, "%s already knows this machine, but not the token of its request", r.url).
			WithHint("on the manager, an administrator denies the pending request of machine_id %s or removes that host; then run again", r.res.MachineID)
	case unanswered != nil:
		return contract.Errorf(contract.CodeBundleLost,
			"%s no longer knows the request, and a poll of %s was sent whose answer was lost: it may have been the bundle, which is handed out once",
			r.url, unanswered.UTC().Format(time.RFC3339)).
			WithHint("on the manager, an administrator removes the host with machine_id %s if it is there; then run again", r.res.MachineID)
	default:
		return contract.Errorf(contract.CodeTokenUnknown, "%s no longer knows the request of %s: expired, denied or purged", r.url, r.res.PendingSince)
	}
}

// nonsense deals with an answer that the contract does not know. One that
// looks like a bundle is kept: what is in it cannot be had again.
func (r *run) nonsense(a *spooledAnswer, stored bool, unanswered *time.Time, why error) error {
	if !stored || !bytes.Contains(a.Body, []byte("server_key")) {
		if err := r.restoreSpool(unanswered); err != nil {
			return err
		}
		return why
	}
	return r.reject(why)
}

// noAnswer sorts the failures of a request by whether waiting may help.
func noAnswer(err error) managerclient.Verdict {
	if contract.CodeOf(err) == contract.CodeUnreachable {
		return managerclient.ManagerError
	}
	return managerclient.Bad
}

// unanswered keeps the mark on disk where the manager may have acted.
func (r *run) unanswered(err error, before *time.Time) error {
	var failed *managerclient.RequestError
	if before == nil && errors.As(err, &failed) && !failed.MaybeDelivered {
		return errors.Join(err, r.dropSpool())
	}
	now := r.Now()
	r.o.pollAt = &now
	return err
}

// restoreSpool leaves the mark of an earlier unanswered poll, and else none.
func (r *run) restoreSpool(before *time.Time) error {
	if before == nil {
		return r.dropSpool()
	}
	slot, err := r.Files.PrepareSlot(r.settings.state.spool, 0)
	if err != nil {
		return err
	}
	return slot.Close()
}

func (r *run) dropSpool() error {
	if r.Check {
		r.o.spool, r.o.pollAt = nil, nil
		return nil
	}
	if err := r.Files.Remove(r.settings.state.spool); err != nil {
		return err
	}
	r.o.spool, r.o.pollAt = nil, nil
	return nil
}

// lingerUntilDeadline is for a request that may be sent again: it ends with
// wait_timeout too.
func (r *run) lingerUntilDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := linger(ctx)
	if r.deadline.IsZero() {
		return late, cancel
	}
	timed, stop := context.WithTimeout(late, r.deadline.Sub(r.Now()))
	return timed, func() { stop(); cancel() }
}

// linger is ctx, ending a moment later: an answer on its way is still taken.
func linger(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(grace, func() { cancel(context.Cause(ctx)) })
	})
	return late, func() { stop(); cancel(nil) }
}
