package daemon

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/converse"
	"github.com/linux-patch/enroll/internal/identity"
	"github.com/linux-patch/enroll/internal/report"
)

// lostAfter is how long lost log lines are gathered before the status tells.
const lostAfter = time.Second

// agent is the daemon while it runs: everything here belongs to its one loop.
type agent struct {
	*daemon
	installed *installed
	listener  *listener
	door      *door
	status    statusFile

	// state is what the status file says, since is when the set in service was
	// taken up.
	state string
	since time.Time
	// why says, for a person, why the agent is idle.
	why string
	// serving and refused are digests of the files in service, and of those
	// that were found wanting last. The latter are judged at every look, since
	// time may heal them, and are told of once.
	serving, refused [sha256.Size]byte
	// badSet and badList say why the set and the whitelist on disk are refused.
	badSet, badList error
	// goneAt is when the set was found missing; zero while it is there.
	goneAt time.Time
	// again asks for another look at files that are missing.
	again <-chan time.Time
	// lost is when the status is to tell of lost log lines.
	lost <-chan time.Time
	// list is a digest of the whitelist file as it was read last, nil where it
	// could not be read.
	list []byte
	// enrolling says that the first enrollment is under way, also while a set
	// serves that someone has put in place meanwhile; enrolled brings its end.
	enrolling bool
	enrolled  chan *report.Result
	// placing says that it puts its set in place, and the whitelist after that.
	placing atomic.Bool
	// renewing begins renewal, which is for a host that listens.
	renewing sync.Once
	// asks says that renewal asks the manager; asksChanged that it says so anew.
	asks        atomic.Bool
	asksChanged chan struct{}
	// noCRL says that the set on disk is fine but for its CRL.
	noCRL atomic.Bool
	// background are the goroutines that end with the run.
	background sync.WaitGroup
}

func (d *daemon) newAgent() *agent {
	door := newDoor(d.env.LookupIP, d.log)
	return &agent{
		daemon:    d,
		installed: newInstalled(d.enroller.Files, d.paths),
		door:      door,
		listener: &listener{
			door: door, log: newSparse(d.log), now: d.now, version: d.env.Version, started: time.Now(),
			host: sync.OnceValue(d.hostInfo),
		},
		status:   statusFile{files: d.enroller.Files, path: d.opt.statusFile},
		enrolled: make(chan *report.Result, 1),

		asksChanged: make(chan struct{}, 1),
	}
}

// hostInfo finds out what this host is, as far as that can be told.
func (d *daemon) hostInfo() contract.SystemInfo {
	ctx, cancel := context.WithTimeout(context.Background(), resolveWithin)
	defer cancel()
	host, _, err := d.enroller.Identity.Gather(ctx, identity.Options{})
	if err != nil {
		d.log.WithError(err).Debug("what this host is cannot be told in full")
	}
	return contract.SystemInfo{
		Hostname: host.Hostname, FQDN: host.FQDN, MachineID: host.MachineID,
		OS: host.OS.Name, OSVersion: host.OS.Version, Kernel: host.OS.Kernel, Architecture: host.OS.Architecture,
	}
}

// run is the daemon's life.
func (d *daemon) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	a := d.newAgent()
	d.enroller.InForce = a.listener.inForce
	d.finishKilledRun(ctx)
	if err := a.status.sweep(); err != nil {
		d.log.WithError(err).Warn("a temporary file of the status file was left behind")
	}
	a.readWhitelist()

	changed := make(chan struct{}, 1)
	a.background.Go(func() { a.door.resolve(ctx) })
	a.background.Go(func() {
		watch(ctx, d.log, []string{d.paths.CACert, d.paths.ServerCert, d.paths.ServerKey, d.paths.CRL, d.paths.Whitelist}, changed)
	})
	err := a.begin(ctx)
	if a.hasManager() {
		a.background.Go(func() { a.refresher().run(ctx) })
	}
	if err == nil {
		err = a.loop(ctx, changed)
	}
	return errors.Join(err, a.end(func() { stop(err); a.background.Wait() }))
}

