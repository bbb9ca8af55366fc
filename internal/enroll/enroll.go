// Package enroll is the use case: a host says who it is, waits until an
// administrator approves, receives its certificates, puts them in place and
// lets the manager in.
//
// One run goes one way: settle the options, take the lock, observe the disk,
// decide, ask the manager where that is needed, plan, and apply. Check mode is
// the same run, whose steps say what they would do (plan.Step).
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
	"net/netip"
	"net/url"
	"time"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/audit"
	"github.com/linux-patch/enroll/internal/converse"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/install"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/observe"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/report"
)

// Enroller runs enrollments on one host. All its fields are needed.
type Enroller struct {
	Files *hostfs.Host
	// Given is where files are read from that an option names and that this
	// program only reads; links are followed there.
	Given    afero.Fs
	Identity converse.Identity
	Accounts options.Accounts
	Dial     func(managerclient.Options) (converse.ManagerClient, error)
	Audit    func(path string) audit.Recorder
	// LookupIP is that of net.Resolver; nil finds nothing.
	LookupIP func(ctx context.Context, network, host string) ([]netip.Addr, error)
	Now      func() time.Time
	// Rand is uniform in [0, 1); it spreads polls.
	Rand func() float64
	// Secret is told each secret as soon as it is known.
	Secret func(string)
	// Progress is told each phase of a run; nothing waits for it.
	Progress func(converse.Progress)
	// InForce, where it is set, is the installed CRL under the CA of this file, for
	// a report: an agent has it in memory, and a large one is not read again.
	InForce func(ca []byte) *pki.CRL
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
		InForce: e.InForce,
	}
	return &run{&converse.Conversation{
		Installer: &install.Installer{View: view, Audit: e.Audit, LookupIP: e.LookupIP},
		Dial:      e.Dial, Identity: e.Identity, Given: e.Given, Rand: e.Rand, Progress: e.Progress, Program: e.Program,
	}}
}

// CheckClient finds what is wrong with what the manager is asked with: trust, pin,
// proxy. It returns the manager's URL.
func (e *Enroller) CheckClient(p options.Params) (*url.URL, error) {
	s, err := e.Host().Settle(p)
	if err != nil {
		return nil, err
	}
	r := e.run(s, report.New())
	if err = r.Observe(); err == nil {
		_, err = r.Client()
	}
	return s.URL, err
}

// TakenOut is when this host's enrollment was removed, where no one
// has begun another one since; nil where not. The agent does not enroll such
// a host by itself.
func (e *Enroller) TakenOut(p options.Params) (*time.Time, error) {
	s, err := e.Host().Settle(p)
	if err != nil {
		return nil, err
	}
	store, err := e.run(s, nil).Load()
	if err != nil || store.Requested() {
		return nil, err
	}
	return store.Provenance().Removed, nil
}
