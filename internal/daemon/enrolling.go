package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/converse"
	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/identity"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pace"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/report"
)

// errTakenOut keeps a host from being enrolled by itself that was taken out.
var errTakenOut = errors.New("the enrollment of this host was removed, so it does not enroll by itself; --enroll enrolls it again")

// announce says, before anything is asked for, what an administrator compares
// with the request, whatever the level of the log is.
func (d *daemon) announce(ctx context.Context) {
	said := logrus.Fields{}
	host, _, err := d.enroller.Identity.Gather(ctx, identity.Options{})
	if host.MachineID != "" {
		said["machine_id"], said["fqdn"] = host.MachineID, host.FQDN
	}
	if err != nil {
		d.log.WithError(err).Warn("who this host is cannot be told in full")
	}
	loud := logrus.New()
	loud.SetOutput(d.log.Out)
	loud.SetFormatter(d.log.Formatter)
	loud.WithFields(said).Info("enrolling; an administrator must approve this host: compare machine_id and fqdn with the request")
}

// params are the options of every run of enrollment.
func (d *daemon) params() options.Params {
	p := options.DefaultParams()
	p.ConfigPath, p.StateDir = options.Path(d.opt.config), options.Path(d.opt.stateDir)
	p.ManagerURL = d.opt.url
	p.ManagerCAPath = options.Path(d.opt.caFile)
	p.ManagerCAFingerprint = d.opt.fingerprint
	p.ManagerIP = d.opt.managerIP
	p.Insecure = d.opt.insecure
	p.TokenStorage = d.opt.token
	p.KeepOwners = true
	// It is told the manager by its command line or by config.yaml itself.
	p.ConfigManagerURL = false
	return p
}

func (d *daemon) infoParams() options.InfoParams {
	p := options.DefaultInfoParams()
	p.ConfigPath, p.StateDir = options.Path(d.opt.config), options.Path(d.opt.stateDir)
	p.StatusPath = options.Path(d.opt.statusFile)
	p.ManagerURL, p.ManagerIP = d.opt.url, d.opt.managerIP
	return p
}

// hasManager tells whether there is a manager to enroll with.
func (d *daemon) hasManager() bool { return d.opt.url != "" || d.cfg.Enrollment.Manager() != "" }

// unasked is an Enroller that makes no request for a host that was taken out.
// It asks under the run lock, just before the first request, so that a removal
// at the same moment is not undone.
func (d *daemon) unasked() *enroll.Enroller {
	e := *d.enroller
	dial := e.Dial
	e.Dial = func(o managerclient.Options) (converse.ManagerClient, error) {
		since, err := d.enroller.TakenOut(d.params())
		if err != nil {
			return nil, err
		}
		if since != nil {
			return nil, &contract.Error{Code: contract.CodeConfig, Err: errTakenOut}
		}
		return dial(o)
	}
	return &e
}

// enrollOnly is --enroll-only: one run, no listener. SIGHUP, which a lost
// terminal sends, ends it.
func (d *daemon) enrollOnly(ctx context.Context) int {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() {
		select {
		case <-d.env.Hangup:
			stop(errors.New("SIGHUP"))
		case <-ctx.Done():
		}
	}()
	d.announce(ctx)
	res := d.watched(ctx, func(show func(converse.Progress)) *report.Result {
		e := *d.enroller
		e.Progress = show
		return e.Run(ctx, d.params())
	})
	d.tell(res, map[string]bool{})
	if res.Failed {
		return d.failed(res)
	}
	d.log.Info(res.Msg)
	return 0
}

// watched shows the progress of what do reports, to anyone who watches.
func (d *daemon) watched(ctx context.Context, do func(show func(converse.Progress)) *report.Result) *report.Result {
	p := newProgress(d.con, d.log, d.notify, time.Now)
	ctx, end := context.WithCancel(ctx)
	var shown sync.WaitGroup
	shown.Go(func() { p.run(ctx) })
	res := do(p.report)
	end()
	shown.Wait()
	return res
}

// enrollFirst enrolls a host that has nothing to serve with, in runs that do
// not wait, as the renewer does: between them the run lock is free, so that the
// host can be taken out, or enrolled with another manager, meanwhile.
func (a *agent) enrollFirst(ctx context.Context, show func(converse.Progress)) *report.Result {
	e, p := a.enroller, a.params()
	if a.opt.url == "" {
		e = a.unasked()
	}
	p.Wait = false
	told, attempts, registered := map[string]bool{}, 0, false
	asker := pace.Asker{Caller: pace.First, Rand: a.enroller.Rand}
	for {
		run := *e
		run.Progress = func(m converse.Progress) {
			m.Attempts += attempts
			a.reportEnrolling(show, m)
		}
		res := run.Run(ctx, p)
		a.tell(res, told)
		attempts += res.Attempts
		if ctx.Err() != nil && res.Failed || !res.Failed && res.State != contract.StatePending {
			return res
		}
		heard := heardOf(res, a.now(), registered)
		if heard == pace.Pending && a.maxPolls() > 0 && attempts >= a.maxPolls() {
			return report.Failed(contract.Errorf(contract.CodeTimeout, "not approved at %s after %d polls (max_poll_attempts)", res.Manager.URL, attempts))
		}
		asker.Interval = options.PollingInterval(a.cfg.Enrollment.PollingIntervalSeconds)
		wait, again := asker.Next(heard, res.RetryAfter)
		switch {
		case !again:
			return res
		case heard == pace.Forgotten:
			a.log.Warn("not approved within a day, and the manager no longer knows the request: sending a new one")
			continue
		case res.Failed:
			a.failed(res)
		}
		if res.PendingSince != "" {
			// A removal from now on is newer than the request.
			registered, e = true, a.unasked()
		}
		a.reportEnrolling(show, converse.Progress{Phase: converse.PhaseWait, Attempts: attempts, Next: a.now().Add(wait)})
		if managerclient.Sleep(ctx, wait) != nil {
			kept := "no request was made yet"
			if registered {
				kept = "the request and its token are kept, the next start goes on with them"
			}
			return report.Failed(contract.Errorf(contract.CodeInterrupted, "stopped by %s; %s", strings.TrimSuffix(context.Cause(ctx).Error(), " signal received"), kept))
		}
	}
}

