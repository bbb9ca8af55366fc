package enroll

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/statedir"
)

// source is where a bundle came from.
type source struct {
	url string
	ip  netip.Addr
}

// errKeep marks a bundle that cannot be used now, but may be later or with
// other  It is kept.
var errKeep = errors.New("kept")

// approved puts an answer in place that this run received.
func (r *run) approved(ctx context.Context, a *spooledAnswer) error {
	r.Progress(Progress{Phase: PhaseProvision, Attempts: r.res.Attempts})
	r.res.Attempts++
	r.audit(contract.EventApproved, nil)
	err := r.provision(ctx, a.bundle, sourceOf(a.Answer))
	if err != nil && !a.stored && !r.underWay(a.bundle) {
		return contract.Errorf(contract.CodeOf(err), "the manager's bundle could be neither stored nor put in place, and is lost: %w", err).
			WithHint("%s; for host %s, %s, then run again", contract.HintOf(err), r.res.FQDN, contract.KnownHost)
	}
	return r.settleBundle(err)
}

// underWay tells whether the next run can do without the manager: a bundle is
// in place, or staged with its journal.
func (r *run) underWay(bundle *contract.PkiBundle) bool {
	journal, err := r.Files.LoadJournal(r.statePaths().Journal)
	if err != nil || journal != nil {
		return journal != nil
	}
	cert, err := r.Files.Read(r.ServerCert)
	return err == nil && cert.Exists && strings.HasPrefix(string(cert.Content), strings.TrimSpace(bundle.ServerCrt))
}

// provisionSpool puts an answer in place that an earlier run received. It asks
// nobody.
func (r *run) provisionSpool(ctx context.Context) error {
	verdict, bundle, err := managerclient.Judge(r.o.Spool().HTTPStatus, r.o.Spool().Body)
	switch {
	case verdict == managerclient.Approved:
	case verdict == managerclient.Bad && r.Check:
		return contract.Errorf(contract.CodeBundleInvalid, "%s holds no bundle: %w", r.statePaths().Spool, err)
	case verdict == managerclient.Bad:
		return r.nonsense(&spooledAnswer{Answer: *r.o.Spool(), stored: true}, r.o.Spool().LostPoll, err)
	default:
		// The run was killed between the storing of an answer and its dropping:
		// there is no bundle in it. A pending one says that none was lost before.
		lost := r.o.Spool().LostPoll
		if verdict == managerclient.Pending {
			lost = nil
		}
		if err := r.o.RestorePoll(lost); err != nil {
			return err
		}
		return r.take(ctx, r.decide())
	}
	r.identify(ctx)
	first := len(r.res.Actions)
	err = r.settleBundle(r.provision(ctx, bundle, sourceOf(*r.o.Spool())))
	if r.Check || err == nil || len(r.res.Actions) > first {
		r.res.Actions = slices.Insert(r.res.Actions, first, "put the bundle in place that an earlier run received ("+r.statePaths().Spool+")")
	}
	return err
}

func sourceOf(s statedir.Answer) source {
	ip, _ := netip.ParseAddr(s.PeerIP)
	return source{url: s.URL, ip: ip}
}

// settleBundle decides what becomes of a bundle that was not put in place.
func (r *run) settleBundle(err error) error {
	switch {
	case err == nil || r.Check:
		return err
	case errors.Is(err, errKeep):
		return contract.Errorf(contract.CodeOf(err), "%w; the bundle is kept in %s", err, r.statePaths().Spool).WithHint("%s", contract.HintOf(err))
	case contract.CodeOf(err) != contract.CodeBundleInvalid:
		return err
	default:
		return r.reject(err)
	}
}

