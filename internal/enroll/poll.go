package enroll

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/statedir"
)

// spooledAnswer is an answer to a poll, on disk where that was possible.
type spooledAnswer struct {
	statedir.Answer
	bundle     *contract.PkiBundle
	retryAfter time.Duration
	dialect    managerclient.Dialect
	// stored says that the answer is on disk.
	stored bool
}

// poll asks once. Between the manager's act and the bundle on disk stand the
// arrival of the answer, one write and one fsync: the file is made, its space
// reserved and its name synced before the request goes out.
func (r *run) poll(ctx context.Context, client ManagerClient, t *statedir.Token) (*spooledAnswer, managerclient.Verdict, error) {
	if ctx.Err() != nil {
		return nil, managerclient.Bad, ctx.Err()
	}
	if err := r.o.Sign(); err != nil {
		return nil, managerclient.Bad, err
	}
	unanswered := r.o.PollAt()
	slot, err := r.o.PreparePoll()
	if err != nil {
		return nil, managerclient.Bad, err
	}
	defer func() { _ = slot.Close() }()
	lingering, cancel := linger(ctx)
	defer cancel()
	raw, err := client.Poll(lingering, t.Token)
	if err != nil {
		return nil, noAnswer(err), r.unanswered(err, unanswered)
	}
	a := &spooledAnswer{retryAfter: raw.RetryAfter, Answer: statedir.Answer{
		HTTPStatus: raw.HTTPStatus, URL: r.URL.String(), At: r.Now().UTC(), Body: raw.Body, Encoding: raw.Encoding, LostPoll: unanswered,
	}}
	if raw.PeerIP.IsValid() {
		a.PeerIP = raw.PeerIP.String()
	}
	if raw.HTTPStatus >= 200 && raw.HTTPStatus <= 299 && len(raw.Body) > 0 {
		r.store(slot, a)
	}
	if raw.CRLSkipped {
		r.res.Warn("the list of revoked certificates in the manager's answer is larger than what is taken, and was left out; the agent fetches it from the manager")
	}
	said := raw.Judge(t.Dialect)
	a.bundle, a.dialect = said.Bundle, said.Dialect
	return a, said.Verdict, r.heard(t, said.Verdict, a, unanswered, said.Err)
}

// store puts an answer on disk: what cannot be had again first.
func (r *run) store(slot *statedir.Poll, a *spooledAnswer) {
	err := slot.Store(a.Answer)
	if a.stored = err == nil; !a.stored {
		r.res.Warn(fmt.Sprintf("the manager's answer could not be stored, it is used from memory: %v", err))
		return
	}
	if err := slot.StoreRest(a.Answer); err != nil {
		r.res.Warn(fmt.Sprintf("the list of revoked certificates in the manager's answer could not be stored, it is used from memory: %v", err))
	}
}

// heard brings the disk in line with an answer, and words the ones that end a
// run.
func (r *run) heard(t *statedir.Token, verdict managerclient.Verdict, a *spooledAnswer, unanswered *time.Time, why error) error {
	switch verdict {
	case managerclient.Approved:
		r.o.Hold(a.Answer)
		return nil
	case managerclient.Pending:
		return r.o.DropSpool()
	case managerclient.RateLimited:
		return r.o.RestorePoll(unanswered)
	case managerclient.ManagerError:
		return r.mayBeLost(a, why)
	case managerclient.OnTheWay:
		return r.onTheWay(a, why)
	case managerclient.Denied, managerclient.Unknown:
		return r.turnedDown(t, verdict, a.HTTPStatus, unanswered)
	default:
		return r.nonsense(a, unanswered, why)
	}
}

// mayBeLost leaves the mark of a poll: a gateway may have lost the bundle on its
// way.
func (r *run) mayBeLost(a *spooledAnswer, why error) error {
	r.o.MarkPoll()
	if a.stored {
		return errors.Join(why, r.o.RestorePoll(r.o.PollAt()))
	}
	return why
}

// forgottenAfter is how long something on the way may answer in the manager's place
// before the request must be over: managers forget one after 24 h.
const forgottenAfter = 24 * time.Hour

