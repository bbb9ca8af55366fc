package converse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/observe"
	"github.com/linux-patch/enroll/internal/statedir"
)

// ErrStillDead says that the manager does not honour a doubted token either.
var ErrStillDead = errors.New("the token is dead")

// Answer is an answer to a poll, on disk where that was possible.
type Answer struct {
	statedir.Answer
	Bundle     *contract.PkiBundle
	retryAfter time.Duration
	dialect    managerclient.Dialect
	// Stored says that the answer is on disk.
	Stored bool
}

// poll asks once. Between the manager's act and the bundle on disk stand the
// arrival of the answer, one write and one fsync: the file is made, its space
// reserved and its name synced before the request goes out.
func (c *Conversation) poll(ctx context.Context, client ManagerClient, t *statedir.Token) (*Answer, managerclient.Verdict, error) {
	if ctx.Err() != nil {
		return nil, managerclient.Bad, ctx.Err()
	}
	if err := c.Disk.Sign(); err != nil {
		return nil, managerclient.Bad, err
	}
	unanswered := c.Disk.PollAt()
	slot, err := c.Disk.PreparePoll()
	if err != nil {
		return nil, managerclient.Bad, err
	}
	defer func() { _ = slot.Close() }()
	lingering, cancel := linger(ctx)
	defer cancel()
	raw, err := client.Poll(lingering, t.Token)
	if err != nil {
		return nil, noAnswer(err), c.unanswered(err, unanswered)
	}
	a := &Answer{retryAfter: raw.RetryAfter, Answer: statedir.Answer{
		HTTPStatus: raw.HTTPStatus, URL: c.URL.String(), At: c.Now().UTC(), Body: raw.Body, Encoding: raw.Encoding, LostPoll: unanswered,
	}}
	if raw.PeerIP.IsValid() {
		a.PeerIP = raw.PeerIP.String()
	}
	if raw.HTTPStatus >= 200 && raw.HTTPStatus <= 299 && len(raw.Body) > 0 {
		c.store(slot, a)
	}
	if raw.CRLSkipped {
		c.Result.Warn("the list of revoked certificates in the manager's answer is larger than what is taken, and was left out; the agent fetches it from the manager")
	}
	said := raw.Judge(t.Dialect)
	a.Bundle, a.dialect = said.Bundle, said.Dialect
	return a, said.Verdict, c.heard(t, said.Verdict, a, unanswered, said.Err)
}

// store puts an answer on disk: what cannot be had again first.
func (c *Conversation) store(slot *statedir.Poll, a *Answer) {
	err := slot.Store(a.Answer)
	if a.Stored = err == nil; !a.Stored {
		c.Result.Warn(fmt.Sprintf("the manager's answer could not be stored, it is used from memory: %v", err))
		return
	}
	if err := slot.StoreRest(a.Answer); err != nil {
		c.Result.Warn(fmt.Sprintf("the list of revoked certificates in the manager's answer could not be stored, it is used from memory: %v", err))
	}
}

// heard brings the disk in line with an answer, and words the ones that end a
// run.
func (c *Conversation) heard(t *statedir.Token, verdict managerclient.Verdict, a *Answer, unanswered *time.Time, why error) error {
	switch verdict {
	case managerclient.Approved:
		c.Disk.Hold(a.Answer)
		return nil
	case managerclient.Pending:
		return c.Disk.DropSpool()
	case managerclient.RateLimited:
		return c.Disk.RestorePoll(unanswered)
	case managerclient.ManagerError:
		return c.mayBeLost(a, why)
	case managerclient.OnTheWay:
		return c.onTheWay(a, why)
	case managerclient.Denied, managerclient.Unknown:
		return c.turnedDown(t, verdict, a.HTTPStatus, unanswered)
	default:
		return c.Nonsense(a, unanswered, why)
	}
}

// mayBeLost leaves the mark of a poll: a gateway may have lost the bundle on its
// way.
func (c *Conversation) mayBeLost(a *Answer, why error) error {
	c.Disk.MarkPoll()
	if a.Stored {
		return errors.Join(why, c.Disk.RestorePoll(c.Disk.PollAt()))
	}
	return why
}

// forgottenAfter is how long something on the way may answer in the manager's place
// before the request must be over: managers forget one after 24 h.
const forgottenAfter = 24 * time.Hour

// onTheWay deals with an answer that is not the manager's: it says nothing of
// the request, until it has stood for so long that the manager has forgotten it.
func (c *Conversation) onTheWay(a *Answer, why error) error {
	why = c.mayBeLost(a, why)
	t := c.LiveToken()
	switch {
	case t == nil: // a doubted token
		return why
	case t.NoAnswerSince == nil:
		silent := *t
		silent.NoAnswerSince = &a.At
		return errors.Join(why, c.Disk.SaveToken(silent))
	case c.Now().Sub(*t.NoAnswerSince) >= forgottenAfter:
		return c.givenUp(*t.NoAnswerSince, why)
	}
	return why
}