// begin listens, or enrolls first, or waits for certificates.
func (a *agent) begin(ctx context.Context) error {
	why := a.take()
	next, err := a.course(why)
	switch {
	case err != nil:
		return err
	case next == courseListen:
		return a.listen(ctx)
	case next == courseWait:
		a.rest(waitingFor(why))
		return nil
	}
	if !errors.Is(why, errTaken) {
		a.log.WithError(why).Warn("the installed certificates cannot serve")
	}
	a.enroll(ctx)
	return nil
}

// enroll enrolls in the background, for a host that has nothing to serve with.
func (a *agent) enroll(ctx context.Context) {
	a.state = stateEnrolling
	a.writeStatus()
	// The service works from here on; that no one has approved is no failure,
	// and a start that waits for it would hold up the boot.
	a.tellSystemd("READY=1", statusLine("enrolling"))
	a.announce(ctx)
	if a.enrolling {
		// A set that was put in place by hand, and removed again meanwhile.
		return
	}
	a.enrolling = true
	a.background.Go(func() {
		a.enrolled <- a.watched(ctx, func(report func(converse.Progress)) *report.Result { return a.enrollFirst(ctx, report) })
	})
}

// loop waits for what happens, until ctx ends or the daemon can't go on.
func (a *agent) loop(ctx context.Context, changed <-chan struct{}) error {
	var alive <-chan time.Time
	if a.notify.watchdog > 0 {
		ticker := time.NewTicker(a.notify.watchdog / 2)
		defer ticker.Stop()
		alive = ticker.C
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			a.log.WithField("cause", context.Cause(ctx)).Info("stopping")
			return nil
		case <-alive:
			a.tellSystemd("WATCHDOG=1")
		case err = <-a.listener.ended:
			a.listener.ended <- nil
			if err != nil {
				err = fmt.Errorf("%w: %w", errListener, err)
			}
		case res := <-a.enrolled:
			err = a.afterEnrollment(ctx, res)
		case <-a.env.Hangup:
			a.tellSystemd(reloading()...)
			a.log.Info("SIGHUP: reading everything again")
			a.readConfigAgain()
			err = a.reload(ctx)
			a.tellSystemd("READY=1")
		case <-changed:
			err = a.reload(ctx)
		case <-a.again:
			a.again = nil
			err = a.reload(ctx)
		case <-a.out.changed:
			// Not each one: they come by the thousand.
			if a.lost == nil {
				a.lost = time.After(lostAfter)
			}
		case <-a.asksChanged:
			a.writeStatus()
		case <-a.lost:
			a.lost = nil
			a.writeStatus()
		}
		if err != nil {
			return err
		}
	}
}

func (a *agent) afterEnrollment(ctx context.Context, res *report.Result) error {
	a.enrolling = false
	switch {
	case !res.Failed:
		a.log.Info(res.Msg)
	case res.Error.Code == contract.CodeInterrupted:
		// The loop ends with the context that stopped the run.
		a.log.Info(res.Msg)
		return nil
	case a.listener.listening():
		// On a set that someone has put in place meanwhile. What is left of the
		// request is for renewal to deal with.
		a.failed(res)
		a.renewFromNowOn(ctx)
		return nil
	case errors.Is(res.Err, errTakenOut):
		a.log.Warn(res.Msg)
		a.rest(removedHost)
		return nil
	default:
		return errFailed(res)
	}
	a.readWhitelist()
	err := a.take()
	switch {
	case a.listener.listening():
		a.writeStatus()
		a.renewFromNowOn(ctx)
		return nil
	case err != nil:
		return contract.Errorf(contract.CodeBundleInvalid, "enrolled, but the certificates cannot serve: %w", err)
	}
	return a.listen(ctx)
}

// removedHost says what to do with a host whose enrollment was removed.
const removedHost = "waiting for valid certificates: this host's enrollment was removed; " +
	"enroll it with the module, or start the agent with --enroll"

// waitingFor says why the agent does not listen.
func waitingFor(why error) string {
	if errors.Is(why, errCRL) {
		return fmt.Sprintf("no client is served: %v", why)
	}
	return "waiting for valid certificates"
}

