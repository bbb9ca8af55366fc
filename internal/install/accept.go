package install

import (
	"errors"
	"fmt"
	"slices"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki"
)

// ErrKeep marks a bundle that cannot be used now, but may be later or with
// other options. It is kept.
var ErrKeep = errors.New("kept")

// accept verifies a bundle and holds it against what the options demand.
func (in *Installer) accept(bundle *contract.PkiBundle) (*pki.Set, error) {
	set, err := pki.ParseBundle(*bundle)
	if err != nil {
		return nil, contract.Errorf(contract.CodeBundleInvalid, "%w", err)
	}
	warnings, err := set.Verify(pki.VerifyOptions{
		Now: in.Now(), FQDN: in.Result.FQDN, IPs: in.Addresses, Strict: in.StrictIdentity, CAFingerprint: in.BundleCAFingerprint,
	})
	switch {
	case errors.Is(err, pki.ErrNotYetValid):
		return nil, keep(contract.CodeIdentity, err, "compare this host's clock with the manager's, fix it and run again")
	case errors.Is(err, pki.ErrExpired) && in.expiredOnArrival(set):
		return nil, keep(contract.CodeIdentity, err, "compare this host's clock with the manager's, fix it and run again; if it is right, remove %s, and %s, then run again",
			in.StatePaths().Spool, contract.KnownHost)
	case errors.Is(err, pki.ErrCAMismatch):
		return nil, keep(contract.CodeBundleInvalid, err, "if the bundle's CA is the right one, correct bundle_ca_fingerprint and run again")
	case errors.Is(err, pki.ErrIdentity):
		return nil, keep(contract.CodeBundleInvalid, err, "set fqdn and report_ip to what the certificate says, or strict_identity to false, and run again")
	case err != nil:
		return nil, contract.Errorf(contract.CodeBundleInvalid, "%w", err)
	}
	if err := in.acceptCA(set); err != nil {
		return nil, err
	}
	if err := in.acceptStanding(set); err != nil {
		return nil, err
	}
	in.Result.Warn(warnings...)
	in.Result.Warn(set.KeepRoots(in.keepsRoot)...)
	in.warnOfCRL(set)
	in.noteRepo(bundle.Repo)
	return set, nil
}

// acceptStanding refuses a set that the installed CRL revokes, where that one
// stays beside it: the agent could not serve with it.
func (in *Installer) acceptStanding(set *pki.Set) error {
	kept := in.crlContent(set)
	if kept == nil || set.CRL != nil {
		return nil
	}
	installed, err := pki.ParseFiles(set.CAPEM, set.ServerPEM, set.KeyPEM, kept)
	if err != nil {
		return nil //nolint:nilerr // the set was parsed: it is the CRL, of which warnOfCRL tells
	}
	if _, err := installed.Verify(pki.VerifyOptions{Now: in.Now()}); errors.Is(err, pki.ErrRevoked) {
		return contract.Errorf(contract.CodeBundleInvalid, "the certificate of the bundle is of no use beside %s: %w", in.Disk.CRL.Path, err)
	}
	return nil
}

// warnOfCRL says that a CRL which cannot be used stays.
func (in *Installer) warnOfCRL(set *pki.Set) {
	kept := in.crlContent(set)
	if kept == nil || set.CRL.PEM() != nil {
		return
	}
	if err := pki.CheckCRL(kept, set.CA); err != nil {
		in.Result.Warn(in.Disk.CRLWarning(err))
	}
}

// keepsRoot reports whether a further root of a bundle is wanted: every one is
// a CA for clients too.
func (in *Installer) keepsRoot(fingerprint string) bool {
	return in.AllowCAChange || in.NamedCA() == fingerprint || slices.Contains(in.InstalledCAs(), fingerprint)
}

// acceptCA refuses another CA than the one that this host is enrolled under.
func (in *Installer) acceptCA(set *pki.Set) error {
	fingerprint := pki.Fingerprint(set.CA.Raw)
	if in.Disk.Set == nil && in.Disk.Provenance().CAFingerprint == "" && slices.Contains(in.InstalledCAs(), fingerprint) {
		return nil
	}
	if known := in.KnownCA(); known != "" && known != fingerprint && !in.AllowCAChange {
		return keep(contract.CodeBundleInvalid, fmt.Errorf("the bundle brings another CA (SHA-256 %s) than the one that this host is enrolled under (%s)", fingerprint, known),
			"if the manager's CA was changed on purpose, run the module enrollment with allow_ca_change")
	}
	return nil
}

// expiredOnArrival reports whether a bundle had expired when the manager handed
// it out. No manager issues such a one: this host's clock is ahead.
func (in *Installer) expiredOnArrival(set *pki.Set) bool {
	if in.Disk.Spool() == nil {
		return false
	}
	_, err := set.Verify(pki.VerifyOptions{Now: in.Disk.Spool().At})
	return errors.Is(err, pki.ErrExpired)
}

// keep makes a kept error of err. A wrong clock is the host's fault, not the
// bundle's, and is often set right by itself: its code is one after which the
// units start the daemon again.
func keep(code contract.Code, err error, hint string, args ...any) error {
	return (&contract.Error{Code: code, Err: kept{err}}).WithHint(hint, args...)
}

// kept is an error that is ErrKeep too, and says nothing of it.
type kept struct{ error }

func (k kept) Is(target error) bool { return target == ErrKeep }

func (k kept) Unwrap() error { return k.error }
