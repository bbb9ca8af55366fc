package enroll

import (
	"context"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/hostname"
	"github.com/linux-patch/enroll/internal/plan"
)

// settled tells whether there is nothing at all to do, and then says so in the
// result. It is the path that runs most: a few reads, no lock, no request.
func (r *run) settled(ctx context.Context) (bool, error) {
	if r.o.Journal() != nil || len(r.o.stale) > 0 || r.o.Cloned() {
		return false, nil
	}
	if r.State == string(contract.StateAbsent) {
		if r.leftAnything() {
			return false, nil
		}
		return true, r.remove(ctx)
	}
	switch next := r.decide(); next {
	case stepConverge:
	case stepForeign:
		return true, r.take(ctx, next)
	default:
		return false, nil
	}
	if err := r.refuseForeign(); err != nil {
		return false, err
	}
	repairs, admit, err := r.planRepairs()
	if err != nil || len(repairs) > 0 || admit != nil {
		return false, err
	}
	if _, needed := r.planConfigURL(ctx); needed {
		return false, nil
	}
	if err := r.confirm(); err != nil {
		return true, err
	}
	return true, r.conclude(ctx)
}

// planRepairs compares the attributes of a good set and the whitelist with
// what they shall be. admit is nil where the manager is let in.
func (r *run) planRepairs() (attributes []plan.Change, admit *plan.Change, err error) {
	r.warnOpenSet()
	for _, d := range r.desired(nil) {
		if c, changed := plan.Compare(d.before, d.after); changed {
			attributes = append(attributes, c)
		}
	}
	if r.State == string(contract.StateRegistered) {
		return attributes, nil, nil
	}
	change, changed, err := r.planWhitelist(r.knownManagerIP())
	if changed {
		admit = &change
	}
	return attributes, admit, err
}

// confirm says that a good set is installed, and what there is to say of it.
func (r *run) confirm() error {
	r.res.State = contract.StateEnrolled
	r.res.Warn(r.o.warnings...)
	if r.o.crlProblem != nil {
		r.res.Warn(r.o.crlWarning())
	}
	r.res.Warn(r.warnRenewBefore()...)
	r.warnOtherManager()
	return r.compareFQDN()
}

// converge repairs what is wrong around a good set. It asks no manager.
func (r *run) converge(ctx context.Context) error {
	if err := r.confirm(); err != nil {
		return err
	}
	repairs, admit, err := r.planRepairs()
	if err != nil {
		return err
	}
	for _, c := range repairs {
		if !r.Check {
			if err := r.Files.SetAttributes(c.After.Path, attributesOf(c.After)); err != nil {
				return err
			}
		}
		r.res.Show(c)
	}
	if admit != nil {
		if !r.Check {
			if err := r.applyWhitelist(ctx, r.knownManagerIP()); err != nil {
				return err
			}
		}
		r.res.Show(*admit)
	}
	return r.conclude(ctx)
}

// conclude ends a run on a host where nothing is left to repair.
func (r *run) conclude(ctx context.Context) error {
	if r.State != string(contract.StateRegistered) {
		if err := r.tellAgent(ctx); err != nil {
			return err
		}
	}
	if err := r.observeAgain(); err != nil {
		return err
	}
	r.res.Msg = fmt.Sprintf("this host is enrolled; its certificate is valid until %s", r.o.set.Server.NotAfter.UTC().Format("2006-01-02 15:04 MST"))
	return nil
}

// observeAgain looks at the disk after a real run changed it.
func (r *run) observeAgain() error {
	if r.Check || !r.res.Changed {
		return nil
	}
	return r.observe()
}

// knownManagerIP is the manager's address without asking anyone: the option,
// then the peer that delivered the bundle, then an address in the URL itself.
// Names are not resolved: a DNS answer that moves would make `changed` flap.
func (r *run) knownManagerIP() netip.Addr {
	if r.ManagerAddr.IsValid() {
		return r.ManagerAddr
	}
	if ip, err := netip.ParseAddr(r.o.Provenance().ManagerIP); err == nil {
		return ip
	}
	if r.URL != nil {
		if ip, err := netip.ParseAddr(r.URL.Hostname()); err == nil && ip.Zone() == "" {
			return ip.Unmap()
		}
	}
	return netip.Addr{}
}

func (r *run) warnOtherManager() {
	from := r.o.Provenance().ManagerURL
	if from != "" && r.URL != nil && from != r.URL.String() && r.BundlePath == "" {
		r.res.Warn(fmt.Sprintf("this host is enrolled with %s; its certificates are valid, so %s was not asked; set force to enroll there", from, r.URL))
	}
}

// compareFQDN says so where fqdn names another host than the one that was
// enrolled. Only force asks the manager for a certificate of the new name.
func (r *run) compareFQDN() error {
	if r.Settings.FQDN == "" || r.nameFits() {
		return nil
	}
	enrolled := r.o.Provenance().FQDN
	if enrolled == "" {
		enrolled = strings.Join(r.o.set.Server.DNSNames, ", ")
	}
	msg := fmt.Sprintf("fqdn is %s, but this host is enrolled as %s", r.Settings.FQDN, enrolled)
	if r.StrictIdentity {
		return contract.Errorf(contract.CodeIdentity, "%s", msg).
			WithHint("set fqdn back, or set force to enroll by the new name")
	}
	r.res.Warn(msg + "; set force to enroll by the new name")
	return nil
}

// nameFits reports whether fqdn is the name that this host is enrolled by, by
// the record of it, else by the certificate.
func (r *run) nameFits() bool {
	name, _ := hostname.Canonical(r.Settings.FQDN)
	if enrolled := r.o.Provenance().FQDN; enrolled != "" {
		return name == enrolled
	}
	names := r.o.set.Server.DNSNames
	return len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// attributes are what a file shall have: the options, else what it has, else
// who runs this.
func (r *run) attributes(f hostfs.File, mode fs.FileMode) hostfs.Attributes {
	uid, gid := r.Accounts.Self()
	if f.Exists {
		uid, gid = f.UID, f.GID
	}
	if r.UID >= 0 {
		uid = r.UID
	}
	if r.GID >= 0 {
		gid = r.GID
	}
	return hostfs.Attributes{Mode: mode, UID: uid, GID: gid}
}

func attributesOf(f plan.File) hostfs.Attributes {
	return hostfs.Attributes{Mode: f.Mode, UID: f.UID, GID: f.GID}
}
