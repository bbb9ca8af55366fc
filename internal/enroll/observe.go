package enroll

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/options"
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
func (e *Enroller) observe(s *options.Settings) (*observed, error) {
	o := &observed{crlRefreshed: s.Config.Enrollment.ManagerURL != "", configToken: s.Config.Enrollment.PollingToken}
	if o.configToken != "" {
		e.Secret(o.configToken)
	}
	var err error
	if o.Store, err = e.load(s); err != nil {
		return nil, err
	}
	if o.Theirs(o.configToken) {
		o.configToken = ""
	}
	if err := e.observeSet(s, o); err != nil {
		return nil, err
	}
	o.stale, err = e.Files.StaleTemps(directories(s))
	return o, err
}

// statePaths are the files of the run's state directory.
func statePaths(s *options.Settings) statedir.Paths { return statedir.PathsIn(string(s.StateDir)) }

// load reads the state directory.
func (e *Enroller) load(s *options.Settings) (*statedir.Store, error) {
	uid, gid := e.Accounts.Self()
	// A request fails by a machine-id that cannot be read, with a message.
	id, _ := e.Identity.MachineID()
	return statedir.Load(statedir.Options{
		Files: e.Files, Paths: statePaths(s), UID: uid, GID: gid, MachineID: id, Now: e.Now, Secret: e.Secret, Check: s.Check,
	})
}

// directories are where this run may leave files.
func directories(s *options.Settings) []string {
	var dirs []string
	for _, p := range []string{s.CACert, s.ServerCert, s.ServerKey, s.CRL, s.Whitelist, string(s.ConfigPath), statePaths(s).Lock} {
		if dir := filepath.Dir(p); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func (e *Enroller) observeSet(s *options.Settings, o *observed) error {
	for _, f := range []struct {
		path string
		to   *hostfs.File
	}{{s.CACert, &o.ca}, {s.ServerCert, &o.cert}, {s.ServerKey, &o.key}, {s.CRL, &o.crl}} {
		file, err := e.Files.Read(f.path)
		if err != nil {
			return err
		}
		*f.to = file
	}
	o.judge(e.Now())
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

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
