package enroll

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/statedir"
)

// observed is what is on this host's disk.
type observed struct {
	ca, cert, key, crl hostfs.File
	// set is nil where the installed files are no certificate set at all.
	set *pki.Set
	// unusable says why the installed set cannot serve; nil where it can.
	unusable error
	warnings []string
	// crlProblem says why the CRL was left out of that; nil where it was not.
	crlProblem error

	// crlRefreshed says that the agent fetches new CRLs.
	crlRefreshed bool

	// configToken is a token that stands in config.yaml.
	configToken string
	// Store is the state directory.
	*statedir.Store
	// stale are temporary files that a killed run left.
	stale []string
}

// errMissing says that there is no certificate set to judge.
var errMissing = errors.New("certificate, key or CA is missing")

// observe reads everything that a decision hangs on. It changes nothing.
func (r *run) observe() error {
	o := &observed{crlRefreshed: r.Config.Enrollment.ManagerURL != "", configToken: r.Config.Enrollment.PollingToken}
	if o.configToken != "" {
		r.Secret(o.configToken)
	}
	var err error
	if o.Store, err = r.load(); err != nil {
		return err
	}
	if o.Theirs(o.configToken) {
		o.configToken = ""
	}
	if err := r.readSet(o); err != nil {
		return err
	}
	if o.stale, err = r.Files.StaleTemps(r.directories()); err != nil {
		return err
	}
	r.o = o
	return nil
}

// statePaths are the files of the run's state directory.
func (r *run) statePaths() statedir.Paths { return statedir.PathsIn(string(r.StateDir)) }

// load reads the state directory.
func (r *run) load() (*statedir.Store, error) {
	uid, gid := r.Accounts.Self()
	// A request fails by a machine-id that cannot be read, with a message.
	id, _ := r.Identity.MachineID()
	return statedir.Load(statedir.Options{
		Files: r.Files, Paths: r.statePaths(), UID: uid, GID: gid, MachineID: id, Now: r.Now, Secret: r.Secret, Check: r.Check,
	})
}

// directories are where this run may leave files.
func (r *run) directories() []string {
	var dirs []string
	for _, p := range []string{r.CACert, r.ServerCert, r.ServerKey, r.CRL, r.Whitelist, string(r.ConfigPath), r.statePaths().Lock} {
		if dir := filepath.Dir(p); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// observeSet reads and judges the installed set again.
func (r *run) observeSet() error { return r.readSet(r.o) }

func (r *run) readSet(o *observed) error {
	for _, f := range []struct {
		path string
		to   *hostfs.File
	}{{r.CACert, &o.ca}, {r.ServerCert, &o.cert}, {r.ServerKey, &o.key}, {r.CRL, &o.crl}} {
		file, err := r.Files.Read(f.path)
		if err != nil {
			return err
		}
		*f.to = file
	}
	o.judge(r.Now())
	return nil
}

// begun tells whether any of the files is there: without one, nothing is wrong,
// the host is just not enrolled.
func (o *observed) begun() bool { return o.ca.Exists || o.cert.Exists || o.key.Exists }

// files are the installed ones, in the order in which results list them.
func (o *observed) files() []*hostfs.File {
	return []*hostfs.File{&o.ca, &o.cert, &o.key, &o.crl}
}

// judge parses and verifies the installed set. Who the host is does not enter:
// that was judged when the set came, and a renamed host still has to serve.
func (o *observed) judge(now time.Time) {
	o.set, o.warnings, o.crlProblem = nil, nil, nil
	if !o.ca.Exists || !o.cert.Exists || !o.key.Exists {
		o.unusable = errMissing
		return
	}
	o.unusable = o.judgeWith(o.crl.Content, now)
	why := o.unusable
	if why == nil || !o.crl.Exists || errors.Is(why, pki.ErrRevoked) {
		return
	}
	set, warnings := o.set, o.warnings
	if err := o.judgeWith(nil, now); err == nil || set == nil && o.set != nil {
		o.unusable, o.crlProblem = err, why
		return
	}
	o.set, o.warnings = set, warnings
}

// judgeWith is judge with this CRL.
func (o *observed) judgeWith(crl []byte, now time.Time) (err error) {
	if o.set, err = pki.ParseFiles(o.ca.Content, o.cert.Content, o.key.Content, crl); err != nil {
		o.set = nil
		return err
	}
	o.warnings, err = o.set.Verify(pki.VerifyOptions{Now: now, CRLRefreshed: o.crlRefreshed})
	return err
}

// crlWarning says that the CRL cannot be used, and who brings another: it can be
// had again at any time, so the set stays.
func (o *observed) crlWarning() string {
	return fmt.Sprintf("%s cannot be used: %v; the certificates stay, but an agent that is started serves no client until the manager's current CRL is there "+
		"({manager_url}/api/v1/pki/crl.pem); linux_patch_api fetches it by itself", o.crl.Path, o.crlProblem)
}

// usable tells whether the installed set can serve from now on for longer than
// the time in which it is to be renewed. A certificate that was never valid for
// that long would be renewed for ever: the last third of its life is taken then.
func (o *observed) usable(now time.Time, renewBefore time.Duration) bool {
	if o.set != nil {
		if life := o.set.Server.NotAfter.Sub(o.set.Server.NotBefore); renewBefore >= life {
			renewBefore = life / 3
		}
	}
	return o.set != nil && o.unusable == nil && !o.set.ExpiresWithin(now, renewBefore)
}

// enrolled tells whether a certificate set is installed, good or not.
func (o *observed) enrolled() bool { return o.set != nil }