// underEdit tells whether a run failed over what config.yaml says. While a request
// is under way someone may be editing that file, and an end with these codes is
// one after which nothing starts the service again.
func underEdit(res *report.Result) bool {
	return res.Failed && !errors.Is(res.Err, errTakenOut) &&
		(res.Error.Code == contract.CodeConfig || res.Error.Code == contract.CodeInvalidArgument)
}

// reportEnrolling says how enrollment goes, until a set is in service that
// someone has put in place meanwhile: the service's status is of that then.
func (a *agent) reportEnrolling(show func(converse.Progress), m converse.Progress) {
	a.placing.Store(m.Phase == converse.PhaseProvision)
	if a.listener.set.Load() == nil {
		show(m)
	}
}

// maxPolls is how many answered polls the configuration allows; 0 has no end.
func (d *daemon) maxPolls() int {
	if n := d.cfg.Enrollment.MaxPollAttempts; n != nil {
		return *n
	}
	return 0
}

// tell logs what a run did, and each warning once.
func (d *daemon) tell(res *report.Result, told map[string]bool) {
	for _, w := range res.Warnings {
		if !told[w] {
			d.log.Warn(w)
		}
		told[w] = true
	}
	for _, a := range res.Actions {
		d.log.WithField("action", a).Info("enrollment")
	}
}

// failed logs why a run failed, and returns the exit code.
func (d *daemon) failed(res *report.Result) int {
	d.log.WithFields(logrus.Fields{"code": res.Error.Code, "hint": res.Error.Hint}).Error(res.Msg)
	return res.Exit()
}

// errFailed carries a failed run's exit code out of the daemon.
func errFailed(res *report.Result) error {
	return (&contract.Error{Code: res.Error.Code, Err: errors.New(res.Msg)}).WithHint("%s", serviceHint(res.Error))
}

// startIt is what the hint of a failed run lacks for a service that nothing
// starts again: there, who runs the program is the service manager.
const startIt = "; the agent's next run is its next start: start the service again, since nothing does so by itself"

// serviceHint is the hint of a failed run for the daemon. After these codes the
// systemd unit does not start the service again (RestartPreventExitStatus).
func serviceHint(e *report.Error) string {
	switch e.Code {
	case contract.CodeRejected, contract.CodeDenied, contract.CodeTokenUnknown, contract.CodeBundleInvalid:
		return e.Hint + startIt
	default:
		return e.Hint
	}
}

// finishKilledRun ends what a run began that was killed while it put files in
// place. Failing that, the files as they are are judged.
func (d *daemon) finishKilledRun(ctx context.Context) {
	actions, err := d.enroller.Recover(ctx, d.params())
	for _, a := range actions {
		d.log.Info(a)
	}
	if err != nil {
		d.log.WithError(err).Warn("an interrupted run could not be finished")
	}
}

// course is how the daemon goes on at its start.
type course int

const (
	// courseListen: renewal, and going on with one, is done while listening.
	courseListen course = iota
	courseEnroll
	// courseWait is for certificates that someone else brings, or for the time.
	courseWait
)

// course decides by why the installed set cannot serve, nil where it can. An
// error ends the daemon.
func (d *daemon) course(why error) (course, error) {
	switch {
	case why == nil:
		return courseListen, nil
	case errors.Is(why, pki.ErrNotYetValid):
		// A host whose clock is not set yet, after a boot say, must not throw a
		// good set away.
		d.log.WithError(why).Warn("the installed certificates are not valid yet: waiting until they are; is this host's clock right?")
		return courseWait, nil
	case errors.Is(why, errCRL):
		// A good set is not thrown away for it, and a manager's list heals it.
		d.log.WithError(why).WithField("hint", contract.HintOf(why)).Error("no client is served until the CRL can be loaded: revoked certificates would not be recognized")
		return courseWait, nil
	case d.opt.url != "":
		return courseEnroll, nil
	}
	since, err := d.enroller.TakenOut(d.params())
	switch {
	case err != nil:
		return courseWait, err
	case since != nil:
		d.log.WithField("since", since.Format(time.RFC3339)).Warn(errTakenOut.Error())
		return courseWait, nil
	case d.hasManager():
		return courseEnroll, nil
	}
	return courseWait, contract.Errorf(contract.CodeConfig, "there is no valid certificate set to listen with (%w), and no manager to enroll with", why).
		WithHint("enroll with --enroll URL, or set enrollment.manager_url in %s", d.opt.config)
}

// progressText is one moment of a run in words.
func progressText(p converse.Progress, elapsed time.Duration, now time.Time) string {
	text := fmt.Sprintf("%s, %s", p.Phase, elapsed.Round(time.Second))
	if !p.Next.IsZero() {
		text += fmt.Sprintf(", next poll in %s", max(p.Next.Sub(now), 0).Round(time.Second))
	}
	if p.Attempts > 0 {
		text += fmt.Sprintf(", attempts %d", p.Attempts)
	}
	return text
}