// reject puts a bundle aside that can never be used. The request that it
// answers is over.
func (r *run) reject(why error) error {
	aside, err := r.o.SetAside()
	if err != nil {
		return errors.Join(why, err)
	}
	for _, err := range r.o.PruneRejected() {
		r.res.Warn(fmt.Sprintf("an old bundle was not removed: %v", err))
	}
	r.res.State = contract.StateExpired
	if err := r.o.Bury(contract.StateExpired, true); err != nil {
		return errors.Join(why, err)
	}
	return contract.Errorf(contract.CodeBundleInvalid, "the manager's bundle cannot be used: %w; it was moved to %s", why, aside).
		WithHint("fix the manager's CA; then %s, and run again", contract.KnownHost)
}

// provision verifies a bundle, plans, and in a real run puts it in place.
func (r *run) provision(ctx context.Context, bundle *contract.PkiBundle, from source) error {
	set, err := r.accept(bundle)
	if err != nil {
		return err
	}
	changes := r.changes(set)
	ip := from.ip
	if r.ManagerAddr.IsValid() {
		ip = r.ManagerAddr
	}
	change, needed, err := r.planWhitelist(ip)
	if err != nil {
		return err
	}
	var admit *plan.Change
	if needed {
		admit = &change
	}
	if r.Check {
		r.showFiles(changes)
		if admit != nil {
			r.res.Show(*admit)
		}
		if err := r.tellAgent(ctx); err != nil {
			return err
		}
		if err := r.installRepo(); err != nil {
			return err
		}
		r.res.State, r.res.Msg = contract.StateEnrolled, "would be enrolled"
		return r.foreseeClear(false)
	}
	if err := r.apply(ctx, set, admit, source{url: from.url, ip: ip}); err != nil {
		return err
	}
	r.res.State = contract.StateEnrolled
	r.res.Msg = fmt.Sprintf("enrolled; the certificate is valid until %s", set.Server.NotAfter.UTC().Format("2006-01-02 15:04 MST"))
	return nil
}

// changes are the files that a set replaces.
func (r *run) changes(set *pki.Set) []desire {
	return slices.DeleteFunc(r.desired(set), func(d desire) bool {
		_, changed := plan.Compare(d.before, d.after)
		return !changed
	})
}

// accept verifies a bundle and holds it against what the options demand.
func (r *run) accept(bundle *contract.PkiBundle) (*pki.Set, error) {
	set, err := pki.ParseBundle(*bundle)
	if err != nil {
		return nil, contract.Errorf(contract.CodeBundleInvalid, "%w", err)
	}
	warnings, err := set.Verify(pki.VerifyOptions{
		Now: r.Now(), FQDN: r.res.FQDN, IPs: r.addresses, Strict: r.StrictIdentity, CAFingerprint: r.BundleCAFingerprint,
	})
	switch {
	case errors.Is(err, pki.ErrNotYetValid):
		return nil, keep(contract.CodeIdentity, err, "compare this host's clock with the manager's, mend it and run again")
	case errors.Is(err, pki.ErrExpired) && r.expiredOnArrival(set):
		return nil, keep(contract.CodeIdentity, err, "compare this host's clock with the manager's, mend it and run again; if it is right, remove %s, and %s, then run again",
			r.statePaths().Spool, contract.KnownHost)
	case errors.Is(err, pki.ErrCAMismatch):
		return nil, keep(contract.CodeBundleInvalid, err, "if the bundle's CA is the right one, correct bundle_ca_fingerprint and run again")
	case errors.Is(err, pki.ErrIdentity):
		return nil, keep(contract.CodeBundleInvalid, err, "set fqdn and report_ip to what the certificate says, or strict_identity to false, and run again")
	case err != nil:
		return nil, contract.Errorf(contract.CodeBundleInvalid, "%w", err)
	}
	if err := r.acceptCA(set); err != nil {
		return nil, err
	}
	r.res.Warn(warnings...)
	r.res.Warn(set.KeepRoots(r.keepsRoot)...)
	r.noteRepo(bundle.Repo)
	return set, nil
}

