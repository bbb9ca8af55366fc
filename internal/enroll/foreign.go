package enroll

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/statedir"
	"github.com/linux-patch/enroll/internal/whitelist"
)

// foreign says why the valid set that is installed is not counted as this
// host's enrollment; empty where it is. Provenance knows what enrollment put
// there. Of a set that was placed by hand, an option or the whitelist may say
// that it is this manager's.
func (r *run) foreign() string {
	o := r.o
	if o.set == nil || o.unusable != nil {
		return ""
	}
	ca := pki.Fingerprint(o.set.CA.Raw)
	known := o.Provenance().Knows(ca, o.cert.Path, statedir.Digest(o.cert.Content))
	switch {
	case o.ClonedSet() && known:
		return fmt.Sprintf("machine-id changed: the certificate set was issued to machine-id %s, and this host is %s", o.Provenance().MachineID, o.MachineID)
	case known || r.namedCA() == ca || r.letsIn(r.knownManagerIP()):
		return ""
	default:
		return fmt.Sprintf("the certificate set was not put there by enrollment (issuer %s, CA SHA-256 %s)", pki.FactsOf(o.set.CA).Subject, ca)
	}
}

// namedCA is bundle_ca_fingerprint in the form in which facts have it.
func (r *run) namedCA() string {
	fingerprint, err := fingerprintOf(r.BundleCAFingerprint)
	if err != nil {
		return ""
	}
	return fingerprint
}

// letsIn reports whether the whitelist has ip as an entry of its own: a network
// that happens to cover it says nothing of who manages this host.
func (r *run) letsIn(ip netip.Addr) bool {
	if !ip.IsValid() {
		return false
	}
	file, err := r.Files.Read(r.Whitelist)
	if err != nil {
		return false
	}
	list, err := whitelist.Parse(file.Content)
	return err == nil && list.Names(ip)
}

// leaveForeign ends a run on a host whose set is somebody else's: near its
// expiry too it is theirs to renew.
func (r *run) leaveForeign(why string) error {
	r.res.State = contract.StateForeign
	r.res.Warn(r.o.warnings...)
	r.res.Msg = fmt.Sprintf("%s; it is valid until %s, nothing was changed and no manager was asked; %s",
		why, r.o.set.Server.NotAfter.UTC().Format("2006-01-02 15:04 MST"), r.takeOverHint())
	return nil
}

// takeOverHint says how a foreign set becomes this host's enrollment.
func (r *run) takeOverHint() string {
	if r.o.ClonedSet() {
		return "set force to enroll this host by its own machine-id"
	}
	return fmt.Sprintf("if it is this manager's, set bundle_ca_fingerprint to %s; to enroll in its place set force, and allow_ca_change if the manager's CA is another",
		pki.Fingerprint(r.o.set.CA.Raw))
}

// managerKnows reports whether the manager has issued certificates for this
// host, by what enrollment recorded. What is on disk now says nothing of it.
func (r *run) managerKnows() bool {
	p := r.o.Provenance()
	return p.CAFingerprint != "" && !r.o.ClonedSet() && (p.ManagerURL == "" || p.ManagerURL == r.URL.String())
}

// warnRenewBefore says so where renew_before is not what is gone by.
func (r *run) warnRenewBefore() []string {
	if r.o.set == nil {
		return nil
	}
	life := r.o.set.Server.NotAfter.Sub(r.o.set.Server.NotBefore)
	if r.RenewWithin < life {
		return nil
	}
	return []string{fmt.Sprintf("renew_before (%s) is not shorter than the certificate's whole life (%s): it is renewed in the last third, %s before its end",
		days(r.RenewWithin), days(life), days(life/3))}
}

// days shows a long time span so that it can be compared with an option.
func days(d time.Duration) string {
	const day = 24 * time.Hour
	if d < 2*day {
		return d.Round(time.Second).String()
	}
	return fmt.Sprintf("%dd", (d+day/2)/day)
}
