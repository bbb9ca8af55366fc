package enroll

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/pki"
)

// observed is what is on this host's disk.
type observed struct {
	ca, cert, key, crl hostfs.File
	// set is nil where the installed files are no certificate set at all.
	set *pki.Set
	// unusable says why the installed set cannot serve; nil where it can.
	unusable error
	warnings []string

	// crlRefreshed says that the agent fetches new CRLs.
	crlRefreshed bool

	token *tokenRecord
	// configToken is a token that stands in config.yaml.
	configToken string
	// requestAt is when a registration was sent whose answer is unknown.
	requestAt *time.Time
	// newToken is an answered registration that was not yet made the token.
	newToken *tokenRecord
	// pollAt is when a poll was sent whose answer is unknown.
	pollAt *time.Time
	// spool is an answer that was not yet put in place.
	spool      *spooled
	journal    *hostfs.Journal
	provenance provenance
	// machineID is this host's; empty where it cannot be read.
	machineID string
	// cloned is what another host's state directory brought to this one.
	cloned cloned
	// stale are temporary files that a killed run left.
	stale []string
}

// errMissing says that there is no certificate set to judge.
var errMissing = errors.New("certificate, key or CA is missing")

// observe reads everything that a decision hangs on. It changes nothing.
func (e *Enroller) observe(s *settings) (*observed, error) {
	o := &observed{crlRefreshed: s.config.Enrollment.ManagerURL != "", configToken: s.config.Enrollment.PollingToken}
	if o.configToken != "" {
		e.Secret(o.configToken)
	}
	var err error
	o.journal, err = e.Files.LoadJournal(s.state.journal)
	switch {
	case errors.Is(err, hostfs.ErrJournalDamaged):
		// Finish sets it aside.
		o.journal = &hostfs.Journal{}
	case err != nil:
		return nil, err
	}
	if err := e.observeSet(s, o); err != nil {
		return nil, err
	}
	if err := e.observeState(s, o); err != nil {
		return nil, err
	}
	if err := e.tellClonesApart(s, o); err != nil {
		return nil, err
	}
	o.stale, err = e.Files.StaleTemps(s.directories())
	return o, err
}

// directories are where this run may leave files.
func (s *settings) directories() []string {
	var dirs []string
	for _, p := range []string{s.caCert, s.serverCert, s.serverKey, s.crl, s.whitelist, string(s.ConfigPath), s.state.lock} {
		if dir := filepath.Dir(p); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func (e *Enroller) observeSet(s *settings, o *observed) error {
	for _, f := range []struct {
		path string
		to   *hostfs.File
	}{{s.caCert, &o.ca}, {s.serverCert, &o.cert}, {s.serverKey, &o.key}, {s.crl, &o.crl}} {
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
	o.set, o.warnings = nil, nil
	if !o.ca.Exists || !o.cert.Exists || !o.key.Exists {
		o.unusable = errMissing
		return
	}
	if o.set, o.unusable = pki.ParseFiles(o.ca.Content, o.cert.Content, o.key.Content, o.crl.Content); o.unusable != nil {
		o.set = nil
		return
	}
	o.warnings, o.unusable = o.set.Verify(pki.VerifyOptions{Now: now, CRLRefreshed: o.crlRefreshed})
}

func (e *Enroller) observeState(s *settings, o *observed) error {
	var err error
	if o.token, err = e.readToken(s.state.token); err != nil {
		return err
	}
	if o.newToken, o.requestAt, err = e.readRequest(s.state.request); err != nil {
		return err
	}
	state, record, at, err := e.Files.ReadSlot(s.state.spool)
	if err != nil {
		return err
	}
	switch state {
	case hostfs.SlotStored:
		o.spool = &spooled{}
		if err := decodeRecord(s.state.spool, record, o.spool); err != nil {
			return err
		}
	case hostfs.SlotPrepared, hostfs.SlotTorn:
		o.pollAt = &at
	case hostfs.SlotMissing:
	}
	file, err := e.Files.Read(s.state.provenance)
	if err != nil || !file.Exists {
		return err
	}
	if err := decodeRecord(s.state.provenance, file.Content, &o.provenance); err != nil {
		return err
	}
	o.provenance.relocate(func(path string) string {
		if place, _, err := e.Files.Resolve(path); err == nil {
			return place
		}
		return path
	})
	return nil
}

// readToken reads the saved token, if any.
func (e *Enroller) readToken(path string) (*tokenRecord, error) {
	file, err := e.Files.Read(path)
	if err != nil || !file.Exists {
		return nil, err
	}
	return e.decodeToken(path, file.Content)
}

func (e *Enroller) decodeToken(path string, raw []byte) (*tokenRecord, error) {
	t := &tokenRecord{}
	if err := decodeRecord(path, raw, t); err != nil {
		return nil, err
	}
	e.Secret(t.Token)
	if !managerclient.ValidToken(t.Token) {
		// Nobody can be asked with it, and it must not lock this host for ever.
		t.Dead, t.Final = contract.StateExpired, true
	}
	return t, nil
}

// readRequest reads the slot of a registration: the token that it brought, or
// the time since which it waits for one.
func (e *Enroller) readRequest(path string) (*tokenRecord, *time.Time, error) {
	state, raw, at, err := e.Files.ReadSlot(path)
	switch {
	case err != nil:
		return nil, nil, err
	case state == hostfs.SlotPrepared, state == hostfs.SlotTorn:
		return nil, &at, nil
	case state != hostfs.SlotStored:
		return nil, nil, nil
	}
	t, err := e.decodeToken(path, raw)
	return t, nil, err
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

// liveToken is the token that this manager may still honour.
func (o *observed) liveToken(managerURL string) *tokenRecord {
	for _, t := range []*tokenRecord{o.newToken, o.token} {
		if t != nil && t.Dead == "" && t.ManagerURL == managerURL {
			return t
		}
	}
	return nil
}

// enrolled tells whether a certificate set is installed, good or not.
func (o *observed) enrolled() bool { return o.set != nil }

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func encodeRecord(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, contract.Errorf(contract.CodeInternal, "a record cannot be encoded: %w", err)
	}
	return raw, nil
}
