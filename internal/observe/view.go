// Package observe looks at a host: what is installed and whether it can serve,
// whose it is, what the state directory says, and what of it a result tells.
//
// It promises to change nothing and to ask no one. It does not decide what to do.
package observe

import (
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/report"
	"github.com/linux-patch/enroll/internal/statedir"
)

// View is one run's look at its host.
type View struct {
	*options.Settings
	Files    *hostfs.Host
	Accounts options.Accounts
	// MachineID reads this host's machine-id.
	MachineID func() (string, error)
	Now       func() time.Time
	// Secret is told each secret as soon as it is known.
	Secret func(string)
	Result *report.Result
	// InForce, where it is set, is the installed CRL under the CA of this file.
	InForce func(ca []byte) *pki.CRL
	// Disk is what was seen last; nil before.
	Disk *Disk
	// Sent is what this run told the manager; nil before that.
	Sent *statedir.Request
}

// Host is where this run's options are settled.
func (v *View) Host() options.Host { return options.Host{Files: v.Files, Accounts: v.Accounts} }

// ObserveAgain looks at the disk after a real run changed it.
func (v *View) ObserveAgain() error {
	if !v.Result.Changed {
		return nil
	}
	return v.Perform(plan.Step{Do: v.Observe})
}

// Perform performs a step of this run.
func (v *View) Perform(step plan.Step) error { return step.Perform(v.Check) }

// LiveToken is the token that the run's manager may still honour.
func (v *View) LiveToken() *statedir.Token {
	if v.URL == nil {
		return nil
	}
	return v.Disk.LiveToken(v.URL.String())
}

// Observe reads everything that a decision hangs on. It changes nothing.
func (v *View) Observe() error {
	o := &Disk{crlRefreshed: v.Config.Enrollment.Manager() != "", ConfigToken: v.Config.Enrollment.PollingToken}
	if o.ConfigToken != "" {
		v.Secret(o.ConfigToken)
	}
	var err error
	if o.Store, err = v.Load(); err != nil {
		return err
	}
	if o.Theirs(o.ConfigToken) {
		o.ConfigToken = ""
	}
	if err := v.readSet(o); err != nil {
		return err
	}
	if o.Stale, err = v.Files.StaleTemps(v.Directories()); err != nil {
		return err
	}
	v.Disk = o
	return nil
}

// StatePaths are the files of the run's state directory.
func (v *View) StatePaths() statedir.Paths { return statedir.PathsIn(string(v.StateDir)) }

// Load reads the state directory.
func (v *View) Load() (*statedir.Store, error) {
	uid, gid := v.Accounts.Self()
	// A request fails by a machine-id that cannot be read, with a message.
	id, _ := v.MachineID()
	return statedir.Load(statedir.Options{
		Files: v.Files, Paths: v.StatePaths(), UID: uid, GID: gid, MachineID: id, Now: v.Now, Secret: v.Secret, Check: v.Check,
	})
}

// Directories are where this run may leave files.
func (v *View) Directories() []string {
	paths := []string{v.CACert, v.ServerCert, v.ServerKey, v.CRL, v.Whitelist, string(v.ConfigPath), v.StatePaths().Lock}
	if v.RepoConfigManage {
		keyring, sources := v.RepoPaths()
		paths = append(paths, keyring, sources)
	}
	var dirs []string
	for _, p := range paths {
		if dir := filepath.Dir(p); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// ObserveSet reads and judges the installed set again.
func (v *View) ObserveSet() error { return v.readSet(v.Disk) }

func (v *View) readSet(o *Disk) error {
	for _, f := range []struct {
		path string
		to   *hostfs.File
	}{{v.CACert, &o.CA}, {v.ServerCert, &o.Cert}, {v.ServerKey, &o.Key}, {v.CRL, &o.CRL}} {
		read := v.Files.Read
		if f.to == &o.CRL && v.listInForce(o) {
			read = v.Files.Stat
		}
		file, err := read(f.path)
		if err != nil {
			return err
		}
		*f.to = file
	}
	o.judge(v.Now())
	return nil
}

// ActUnfinished says that the change of an interrupted run is finished.
func (v *View) ActUnfinished() {
	v.Result.Act(fmt.Sprintf("finish the change that an interrupted run began (%s)", v.StatePaths().Journal))
	v.Result.Changed = true
}

// ForeseeJournal lays the end state of a journal over what was observed.
func (v *View) ForeseeJournal() error {
	if v.Disk.Journal() == nil {
		return nil
	}
	v.ActUnfinished()
	end, err := v.Disk.Journal().EndState()
	if err != nil {
		return err
	}
	for _, f := range v.Disk.Files() {
		if after, ok := end[f.Path]; ok {
			*f = after
		}
	}
	v.Disk.judge(v.Now())
	return nil
}

// listInForce takes the list that an agent has in memory for a report.
func (v *View) listInForce(o *Disk) bool {
	if o.inForce = nil; v.Report && v.InForce != nil {
		o.inForce = v.InForce(o.CA.Content)
	}
	return o.inForce != nil
}
