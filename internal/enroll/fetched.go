package enroll

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/statedir"
)

var (
	// errFetched says that somebody else has fetched the bundle for this host.
	errFetched = errors.New("the certificate set on disk is that of the request")
	// errNeverOurs says that a token was never that of a request of this host.
	errNeverOurs = errors.New("the token was never this host's")
)

// turned goes on after a manager has turned the request down, where there is a
// way.
func (r *run) turned(ctx context.Context, a *spooledAnswer, why error) error {
	switch {
	case errors.Is(why, errFetched) && contract.CodeOf(why) == contract.CodeInternal:
		return r.adoptSet(ctx, sourceOf(a.Answer).ip)
	case errors.Is(why, errNeverOurs) && contract.CodeOf(why) == contract.CodeInternal:
		r.res.Warn(fmt.Sprintf("the polling token that was found in %s is not known at %s and was never this host's: it is dropped, and a request is made", r.ConfigPath, r.URL))
		r.res.PendingSince, r.res.State = "", contract.StateAbsent
		return r.register(ctx)
	}
	return why
}

// fetched reports whether the certificates on disk are those of the request t:
// an agent of the deployed kind, which shares the token by config.yaml, may have
// fetched them. A manager then no longer knows the token.
func (r *run) fetched(t *statedir.Token) (bool, error) {
	if err := r.observeSet(); err != nil {
		return false, err
	}
	set := r.o.set
	if set == nil || r.o.unusable != nil || !set.Server.NotBefore.After(t.Since.Add(-pki.ClockTolerance)) {
		return false, nil //nolint:nilerr // a set that cannot serve was not fetched
	}
	if r.o.Provenance().Owns(r.ServerCert, statedir.Digest(r.o.cert.Content)) {
		return false, nil // that of an earlier request
	}
	known := r.o.Provenance().CAFingerprint
	if known != "" && known != pki.Fingerprint(set.CA.Raw) && !r.AllowCAChange {
		return false, nil
	}
	_, err := set.Verify(pki.VerifyOptions{Now: r.Now(), CAFingerprint: r.BundleCAFingerprint})
	return err == nil, nil
}

// adoptSet makes a set that another program has installed that of this host, and
// ends the request. ip is the manager's address.
func (r *run) adoptSet(ctx context.Context, ip netip.Addr) error {
	set := r.o.set
	err := r.o.Remember(func(p *statedir.Provenance) {
		for path, sum := range r.installedDigests() {
			if sum != "" {
				p.Place(path, sum)
			}
		}
		p.ManagerURL, p.CAFingerprint = r.URL.String(), pki.Fingerprint(set.CA.Raw)
		p.MachineID, p.FQDN, p.Removed = r.res.MachineID, r.res.FQDN, nil
		if ip.IsValid() {
			p.ManagerIP = ip.String()
		}
	})
	if err != nil {
		return err
	}
	r.res.Act("take over the certificate set that another agent has fetched with the polling token")
	r.res.Changed, r.res.PendingSince = true, ""
	r.audit(contract.EventProvisioned, map[string]string{"serial": set.Server.SerialNumber.Text(16), "ca_sha256": pki.Fingerprint(set.CA.Raw)})
	if err := r.endRequest(ctx); err != nil {
		return err
	}
	return r.converge(ctx)
}