// onTheWay deals with an answer that is not the manager's: it says nothing of
// the request, until it has stood for so long that the manager has forgotten it.
func (r *run) onTheWay(a *spooledAnswer, why error) error {
	why = r.mayBeLost(a, why)
	t := r.liveToken()
	switch {
	case t == nil: // a doubted token
		return why
	case t.NoAnswerSince == nil:
		silent := *t
		silent.NoAnswerSince = &a.At
		return errors.Join(why, r.o.SaveToken(silent))
	case r.Now().Sub(*t.NoAnswerSince) >= forgottenAfter:
		return r.givenUp(*t.NoAnswerSince, why)
	}
	return why
}

// givenUp ends a request of which nothing was heard for a day.
func (r *run) givenUp(since time.Time, why error) error {
	if err := r.o.Bury(contract.StateExpired, false); err != nil {
		return errors.Join(why, err)
	}
	r.res.State = contract.StateExpired
	return contract.Errorf(contract.CodeTokenUnknown, "since %s %s did not answer itself, and managers forget a request after 24 h: %w",
		since.UTC().Format(time.RFC3339), r.URL, why)
}

// turnedDown ends a request that the manager no longer honours.
func (r *run) turnedDown(t *statedir.Token, verdict managerclient.Verdict, status int, unanswered *time.Time) error {
	state := contract.StateDenied
	if verdict == managerclient.Unknown {
		state = contract.StateExpired
		if fetched, err := r.fetched(t); err != nil || fetched {
			return errors.Join(err, errFetched)
		}
		if t.TakenOver || isPlaceholder(t.Token) {
			return errors.Join(errNeverOurs, r.o.Bury(state, true), r.o.DropSpool())
		}
	}
	if r.doubted && unanswered == nil {
		if err := r.o.DropSpool(); err != nil {
			return err
		}
		return errStillDead
	}
	// A firewall answers 403 too, but no dialect's denial.
	if err := r.o.Bury(state, state == contract.StateDenied && status != http.StatusForbidden); err != nil {
		return err
	}
	if err := r.o.DropSpool(); err != nil {
		return err
	}
	r.res.State = state
	r.audit(contract.EventDenied, map[string]string{"state": string(state)})
	switch {
	case state == contract.StateDenied:
		return contract.Errorf(contract.CodeDenied, "%s denied the enrollment of %s", r.URL, r.res.FQDN)
	case unanswered != nil:
		return contract.Errorf(contract.CodeBundleLost,
			"%s no longer knows the request, and a poll of %s was sent whose answer was lost: it may have been the bundle, which is handed out once",
			r.URL, unanswered.UTC().Format(time.RFC3339)).
			WithHint("if the manager lists the host with machine_id %s, %s, then run again", r.res.MachineID, contract.KnownHost)
	default:
		return contract.Errorf(contract.CodeTokenUnknown, "%s no longer knows the request of %s: expired, denied, purged, or approved and not fetched in time", r.URL, r.res.PendingSince)
	}
}

// setAside keeps an answer that could not be decoded. It may be the bundle, and
// it may be nothing: the request goes on.
func (r *run) setAside(why error) error {
	aside, err := r.o.SetAside()
	if err != nil {
		return errors.Join(why, err)
	}
	return contract.Errorf(contract.CodeBadAnswer, "%w; it was moved to %s, body and encoding in it", why, aside).
		WithHint("let nothing between this host and the manager encode answers; if the manager no longer knows the request, decode the body in %s and install it with bundle_path", aside)
}

// nonsense deals with an answer that the contract does not know. One that
// looks like a bundle is kept: what is in it cannot be had again.
func (r *run) nonsense(a *spooledAnswer, unanswered *time.Time, why error) error {
	if a.Encoding != "" && a.stored {
		return r.setAside(why)
	}
	if !a.stored || !bytes.Contains(a.Body, []byte("server_key")) {
		if err := r.o.RestorePoll(unanswered); err != nil {
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
		return errors.Join(err, r.o.DropSpool())
	}
	r.o.MarkPoll()
	return err
}