// rest is the state without certificates: alive, and watching for some.
func (a *agent) rest(why string) {
	a.state, a.why = stateIdle, why
	a.writeStatus()
	a.tellSystemd("READY=1", statusLine("%s", why))
}

func (a *agent) listen(ctx context.Context) error {
	if err := a.listener.open(ctx, a.daemon.listen); err != nil {
		return err
	}
	set := a.listener.set.Load()
	a.state = stateListening
	a.log.WithFields(set.fields()).WithField("listen", a.listener.address()).Info("listening with mutual TLS")
	err := a.enroller.Audit(a.paths.AuditLog).Record(contract.EventMTLS, map[string]string{
		"listen": a.listener.address(), "fingerprint": set.facts.Fingerprint,
	})
	if err != nil {
		a.log.WithError(err).Warn("the audit log was not written")
	}
	a.writeStatus()
	a.tellSystemd("READY=1", a.listeningStatus())
	if !a.enrolling {
		a.renewFromNowOn(ctx)
	}
	return nil
}

func (a *agent) renewFromNowOn(ctx context.Context) {
	a.renewing.Do(func() {
		r := a.renewer()
		r.asking = a.noteAsking
		a.background.Go(func() { r.run(ctx) })
	})
}

// noteAsking has the loop say in the status whether the manager is asked.
func (a *agent) noteAsking(asks bool) {
	a.asks.Store(asks)
	poke(a.asksChanged)
}

func (s *served) fields() logrus.Fields {
	return logrus.Fields{
		"fingerprint": s.facts.Fingerprint, "not_after": s.facts.NotAfter.Format(time.RFC3339), "revoked": s.revoked(),
	}
}

func (a *agent) listeningStatus() string {
	return statusLine("listening on %s, certificate valid until %s",
		a.listener.address(), a.listener.set.Load().facts.NotAfter.Format(time.DateOnly))
}

func (a *agent) writeStatus() {
	s := status{PID: os.Getpid(), Version: a.env.Version, State: a.state, Asking: a.enrolling || a.asks.Load()}
	s.Whitelist, s.WhitelistEntries = a.door.entries(maxStatusEntries)
	s.Problem = a.problem()
	if a.out.Outlet != nil {
		s.LogLinesLost = a.out.Lost()
	}
	if set := a.listener.set.Load(); set != nil && a.listener.listening() {
		since, notAfter := a.since.UTC(), set.facts.NotAfter
		s.Listen, s.Fingerprint, s.Since, s.NotAfter = a.listener.address(), set.facts.Fingerprint, &since, &notAfter
		s.CRL = statusOfCRL(set)
	}
	if err := a.status.write(s); err != nil {
		a.log.WithError(err).Warn("the status file was not written")
	}
}

// problem says all that someone has to look at.
func (a *agent) problem() string {
	var all []string
	say := func(what string, err error) {
		if err != nil {
			all = append(all, what+": "+err.Error())
		}
	}
	if a.state == stateIdle {
		all = append(all, a.why)
	}
	if set := a.listener.set.Load(); set != nil && a.listener.listening() {
		say("the certificates on disk are refused, those before them stay in service", a.badSet)
		say("the last CRL stays in force", set.crlProblem)
	}
	say("the whitelist is refused, what was in force stays so", a.badList)
	return strings.Join(all, "; ")
}

func (a *agent) tellSystemd(lines ...string) {
	if err := a.notify.send(lines...); err != nil {
		a.log.WithError(err).Debug("systemd was not told")
	}
}

// end closes down: answers under way are finished while the background stops.
func (a *agent) end(stop func()) error {
	a.tellSystemd("STOPPING=1")
	err := a.listener.close()
	stop()
	select {
	case res := <-a.enrolled:
		a.log.Info(res.Msg)
	default:
	}
	if a.state != "" {
		if err := a.status.remove(); err != nil {
			a.log.WithError(err).Warn("the status file was left behind")
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errListener, err)
	}
	return nil
}
