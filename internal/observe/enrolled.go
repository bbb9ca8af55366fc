package observe

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostname"
)

// Confirm says that a good set is installed, and what there is to say of it.
func (v *View) Confirm() error {
	v.Result.State = contract.StateEnrolled
	v.Result.Warn(v.Disk.Warnings...)
	if v.Disk.CRLProblem != nil {
		v.Result.Warn(v.Disk.CRLWarning(v.Disk.CRLProblem))
	}
	v.Result.Warn(v.WarnRenewBefore()...)
	v.warnOtherManager()
	return v.compareFQDN()
}

// KnownManagerIP is the manager's address without asking anyone: the option,
// then the peer that delivered the bundle, then an address in the URL itself.
// Names are not resolved: a DNS answer that moves would make `changed` flap.
func (v *View) KnownManagerIP() netip.Addr {
	return v.managerIP(v.Disk.Provenance().ManagerIP)
}

// AskedManagerIP is KnownManagerIP for a run that asks: where that is another
// manager than the one that this host is enrolled with, the record is not of it.
func (v *View) AskedManagerIP() netip.Addr {
	p := v.Disk.Provenance()
	if v.URL != nil && p.ManagerURL != "" && p.ManagerURL != v.URL.String() {
		p.ManagerIP = ""
	}
	return v.managerIP(p.ManagerIP)
}

func (v *View) managerIP(recorded string) netip.Addr {
	if v.ManagerAddr.IsValid() {
		return v.ManagerAddr
	}
	if ip, err := netip.ParseAddr(recorded); err == nil {
		return ip
	}
	if v.URL != nil {
		if ip, err := netip.ParseAddr(v.URL.Hostname()); err == nil && ip.Zone() == "" {
			return ip.Unmap()
		}
	}
	return netip.Addr{}
}

func (v *View) warnOtherManager() {
	from := v.Disk.Provenance().ManagerURL
	if from != "" && v.URL != nil && from != v.URL.String() && v.BundlePath == "" {
		v.Result.Warn(fmt.Sprintf("this host is enrolled with %s; its certificates are valid, so %s was not asked; set force to enroll there", from, v.URL))
	}
}

// compareFQDN says so where fqdn names another host than the one that was
// enrolled. Only force asks the manager for a certificate of the new name.
func (v *View) compareFQDN() error {
	if v.Settings.FQDN == "" || v.nameFits() {
		return nil
	}
	enrolled := v.Disk.Provenance().FQDN
	if enrolled == "" {
		enrolled = strings.Join(v.Disk.Set.Server.DNSNames, ", ")
	}
	msg := fmt.Sprintf("fqdn is %s, but this host is enrolled as %s", v.Settings.FQDN, enrolled)
	if v.StrictIdentity {
		return contract.Errorf(contract.CodeIdentity, "%s", msg).
			WithHint("set fqdn back, or set force to enroll by the new name")
	}
	v.Result.Warn(msg + "; set force to enroll by the new name")
	return nil
}

// nameFits reports whether fqdn is the name that this host is enrolled by, by
// the record of it, else by the certificate.
func (v *View) nameFits() bool {
	name, _ := hostname.Canonical(v.Settings.FQDN)
	if enrolled := v.Disk.Provenance().FQDN; enrolled != "" {
		return name == enrolled
	}
	names := v.Disk.Set.Server.DNSNames
	return len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// WarnRenewBefore says so where renew_before is not what is gone by.
func (v *View) WarnRenewBefore() []string {
	if v.Disk.Set == nil {
		return nil
	}
	life := v.Disk.Set.Server.NotAfter.Sub(v.Disk.Set.Server.NotBefore)
	if v.RenewWithin < life {
		return nil
	}
	return []string{fmt.Sprintf("renew_before (%s) is not shorter than the certificate's whole life (%s): it is renewed in the last third, %s before its end",
		days(v.RenewWithin), days(life), days(life/3))}
}

// days shows a long time span so that it can be compared with an option.
func days(d time.Duration) string {
	const day = 24 * time.Hour
	if d < 2*day {
		return d.Round(time.Second).String()
	}
	return fmt.Sprintf("%dd", (d+day/2)/day)
}
