package enroll

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/statedir"
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
	// stepForeign leaves a valid set alone that is somebody else's.
	stepForeign
	// stepCannotJudge stops at files that nobody but their owner understands.
	stepCannotJudge
	// stepRegister makes a request.
	stepRegister
)

// decide names every state that a host can be in. What was stored comes before
// what would be asked for, and a request under way before the set that it is
// to replace.
func (r *run) decide() step {
	o := r.o
	usable := o.usable(r.Now(), r.RenewWithin)
	switch {
	case o.Spool() != nil:
		return stepSpool
	case r.byHand():
		return stepBundle
	case r.liveToken() != nil:
		return stepPoll
	case !r.Force && r.foreign() != "":
		return stepForeign
	case usable && !r.Force:
		return stepConverge
	case errors.Is(o.unusable, pki.ErrNotYetValid) && !r.Force:
		return stepClock
	case r.cannotJudge() != nil:
		return stepCannotJudge
	case r.adoptable():
		return stepPoll
	default:
		return stepRegister
	}
}

// liveToken is the token that the run's manager may still honour.
func (r *run) liveToken() *statedir.Token {
	if r.URL == nil {
		return nil
	}
	return r.o.LiveToken(r.URL.String())
}

// adoptable tells whether config.yaml holds a token that state_dir does not
// know: a daemon of the deployed kind has registered before this program came.
// A dead token's mirror is none, and beside a certificate set it is a leftover
// of the enrollment that brought the set.
func (r *run) adoptable() bool {
	o := r.o
	if from, err := managerclient.ParseURL(r.Config.Enrollment.ManagerURL); err == nil && from.String() != r.URL.String() {
		// The token is a secret of that manager.
		return false
	}
	return managerclient.ValidToken(o.configToken) && !isPlaceholder(o.configToken) && !o.enrolled() && (o.Token() == nil || o.Token().Token != o.configToken)
}

func (r *run) take(ctx context.Context, next step) error {
	switch next {
	case stepConverge:
		return r.converge(ctx)
	case stepSpool:
		return r.provisionSpool(ctx)
	case stepBundle:
		return r.provisionBundle(ctx)
	case stepPoll:
		return r.resume(ctx)
	case stepClock:
		return contract.Errorf(contract.CodeIdentity, "the installed certificates cannot serve yet: %w; this host's clock says %s",
			r.o.unusable, r.Now().UTC().Format(time.RFC3339)).
			WithHint("set the clock (chronyc makestep, timedatectl set-time) and run again; force asks for new certificates all the same")
	case stepForeign:
		return r.leaveForeign(r.foreign())
	case stepCannotJudge:
		return r.cannotJudge()
	case stepRegister:
		return r.register(ctx)
	default:
		return contract.Errorf(contract.CodeInternal, "unknown step %d", next)
	}
}

// finishKilledRun ends what a killed run began. In check mode it shows what the
// end would be.
func (r *run) finishKilledRun(ctx context.Context) error {
	r.res.Warn(r.o.CloneWarning()...)
	if err := r.o.SetClonesAside(); err != nil {
		return err
	}
	if r.Check {
		return r.foresee()
	}
	if r.o.Journal() == nil && len(r.o.stale) == 0 && (r.o.unusable == nil || !r.o.begun()) {
		return nil
	}
	// A run with another state directory may be between its first file and its
	// last: what looks like a mixture and its remains is at work.
	lock, err := r.alone(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if r.o.Journal() != nil {
		r.actUnfinished()
		if err := r.o.Finish(); err != nil {
			return err
		}
	}
	if _, err := r.Files.SweepTemps(r.directories(), nil); err != nil {
		return err
	}
	return r.observe()
}

func (r *run) actUnfinished() {
	r.res.Act(fmt.Sprintf("finish the change that an interrupted run began (%s)", r.statePaths().Journal))
	r.res.Changed = true
}

// foresee lays the end state of a journal over what was observed.
func (r *run) foresee() error {
	if r.o.Journal() == nil {
		return nil
	}
	r.actUnfinished()
	end, err := r.o.Journal().EndState()
	if err != nil {
		return err
	}
	for _, f := range r.o.files() {
		if after, ok := end[f.Path]; ok {
			*f = after
		}
	}
	r.o.judge(r.Now())
	return nil
}
