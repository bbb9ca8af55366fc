package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/whitelist"
)

// goneFor is how long a set may be missing, while someone replaces it by hand
// say, before the daemon stops listening.
const goneFor = time.Second

// reload loads what has changed on disk.
func (a *agent) reload(ctx context.Context) error {
	a.readWhitelist()
	err := a.take()
	switch {
	case err == nil && !a.listener.listening() && !(a.enrolling && a.placing.Load()):
		return a.listen(ctx)
	case errors.Is(err, errTaken) && a.listener.listening():
		return a.taken(ctx)
	}
	return nil
}

// take puts the installed set in service where it is another one and good. An
// error is why there is nothing to serve, or why what is there was refused.
func (a *agent) take() error {
	files, digest, err := a.installed.read()
	before := a.listener.set.Load()
	if err == nil && before != nil && digest == a.serving {
		a.goneAt = time.Time{}
		a.refuse([sha256.Size]byte{}, nil)
		return nil
	}
	var set *served
	if err == nil {
		set, err = a.installed.load(files, a.now())
	}
	a.noCRL.Store(errors.Is(err, errCRL))
	switch {
	case errors.Is(err, errTaken):
		return err
	case err != nil:
		// At the start, begin tells.
		if digest != a.refused && a.state != "" {
			a.log.WithError(err).WithField("serving_on", before != nil).Error("the certificates on disk are refused")
		}
		a.refuse(digest, err)
		return err
	}
	a.serving, a.refused, a.badSet, a.goneAt = digest, [sha256.Size]byte{}, nil, time.Time{}
	for _, w := range set.warnings {
		a.log.Warn(w)
	}
	if before == nil || before.facts.Fingerprint != set.facts.Fingerprint {
		a.since = a.now()
	}
	a.listener.set.Store(set)
	if set.crlProblem != nil {
		a.log.WithError(set.crlProblem).Error("the CRL on disk is refused, the last one that could be loaded stays in force")
	}
	if before != nil && before.crl != nil && set.crl == nil {
		a.log.WithField("path", a.paths.CRL).Warn("the CRL is gone: no client certificate is refused as revoked any more; put the manager's CRL there again")
	}
	if before != nil {
		a.log.WithFields(set.fields()).Info("new certificates or CRL are in service")
		a.writeStatus()
		a.tellSystemd(a.listeningStatus())
	}
	return nil
}

// refuse notes what on disk is refused, no error for nothing, and has the status say so.
func (a *agent) refuse(digest [sha256.Size]byte, why error) {
	changed := digest != a.refused
	a.refused, a.badSet = digest, why
	if changed && a.state != "" {
		a.writeStatus()
	}
}

// taken deals with a set that has gone: someone may be replacing it by hand, so
// the listener ends only where it stays away.
func (a *agent) taken(ctx context.Context) error {
	now := time.Now()
	if a.goneAt.IsZero() {
		a.goneAt = now
	}
	if left := goneFor - now.Sub(a.goneAt); left > 0 {
		a.again = time.After(left)
		return nil
	}
	a.log.Warn("certificate files were removed: not listening until a valid set is installed")
	err := a.listener.close()
	a.listener.set.Store(nil)
	a.goneAt = time.Time{}
	if err != nil {
		return fmt.Errorf("%w: %w", errListener, err)
	}
	a.recoverSet(ctx)
	return nil
}

// recoverSet enrolls a host again whose set has gone, where a manager is set and
// no one has removed the enrollment.
func (a *agent) recoverSet(ctx context.Context) {
	since, err := a.enroller.TakenOut(a.params())
	switch {
	case err != nil:
		a.log.WithError(err).WithField("hint", contract.HintOf(err)).Error("whether this host is to be enrolled again cannot be told")
		a.rest(fmt.Sprintf("waiting for valid certificates: %v", err))
	case since != nil:
		a.rest(removedHost)
	case a.hasManager():
		a.enroll(ctx)
	default:
		a.rest("waiting for valid certificates: their files were removed and no manager is set; put a set in place, or set enrollment.manager_url and restart")
	}
}

// readWhitelist puts the whitelist in force where it has changed. A file that
// is none leaves the list before it in force, at the start that of no one; a
// single entry that makes no sense lets no one in, and does not keep what was
// taken out in force.
func (a *agent) readWhitelist() {
	file, err := a.installed.files.Read(a.paths.Whitelist)
	sum := sha256.Sum256(file.Content)
	digest := sum[:]
	if err == nil && bytes.Equal(a.list, digest) {
		return
	}
	var list *whitelist.List
	if err == nil {
		list, err = whitelist.Parse(file.Content)
	}
	if err != nil {
		a.log.WithError(err).WithField("path", a.paths.Whitelist).Error("the whitelist is refused, what was in force stays so")
		if a.list = digest; !file.Exists {
			a.list = nil
		}
		err = fmt.Errorf("%s: %w", a.paths.Whitelist, err)
	}
	a.badList = err
	if a.state != "" {
		defer a.writeStatus()
	}
	if err != nil {
		return
	}
	a.list = digest
	for _, e := range list.Invalid {
		a.log.WithFields(logrus.Fields{"path": a.paths.Whitelist, "line": e.Line, "entry": e.Text}).Error("no IP address, CIDR network or host name: this entry lets no one in")
	}
	a.door.admit(list)
	if _, entries := a.door.entries(0); entries > 0 {
		a.log.WithField("entries", entries).Info("the whitelist is in force")
	} else {
		a.log.WithField("path", a.paths.Whitelist).Warn("the whitelist is missing or empty: no one may connect")
	}
}

// readConfigAgain applies the log level; the rest needs a restart.
func (a *agent) readConfigAgain() {
	cfg, err := a.readConfig()
	if err != nil {
		a.log.WithError(err).Error("the configuration is refused, what was in force stays so")
		return
	}
	a.setLevel(cfg)
	if paths, _, err := a.enroller.Host().LocateAll(a.opt.config, cfg.Paths()); err != nil || paths != a.paths || !slices.Equal(a.listenAddresses(cfg), a.daemon.listen) {
		a.log.Warn("the configuration names other paths or another address: restart the agent to use them")
	}
}
