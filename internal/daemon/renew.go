package daemon

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pace"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/report"
)

const (
	// lookDueEvery is how often it is looked at whether renewal is due.
	lookDueEvery = time.Hour
	// foreignWarning is how many days before its end a set is warned about that
	// is not this program's to renew.
	foreignWarning = 30
)

// renewer enrolls again, while the daemon serves, when the certificate nears
// its end. The watch loads what it brings.
//
// It asks the manager once in a run and waits between the runs, not in them:
// the run lock is free meanwhile, so that a playbook can take the host out.
type renewer struct {
	// look tells whether there is anything to renew or to go on with.
	look func(context.Context) need
	// ask makes one run that does not wait.
	ask func(context.Context) *report.Result
	// asking is told when asking begins and ends.
	asking   func(bool)
	interval time.Duration
	log      *logrus.Logger
	now      func() time.Time
	// rand is uniform in [0, 1).
	rand func() float64
}

// need is what a host with certificates needs of its manager.
type need int

const (
	needNothing need = iota
	// needRenewal: the certificate nears its end, or has no use any more.
	needRenewal
	// needEnd: a request or a bundle of an earlier run waits for its end.
	needEnd
	// needUnknown: a file that tells cannot be read. It begins nothing, and ends
	// nothing that is under way: an administrator may be editing that file.
	needUnknown
)

// look finds out by the disk alone. A host without certificates needs nothing:
// what was taken away is not enrolled anew.
func (d *daemon) look(ctx context.Context) need {
	info := d.enroller.Info(ctx, d.infoParams())
	switch {
	case info.Failed:
		d.log.WithFields(logrus.Fields{"code": info.Error.Code, "hint": info.Error.Hint}).
			Error("whether the certificate is to be renewed cannot be told: " + info.Msg)
		return needUnknown
	case info.Certificates == nil:
		if len(info.Problems) > 0 {
			d.log.Error("the certificate is not renewed while the files on disk are no set: " + info.Problems[0])
		}
		return needNothing
	case info.Certificates.Server.NotBefore.After(d.now().Add(pki.ClockTolerance)):
		// The clock has gone back: no reason to throw a good set away.
		return needNothing
	case !d.hasManager():
		if info.RenewalDue {
			d.log.WithField("days_left", *info.DaysLeft).Warn("the certificate is to be renewed, and no manager is set: set enrollment.manager_url")
		}
		return needNothing
	case info.State == contract.StatePending:
		return needEnd
	case info.State == contract.StateForeign:
		if *info.DaysLeft < foreignWarning {
			d.log.WithField("days_left", *info.DaysLeft).Warn("the certificate is not renewed: " + info.Problems[0])
		}
		return needNothing
	case info.RenewalDue:
		return needRenewal
	}
	return needNothing
}

func (d *daemon) renewer() *renewer {
	return &renewer{
		look: d.look,
		ask: func(ctx context.Context) *report.Result {
			p := d.params()
			p.Wait = false
			return d.unasked().Run(ctx, p)
		},
		asking:   func(bool) {},
		interval: options.PollingInterval(d.cfg.Enrollment.PollingIntervalSeconds),
		log:      d.log,
		now:      d.now,
		rand:     d.enroller.Rand,
	}
}

// run renews until ctx ends.
func (r *renewer) run(ctx context.Context) {
	if r.look(ctx) == needEnd && !r.renew(ctx) {
		return
	}
	for {
		// Spread widely, so that a fleet that was enrolled in one hour does not
		// come back in one minute.
		if managerclient.Sleep(ctx, time.Duration(float64(lookDueEvery)*(0.5+0.5*r.rand()))) != nil {
			return
		}
		if n := r.look(ctx); (n == needRenewal || n == needEnd) && !r.renew(ctx) {
			return
		}
	}
}

// renew asks until nothing is needed any more, and tells whether ctx goes on.
func (r *renewer) renew(ctx context.Context) bool {
	r.log.Info("renewing the certificate")
	r.asking(true)
	defer r.asking(false)
	announced := false
	asker := pace.Asker{Caller: pace.Renewal, Interval: r.interval, Rand: r.rand}
	for {
		res := r.ask(ctx)
		switch {
		case ctx.Err() != nil:
			return false
		case !res.Failed && res.State == contract.StateEnrolled:
			r.log.Info("renewal: " + res.Msg)
			return true
		}
		wait, _ := asker.Next(heardOf(res, r.now(), announced), res.RetryAfter)
		switch {
		case res.Failed:
			r.log.WithFields(logrus.Fields{"code": res.Error.Code, "hint": res.Error.Hint, "again_in": wait.Round(time.Second)}).Error("renewal: " + res.Msg)
		case !announced:
			r.log.Warn("renewal: " + res.Msg)
		}
		announced = announced || !res.Failed
		if managerclient.Sleep(ctx, wait) != nil {
			return false
		}
		if r.look(ctx) == needNothing {
			return true
		}
	}
}

// heardOf sorts what a run came to for the table of pace. underWay says that a
// request was seen under way before.
func heardOf(res *report.Result, now time.Time, underWay bool) pace.Heard {
	switch {
	case !res.Failed && res.RetryAfter == 0:
		return pace.Pending
	case !res.Failed, res.Error.Code == contract.CodeRateLimited:
		return pace.RateLimited
	case forgotten(res, now):
		return pace.Forgotten
	case underWay && underEdit(res):
		return pace.Edited
	case retriedSoon(res):
		return pace.Trouble
	case deniedByNow(res, now):
		return pace.Refused
	}
	return pace.Failed
}

// retriedSoon tells whether a failure leaves a request under way that may be
// approved at any moment: a manager holds the bundle for 600 s only, so the next
// poll must not wait for longer than usual.
func retriedSoon(res *report.Result) bool {
	return res.Error.Retryable && res.State == contract.StatePending
}

// forgottenAfter is the age from which on a request that the manager does not
// know any more is one that has expired, by the contract after 24 h. A younger
// one was denied: deployed managers delete it then.
const forgottenAfter = 23 * time.Hour

func forgotten(res *report.Result, now time.Time) bool {
	since, err := time.Parse(time.RFC3339, res.PendingSince)
	return err == nil && res.Error.Code == contract.CodeTokenUnknown && now.Sub(since) >= forgottenAfter
}

// deniedByNow tells whether an administrator denied the request, as far as the
// manager lets that be known.
func deniedByNow(res *report.Result, now time.Time) bool {
	return res.Error.Code == contract.CodeDenied || res.Error.Code == contract.CodeTokenUnknown && !forgotten(res, now)
}
