package enroll

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki"
)

// step is what a run does next.
type step int

const (
	// stepConverge repairs attributes and the whitelist of a good set, if anything.
	stepConverge step = iota
	// stepSpool puts an answer in place that is already on disk.
	stepSpool
	// stepBundle puts a bundle in place that was carried by hand.
	stepBundle
	// stepPoll asks for the state of a request that was made.
	stepPoll
	// stepClock waits for this host's clock: the set is good, but not yet.
	stepClock
	// stepForeign leaves a valid set alone that is someone else's.
	stepForeign
	// stepCannotJudge stops at files that no one but their owner understands.
	stepCannotJudge
	// stepRegister makes a request.
	stepRegister
)

// decide names every state that a host can be in. What was stored comes before
// what would be asked for, and a request under way before the set that it is
// to replace.
func (r *run) decide() step {
	o := r.Disk
	usable := o.Usable(r.Now(), r.RenewWithin)
	switch {
	case o.Spool() != nil:
		return stepSpool
	case r.byHand():
		return stepBundle
	case r.LiveToken() != nil:
		return stepPoll
	case !r.Force && r.Foreign() != "":
		return stepForeign
	case usable && !r.Force:
		return stepConverge
	case errors.Is(o.Unusable, pki.ErrNotYetValid) && !r.Force:
		return stepClock
	case r.CannotJudge() != nil:
		return stepCannotJudge
	case r.Adoptable():
		return stepPoll
	default:
		return stepRegister
	}
}

func (r *run) follow(ctx context.Context, next step) error {
	if next != stepConverge {
		// A signal so far ends the run before anything has begun.
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	switch next {
	case stepConverge:
		return r.Converge(ctx)
	case stepSpool:
		again, err := r.provisionSpool(ctx)
		if err != nil || !again {
			return err
		}
		return r.follow(ctx, r.decide())
	case stepBundle:
		return r.provisionBundle(ctx)
	case stepPoll:
		return r.resume(ctx)
	case stepClock:
		return contract.Errorf(contract.CodeIdentity, "the installed certificates cannot serve yet: %w; this host's clock says %s",
			r.Disk.Unusable, r.Now().UTC().Format(time.RFC3339)).
			WithHint("set the clock (chronyc makestep, timedatectl set-time) and run again; force asks for new certificates all the same")
	case stepForeign:
		return r.leaveForeign(r.Foreign())
	case stepCannotJudge:
		return r.CannotJudge()
	case stepRegister:
		return r.register(ctx)
	default:
		return contract.Errorf(contract.CodeInternal, "unknown step %d", next)
	}
}

// leaveForeign ends a run on a host whose set is someone else's: near its
// expiry too it is theirs to renew.
func (r *run) leaveForeign(why string) error {
	r.Result.State = contract.StateForeign
	r.Result.Warn(r.Disk.Warnings...)
	r.Result.Msg = fmt.Sprintf("%s; it is valid until %s, nothing was changed and no manager was asked; %s",
		why, r.Disk.Set.Server.NotAfter.UTC().Format("2006-01-02 15:04 MST"), r.TakeOverHint())
	return nil
}