// keepsRoot reports whether a further root of a bundle is wanted: every one is
// a CA for clients too.
func (r *run) keepsRoot(fingerprint string) bool {
	return r.AllowCAChange || r.namedCA() == fingerprint || slices.Contains(r.installedCAs(), fingerprint)
}

// installedCAs are the CAs that this host trusts now. A set that is broken
// elsewhere does not make them unknown.
func (r *run) installedCAs() []string {
	if !r.o.ca.Exists {
		return nil
	}
	known, err := pki.Fingerprints(r.o.ca.Content)
	if err != nil {
		return nil
	}
	return known
}

// acceptCA refuses another CA than the one that this host is enrolled under.
func (r *run) acceptCA(set *pki.Set) error {
	fingerprint := pki.Fingerprint(set.CA.Raw)
	if r.o.set == nil && r.o.Provenance().CAFingerprint == "" && slices.Contains(r.installedCAs(), fingerprint) {
		return nil
	}
	if known := r.knownCA(); known != "" && known != fingerprint && !r.AllowCAChange {
		return keep(contract.CodeBundleInvalid, fmt.Errorf("the bundle brings another CA (SHA-256 %s) than the one that this host is enrolled under (%s)", fingerprint, known),
			"if the manager's CA was changed on purpose, run again with allow_ca_change")
	}
	return nil
}

// expiredOnArrival tells whether a bundle had expired when the manager handed
// it out. No manager issues such a one: this host's clock is ahead.
func (r *run) expiredOnArrival(set *pki.Set) bool {
	if r.o.Spool() == nil {
		return false
	}
	_, err := set.Verify(pki.VerifyOptions{Now: r.o.Spool().At})
	return errors.Is(err, pki.ErrExpired)
}

// knownCA is the CA that this host is enrolled under, or whose file somebody
// placed here.
func (r *run) knownCA() string {
	if r.o.set != nil {
		return pki.Fingerprint(r.o.set.CA.Raw)
	}
	if r.o.Provenance().CAFingerprint != "" {
		return r.o.Provenance().CAFingerprint
	}
	if placed := r.installedCAs(); len(placed) > 0 {
		return placed[0]
	}
	return ""
}

// cannotJudge stops before anything is asked where the installed files are
// somebody's, and this program can't tell what they are worth.
func (r *run) cannotJudge() error {
	o := r.o
	if r.Force || r.AllowCAChange || o.Provenance().CAFingerprint != "" {
		return nil
	}
	err := o.unusable
	if !errors.Is(err, pki.ErrSerial) {
		if !o.ca.Exists || len(bytes.TrimSpace(o.ca.Content)) == 0 {
			return nil
		}
		if _, err = pki.Fingerprints(o.ca.Content); err == nil {
			return nil
		}
	}
	return contract.Errorf(contract.CodeFilesystem, "the certificates at %s were not placed by enrollment and cannot be judged: %w", o.ca.Path, err).
		WithHint("nothing was changed and no manager was asked; fix or remove the files, or set force and allow_ca_change to enroll in their place")
}

// keep makes a kept error of err. A wrong clock is the host's fault, not the
// bundle's, and is often set right by itself: its code is one after which the
// units start the daemon again.
func keep(code contract.Code, err error, hint string, args ...any) error {
	return (&contract.Error{Code: code, Err: kept{err}}).WithHint(hint, args...)
}

// kept is an error that is errKeep too, and says nothing of it.
type kept struct{ error }

func (k kept) Is(target error) bool { return target == errKeep }
func (k kept) Unwrap() error        { return k.error }

// hostfsChange is one file of a commit.
func (r *run) hostfsChange(d desire) hostfs.Change {
	return hostfs.Change{
		Path: d.after.Path, Content: d.after.Content, Remove: !d.after.Exists,
		Attributes: attributesOf(d.after),
		Backup:     r.Backup && d.before.Exists, KeepOneBackup: d.isKey,
	}
}
