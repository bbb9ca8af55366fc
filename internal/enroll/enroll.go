// Package enroll is the use case: a host says who it is, waits until an
// administrator approves, receives its certificates, puts them in place and
// lets the manager in.
//
// One run goes one way: settle the options, take the lock, observe the disk,
// decide, ask the manager where that is needed, plan, and apply. Check mode is
// the same run without requests and without apply, so its diff cannot differ
// from what a real run does.
//
// What it promises: an answer of the manager is on disk before it is judged; a
// token or bundle that was stored is used before anything new is asked for; a
// run that was killed is finished by the next. What it does not: it cannot
// close the moment between the manager's act and the arrival of its answer on
// disk. It marks that moment on disk before each request, so that the next run
// can say what happened.
package enroll

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/audit"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/converse"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/install"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/observe"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/ownership"
	"github.com/linux-patch/enroll/internal/pace"
	"github.com/linux-patch/enroll/internal/report"
)

// What a run asks for and tells, where it talks with the manager.
type (
	// ManagerClient asks one manager.
	ManagerClient = converse.ManagerClient
	// Identity finds out who this host is.
	Identity = converse.Identity
	// Progress is one moment of a run, for whoever watches it.
	Progress = converse.Progress
	// Phase is a part of a run.
	Phase = converse.Phase
	// Auditor writes the audit log.
	Auditor = audit.Recorder
)

// The phases of a run.
const (
	PhaseRegister  = converse.PhaseRegister
	PhaseWait      = converse.PhaseWait
	PhasePoll      = converse.PhasePoll
	PhaseProvision = converse.PhaseProvision
)

// Enroller runs enrollments on one host. All its fields are needed.
type Enroller struct {
	Files *hostfs.Host
	// Given is where files are read from that an option names and that this
	// program only reads; links are followed there.
	Given    afero.Fs
	Identity Identity
	Accounts options.Accounts
	Dial     func(managerclient.Options) (ManagerClient, error)
	Audit    func(path string) Auditor
	// LookupIP is that of net.Resolver; nil finds nothing.
	LookupIP func(ctx context.Context, network, host string) ([]netip.Addr, error)
	Now      func() time.Time
	// Rand is uniform in [0, 1); it spreads polls.
	Rand func() float64
	// Secret is told each secret as soon as it is known.
	Secret func(string)
	// Progress is told each phase of a run; nothing waits for it.
	Progress func(Progress)
	// Program is the name and version that managers and the audit log see.
	Program string
}

// Host is where this run's options are settled.
func (e *Enroller) Host() options.Host { return options.Host{Files: e.Files, Accounts: e.Accounts} }

// run is one run of the use case.
type run struct{ *converse.Conversation }

// run makes a run of the settings, which tells what it does to res.
func (e *Enroller) run(s *options.Settings, res *report.Result) *run {
	view := &observe.View{
		Settings: s, Files: e.Files, Accounts: e.Accounts, MachineID: e.Identity.MachineID, Now: e.Now, Secret: e.Secret, Result: res,
	}
	return &run{&converse.Conversation{
		Installer: &install.Installer{View: view, Audit: e.Audit, LookupIP: e.LookupIP},
		Dial:      e.Dial, Identity: e.Identity, Given: e.Given, Rand: e.Rand, Progress: e.Progress, Program: e.Program,
	}}
}

// Run brings the host to p.State as far as it can, and says what it did.
func (e *Enroller) Run(ctx context.Context, p options.Params) *report.Result {
	res := report.New()
	if p.TakeOwnership {
		files, err := ownership.Taker{Files: e.Files, Accounts: e.Accounts, Audit: e.Audit}.Take(ctx, p, res)
		if err != nil {
			res.Fail(err)
			return res
		}
		owning := *e
		owning.Files, e = files, &owning
	}
	s, err := e.Host().Settle(p)
	if err != nil {
		res.Fail(err)
		return res
	}
	r := e.run(s, res)
	res.Warn(s.Warnings...)
	if p.WaitTimeout > 0 {
		r.Deadline = e.Now().Add(time.Duration(p.WaitTimeout))
	}
	if err := r.goOn(ctx); err != nil {
		err = r.explain(ctx, err)
		if failed := (*managerclient.RequestError)(nil); errors.As(err, &failed) {
			res.RetryAfter = askedToWait(failed)
		}
		res.Fail(err)
		r.Record(contract.EventFailed, map[string]string{"code": string(contract.CodeOf(err)), "reason": err.Error()})
	}
	r.Describe()
	return res
}

// askedToWait is how long a manager that refused for now asks to wait.
func askedToWait(failed *managerclient.RequestError) time.Duration {
	if failed.RetryAfter == 0 && failed.Err.Code == contract.CodeRateLimited {
		return pace.RateLimit
	}
	return failed.RetryAfter
}

func (r *run) goOn(ctx context.Context) error {
	if r.State != string(contract.StateAbsent) && !r.byHand() {
		if err := r.NeedURL(); err != nil {
			return err
		}
	}
	lock, err := r.lock(ctx, lockExisting)
	if err != nil {
		return r.busy(err)
	}
	// The lock is replaced below; the last one held is the one to give back.
	defer func() { lock.Unlock() }()
	if err = r.Observe(); err != nil {
		return err
	}
	if lock == nil && !r.Check {
		if settled, err := r.settled(ctx); err != nil || settled {
			return err
		}
		if lock, err = r.lock(ctx, lockCreate); err != nil {
			return r.busy(err)
		}
		if err = r.Observe(); err != nil {
			return err
		}
	}
	if err := r.finishKilledRun(ctx); err != nil {
		return err
	}
	if r.State == string(contract.StateAbsent) {
		return r.Remove(ctx)
	}
	if err := r.RefuseForeign(); err != nil {
		return err
	}
	return r.take(ctx, r.decide())
}

// explain makes an interrupted run's error say so.
func (r *run) explain(ctx context.Context, err error) error {
	if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	reason := "a signal"
	// A signal's cause is the signal's name, and is context.Canceled too.
	if cause := context.Cause(ctx); cause != nil && cause.Error() != context.Canceled.Error() {
		reason = cause.Error()
	}
	return contract.Errorf(contract.CodeInterrupted, "stopped by %s; %s", reason, r.kept())
}

// kept says what a run that ends early leaves for the next one.
func (r *run) kept() string {
	switch {
	case r.Disk != nil && r.Disk.Spool() != nil:
		return "the bundle is kept, the next run puts it in place"
	case r.Doubted:
		return "the token of the earlier request is kept, the next run asks with it once more"
	case r.Disk != nil && r.LiveToken() != nil:
		return "the request and its token are kept, the next run goes on with them"
	case r.Disk != nil && r.Disk.RequestAt() != nil:
		return fmt.Sprintf("a request of %s was sent and its answer lost: the manager may hold it, and the next run says so if it does",
			r.Disk.RequestAt().UTC().Format(time.RFC3339))
	default:
		return "this run has made no request"
	}
}
