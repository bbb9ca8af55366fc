package observe

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/statedir"
	"github.com/linux-patch/enroll/internal/whitelist"
)

// Foreign says why the valid set that is installed is not counted as this
// host's enrollment; empty where it is. Provenance knows what enrollment put
// there. Of a set that was placed by hand, an option or the whitelist may say
// that it is this manager's.
func (v *View) Foreign() string {
	o := v.Disk
	if o.Set == nil || o.Unusable != nil {
		return ""
	}
	ca := pki.Fingerprint(o.Set.CA.Raw)
	known := o.Provenance().Knows(ca, o.Cert.Path, statedir.Digest(o.Cert.Content))
	switch {
	case o.ClonedSet() && known:
		return fmt.Sprintf("machine-id changed: the certificate set was issued to machine-id %s, and this host is %s", o.Provenance().MachineID, o.MachineID)
	case known || v.NamedCA() == ca || v.letsIn(v.KnownManagerIP()):
		return ""
	default:
		return fmt.Sprintf("the certificate set was not put there by enrollment (issuer %s, CA SHA-256 %s)", pki.FactsOf(o.Set.CA).Subject, ca)
	}
}

// NamedCA is bundle_ca_fingerprint in the form in which facts have it.
func (v *View) NamedCA() string {
	fingerprint, err := pki.NormalizeFingerprint(v.BundleCAFingerprint)
	if err != nil {
		return ""
	}
	return fingerprint
}

// letsIn reports whether the whitelist has ip as an entry of its own: a network
// that happens to cover it says nothing of who manages this host.
func (v *View) letsIn(ip netip.Addr) bool {
	if !ip.IsValid() {
		return false
	}
	file, err := v.Files.Read(v.Whitelist)
	if err != nil {
		return false
	}
	list, err := whitelist.Parse(file.Content)
	return err == nil && list.Names(ip)
}

// TakeOverHint says how a foreign set becomes this host's enrollment.
func (v *View) TakeOverHint() string {
	if v.Disk.ClonedSet() {
		return "set force to enroll this host by its own machine-id"
	}
	return fmt.Sprintf("if it is this manager's, set bundle_ca_fingerprint to %s; to enroll in its place set force, and allow_ca_change if the manager's CA is another",
		pki.Fingerprint(v.Disk.Set.CA.Raw))
}

// ManagerKnows reports whether the manager has issued certificates for this
// host, by what enrollment recorded. What is on disk now says nothing of it.
func (v *View) ManagerKnows() bool {
	p := v.Disk.Provenance()
	return p.CAFingerprint != "" && !v.Disk.ClonedSet() && (p.ManagerURL == "" || p.ManagerURL == v.URL.String())
}

// InstalledCAs are the CAs that this host trusts now. A set that is broken
// elsewhere does not make them unknown.
func (v *View) InstalledCAs() []string {
	if !v.Disk.CA.Exists {
		return nil
	}
	known, err := pki.Fingerprints(v.Disk.CA.Content)
	if err != nil {
		return nil
	}
	return known
}

// KnownCA is the CA that this host is enrolled under, or whose file someone
// placed here.
func (v *View) KnownCA() string {
	if v.Disk.Set != nil {
		return pki.Fingerprint(v.Disk.Set.CA.Raw)
	}
	if v.Disk.Provenance().CAFingerprint != "" {
		return v.Disk.Provenance().CAFingerprint
	}
	if placed := v.InstalledCAs(); len(placed) > 0 {
		return placed[0]
	}
	return ""
}

// CannotJudge stops before anything is asked where the installed files are
// someone's, and this program can't tell what they are worth.
func (v *View) CannotJudge() error {
	o := v.Disk
	if v.Force || v.AllowCAChange || o.Provenance().CAFingerprint != "" {
		return nil
	}
	err := o.Unusable
	if !errors.Is(err, pki.ErrSerial) {
		if !o.CA.Exists || len(bytes.TrimSpace(o.CA.Content)) == 0 {
			return nil
		}
		if _, err = pki.Fingerprints(o.CA.Content); err == nil {
			return nil
		}
	}
	return contract.Errorf(contract.CodeFilesystem, "the certificates at %s were not placed by enrollment and cannot be judged: %w", o.CA.Path, err).
		WithHint("nothing was changed and no manager was asked; fix or remove the files, or set force and allow_ca_change to enroll in their place")
}
