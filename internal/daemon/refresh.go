package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/pki"
)

const (
	// lookCRLEvery is how often it is looked at whether a CRL is due.
	lookCRLEvery = time.Minute
	// crlBackoff doubles with each failure up to maxCRLBackoff.
	crlBackoff    = time.Minute
	maxCRLBackoff = time.Hour
)

// refresher keeps the CRL current: deployed managers' lists live for 24 h.
type refresher struct {
	// inForce is the list in force; wanted says that one is missed whatever its
	// age, since that on disk cannot be loaded.
	inForce func() (list *pki.CRL, wanted bool)
	fetch   func(context.Context, *pki.CRL) (changed bool, warnings []string, err error)
	every   time.Duration
	log     *logrus.Logger
	now     func() time.Time
	rand    func() float64

	failures int
	warned   map[string]bool
}

func (a *agent) refresher() *refresher {
	return &refresher{
		inForce: func() (*pki.CRL, bool) {
			set := a.listener.set.Load()
			if set == nil {
				return nil, a.noCRL.Load()
			}
			return set.crl, set.crlProblem != nil
		},
		fetch: func(ctx context.Context, list *pki.CRL) (changed bool, warnings []string, err error) {
			err = a.installed.crls.turn.fetch(ctx, func(ctx context.Context) (err error) {
				changed, warnings, err = a.enroller.RefreshCRL(ctx, a.params(), list)
				return err
			})
			return changed, warnings, err
		},
		every: lookCRLEvery, log: a.log, now: a.now, rand: a.enroller.Rand, warned: map[string]bool{},
	}
}

// run refreshes until ctx ends. Each list has a moment of its own, about half its
// life, so that a fleet does not come at once.
func (r *refresher) run(ctx context.Context) {
	share := r.share()
	for {
		wait := r.every
		if list, wanted := r.inForce(); wanted || list != nil && r.now().After(due(list, share)) {
			wait = max(wait, r.refresh(ctx, list))
			share = r.share()
		}
		if managerclient.Sleep(ctx, wait) != nil {
			return
		}
	}
}

// share is the part of its life after which a list is replaced.
func (r *refresher) share() float64 { return 0.45 + 0.1*r.rand() }

// due is when a list is to be replaced; one that names no end, daily.
func due(list *pki.CRL, share float64) time.Time {
	life := 48 * time.Hour
	if !list.NextUpdate.IsZero() {
		life = list.NextUpdate.Sub(list.ThisUpdate)
	}
	return list.ThisUpdate.Add(time.Duration(float64(life) * share))
}

// refresh asks once, and says how long not to ask again.
func (r *refresher) refresh(ctx context.Context, list *pki.CRL) time.Duration {
	changed, warnings, err := r.fetch(ctx, list)
	for _, w := range warnings {
		if !r.warned[w] {
			r.log.Warn(w)
		}
		r.warned[w] = true
	}
	switch {
	case ctx.Err() != nil, errors.Is(err, errAnotherList):
		return 0
	case err == nil && changed:
		r.failures = 0
		r.log.Info("the CRL was refreshed from the manager")
		return 0
	case err != nil:
		r.log.WithFields(logrus.Fields{"code": contract.CodeOf(err), "hint": contract.HintOf(err)}).Warn("the CRL could not be refreshed: " + err.Error())
	}
	// The manager has no newer one yet, or has none at all.
	wait := min(crlBackoff<<min(r.failures, 10), maxCRLBackoff)
	r.failures++
	return time.Duration(float64(wait) * (0.9 + 0.2*r.rand()))
}