// givenUp ends a request of which nothing was heard for a day.
func (c *Conversation) givenUp(since time.Time, why error) error {
	if err := c.Disk.Bury(contract.StateExpired, false); err != nil {
		return errors.Join(why, err)
	}
	c.Result.State = contract.StateExpired
	return contract.Errorf(contract.CodeTokenUnknown, "since %s %s did not answer itself, and managers forget a request after 24 h: %w",
		since.UTC().Format(time.RFC3339), c.URL, why)
}

// turnedDown ends a request that the manager no longer honours.
func (c *Conversation) turnedDown(t *statedir.Token, verdict managerclient.Verdict, status int, unanswered *time.Time) error {
	state := contract.StateDenied
	if verdict == managerclient.Unknown {
		state = contract.StateExpired
		if fetched, err := c.fetched(t); err != nil || fetched {
			return errors.Join(err, ErrFetched)
		}
		if t.TakenOver || observe.IsPlaceholder(t.Token) {
			return errors.Join(ErrNeverOurs, c.Disk.Bury(state, true), c.Disk.DropSpool())
		}
	}
	if c.Doubted && unanswered == nil {
		if err := c.Disk.DropSpool(); err != nil {
			return err
		}
		return ErrStillDead
	}
	// A firewall answers 403 too, but no dialect's denial.
	if err := c.Disk.Bury(state, state == contract.StateDenied && status != http.StatusForbidden); err != nil {
		return err
	}
	if err := c.Disk.DropSpool(); err != nil {
		return err
	}
	c.Result.State = state
	c.Record(contract.EventDenied, map[string]string{"state": string(state)})
	switch {
	case state == contract.StateDenied:
		return contract.Errorf(contract.CodeDenied, "%s denied the enrollment of %s", c.URL, c.Result.FQDN)
	case unanswered != nil:
		return contract.Errorf(contract.CodeBundleLost,
			"%s no longer knows the request, and a poll of %s was sent whose answer was lost: it may have been the bundle, which is handed out once",
			c.URL, unanswered.UTC().Format(time.RFC3339)).
			WithHint("if the manager lists the host with machine_id %s, %s, then run again", c.Result.MachineID, contract.KnownHost)
	default:
		return contract.Errorf(contract.CodeTokenUnknown, "%s no longer knows the request of %s: expired, denied, purged, or approved and not fetched in time", c.URL, c.Result.PendingSince)
	}
}

// setAside keeps an answer that could not be decoded. It may be the bundle, and
// it may be nothing: the request goes on.
func (c *Conversation) setAside(why error) error {
	aside, err := c.Disk.SetAside()
	if err != nil {
		return errors.Join(why, err)
	}
	return contract.Errorf(contract.CodeBadAnswer, "%w; it was moved to %s, body and encoding in it", why, aside).
		WithHint("let nothing between this host and the manager encode answers; if the manager no longer knows the request, decode the body in %s and install it with bundle_path", aside)
}

// Nonsense deals with an answer that the contract does not know. One that
// looks like a bundle is kept: what is in it cannot be had again.
func (c *Conversation) Nonsense(a *Answer, unanswered *time.Time, why error) error {
	if a.Encoding != "" && a.Stored {
		return c.setAside(why)
	}
	if !a.Stored || !bytes.Contains(a.Body, []byte("server_key")) {
		if err := c.Disk.RestorePoll(unanswered); err != nil {
			return err
		}
		return why
	}
	return c.Reject(why)
}

// noAnswer sorts the failures of a request by whether waiting may help.
func noAnswer(err error) managerclient.Verdict {
	if contract.CodeOf(err) == contract.CodeUnreachable {
		return managerclient.ManagerError
	}
	return managerclient.Bad
}

// unanswered keeps the mark on disk where the manager may have acted.
func (c *Conversation) unanswered(err error, before *time.Time) error {
	if failed, ok := errors.AsType[*managerclient.RequestError](err); ok && before == nil && !failed.MaybeDelivered {
		return errors.Join(err, c.Disk.DropSpool())
	}
	c.Disk.MarkPoll()
	return err
}

// Reject puts a bundle aside that can never be used. The request that it
// answers is over.
func (c *Conversation) Reject(why error) error {
	aside, err := c.Disk.SetAside()
	if err != nil {
		return errors.Join(why, err)
	}
	for _, err := range c.Disk.PruneRejected() {
		c.Result.Warn(fmt.Sprintf("an old bundle was not removed: %v", err))
	}
	c.Result.State = contract.StateExpired
	if err := c.Disk.Bury(contract.StateExpired, true); err != nil {
		return errors.Join(why, err)
	}
	return contract.Errorf(contract.CodeBundleInvalid, "the manager's bundle cannot be used: %w; it was moved to %s", why, aside).
		WithHint("fix the manager's CA; then %s, and run again", contract.KnownHost)
}
