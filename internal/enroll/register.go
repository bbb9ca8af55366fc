package enroll

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/identity"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/pace"
	"github.com/linux-patch/enroll/internal/statedir"
)

// register makes an enrollment request and goes on to wait for its approval.
func (r *run) register(ctx context.Context) error {
	r.warnNoTokens()
	client, err := r.prepare(ctx)
	if err != nil {
		return err
	}
	host, err := r.whoAmI(ctx)
	if err != nil {
		return err
	}
	old := r.doubtful()
	if r.State == string(contract.StateRegistered) {
		old = nil // this state asks for nothing
	}
	if r.Check {
		if old != nil {
			r.res.Act(fmt.Sprintf("ask %s once more for the state of the request of %s; where it is not known any more:", r.URL, old.Since.Format(time.RFC3339)))
		}
		r.actRegister()
		return r.foreseeApproval(ctx)
	}
	if old != nil {
		// A firewall may have answered for the manager, and a new request would
		// replace one that is approved.
		r.doubted = true
		if err := r.await(ctx, client, old); !errors.Is(err, errStillDead) {
			return err
		}
		r.doubted, r.res.State = false, contract.StateAbsent
	}
	r.Progress(Progress{Phase: PhaseRegister})
	token, err := r.request(ctx, client, host)
	if err != nil {
		return err
	}
	return r.await(ctx, client, token)
}

func (r *run) actRegister() {
	r.res.Changed = true
	r.res.Act("register at " + r.URL.String())
	r.res.Act("keep the polling token in " + r.statePaths().Token)
}

// prepare does all that can fail before the manager is asked.
func (r *run) prepare(ctx context.Context) (ManagerClient, error) {
	client, err := r.dial()
	if err != nil {
		return nil, err
	}
	if err := r.preflight(ctx, client); err != nil {
		return nil, err
	}
	if r.Insecure || r.URL.Scheme == "http" {
		r.audit(contract.EventInsecure, nil)
	}
	return client, nil
}

// whoAmI finds out what the manager is told of this host.
func (r *run) whoAmI(ctx context.Context) (identity.Host, error) {
	o := identity.Options{FQDN: r.Settings.FQDN, ReportIP: r.ReportIP, ReportInterface: r.ReportInterface}
	if r.URL != nil {
		// Check mode says the address of the route, a request that of its connection.
		o.Manager = hostPort(r.URL)
	}
	host, warnings, err := r.Identity.Gather(ctx, o)
	if err != nil {
		return host, err
	}
	r.res.Warn(warnings...)
	r.res.MachineID, r.res.FQDN = host.MachineID, host.FQDN
	r.addresses = host.IPs
	if host.IP.IsValid() {
		r.addresses = append(r.addresses, host.IP)
	}
	return host, nil
}

// identify is whoAmI where the manager knows this host already, and what is
// left is to compare a certificate with it.
func (r *run) identify(ctx context.Context) {
	if _, err := r.whoAmI(ctx); err != nil {
		r.res.Warn(fmt.Sprintf("this host's identity could not be compared with the certificate: %v", err))
	}
}

// request sends the registration and returns once its token is on disk. Space
// for the token is reserved before, so that a full disk cannot lose it.
func (r *run) request(ctx context.Context, client ManagerClient, host identity.Host) (*statedir.Token, error) {
	// Another manager's token may still be where the new one is to come. It stays
	// this host's until there is another.
	if err := r.adopt(ctx); err != nil {
		return nil, err
	}
	if err := r.o.Sign(); err != nil {
		return nil, err
	}
	unanswered := r.o.RequestAt()
	proof, err := r.o.Prove(host.MachineID)
	if err != nil {
		return nil, err
	}
	slot, err := r.o.PrepareRequest()
	if err != nil {
		return nil, err
	}
	defer func() { _ = slot.Close() }()
	asking, cancel := linger(ctx)
	defer cancel()
	r.sent = r.sending(host, proof, *r.o.RequestAt())
	got, err := client.Register(asking, func(local netip.Addr) contract.EnrollmentRequest {
		seen := host.SeenFrom(local)
		r.sent.IPAddress = seen.IP.String()
		asked := seen.Request()
		asked.OSDetails.EnrollmentProof = proof
		return asked
	})
	r.sent.CertificateSHA256, _ = r.certificate.Load().(string)
	if err != nil {
		return r.refused(err, unanswered)
	}
	r.Secret(got.Token)
	host = host.SeenFrom(got.Local)
	r.addresses = append(r.addresses, host.IP)
	t := statedir.Token{
		Token: got.Token, ManagerURL: r.URL.String(), MachineID: host.MachineID, FQDN: host.FQDN, Since: r.Now().UTC(),
		LostRequest: unanswered, Replaces: r.forgotten(), Request: r.sent,
	}
	if err := slot.Store(t); err != nil {
		if err := r.keepElsewhere(slot, t, err); err != nil {
			return nil, err
		}
	}
	r.warnIPv6(host.IP)
	r.actRegister()
	r.audit(contract.EventRequestSent, nil)
	return &t, r.adopt(ctx)
}

// forgotten is since when the request was pending that the manager no longer
// knows, whose token a new one replaces; nil where there is none.
func (r *run) forgotten() *time.Time {
	old := r.o.Token()
	switch {
	case old == nil || old.ManagerURL != r.URL.String():
		return nil
	case old.Dead == contract.StateExpired && managerclient.ValidToken(old.Token):
		return &old.Since
	default:
		return old.Replaces
	}
}

// keepElsewhere stores a token that its slot did not take: it is handed out
// once, and another file may take it.
func (r *run) keepElsewhere(slot *statedir.Registration, t statedir.Token, why error) error {
	if err := slot.StoreElsewhere(t); err != nil {
		return contract.Errorf(contract.CodeFilesystem, "the manager's polling token could not be stored and is lost: %w", errors.Join(why, err)).
			WithHint("%s; "+atManager, contract.HintOf(why), r.res.MachineID)
	}
	r.res.Warn(fmt.Sprintf("the polling token was stored at the second try: %v", why))
	return nil
}

// atManager says what to do where the manager knows this machine.
const atManager = "on the manager, an administrator denies the pending request of machine_id %s, then run again; if it lists that host, " + contract.KnownHost + ", then run again"

// refused deals with a registration that brought no token.
func (r *run) refused(err error, unanswered *time.Time) (*statedir.Token, error) {
	code := contract.CodeOf(err)
	var failed *managerclient.RequestError
	mayHaveActed := !errors.As(err, &failed) || failed.MaybeDelivered
	known := code == contract.CodeConflict || (code == contract.CodeManagerError && failed != nil && failed.HTTPStatus == 500)
	if known {
		if err := r.o.NoteRefusal(); err != nil {
			r.res.Warn("the enrollment proof was not marked as refused: " + err.Error())
		}
	}
	switch old := r.doubtful(); {
	case known && old != nil && r.State == string(contract.StateRegistered):
		// This state did not ask with the old token before.
		r.res.Warn(fmt.Sprintf("%v; the request of %s is taken up again, and a run with state enrolled asks for it", err, old.Since.Format(time.RFC3339)))
		return old, r.revive(old)
	case known && unanswered != nil:
		return nil, contract.Errorf(contract.CodeConflict,
			"a request of %s was sent and its answer lost, and the manager now says: %w", unanswered.UTC().Format(time.RFC3339), err).
			WithHint(atManager, r.res.MachineID)
	case code == contract.CodeConflict && old != nil:
		r.forgetRequest()
		return nil, contract.Errorf(contract.CodeConflict, "%w; it does not know the token of the request of %s", err, old.Since.Format(time.RFC3339)).
			WithHint(atManager, r.res.MachineID)
	case !mayHaveActed, code == contract.CodeConflict, code == contract.CodeRejected, code == contract.CodeRateLimited:
		if unanswered == nil {
			r.forgetRequest()
		}
	}
	return nil, err
}

// forgetRequest takes back the mark of a registration that reached no one.
func (r *run) forgetRequest() {
	if err := r.o.ForgetRequest(); err != nil {
		r.res.Warn(fmt.Sprintf("%s was left behind: %v", r.statePaths().Request, err))
	}
}

// adopt makes an answered registration the token of this host, in place of any
// older one.
func (r *run) adopt(ctx context.Context) error {
	t := r.o.NewToken()
	if t == nil {
		return nil
	}
	if err := r.o.Adopt(); err != nil {
		return err
	}
	if t.Dead != "" || t.ManagerURL != r.URL.String() {
		return nil // not for a daemon that asks the manager of this run
	}
	return r.mirrorToken(ctx, t.Token)
}

// dial makes the client for the manager.
func (r *run) dial() (ManagerClient, error) {
	o := managerclient.Options{
		URL: r.URL, Insecure: r.Insecure, ProxyURL: r.ProxyURL, UserAgent: r.Program, Now: r.Now,
		Seen: func(sha256 string) { r.certificate.Store(sha256) },
		Warn: func(warning string) { r.res.Warn(warning) },
		Retry: managerclient.Retry{
			Wait429: r.Wait && r.State == string(contract.StateEnrolled),
			Until:   r.deadline,
			Jitter:  func(d time.Duration) time.Duration { return pace.Spread(d, r.Rand()) },
		},
		IPv6: r.reportsIPv6(), CASource: r.caSource(),
	}
	if proxy, err := url.Parse(r.ProxyURL); err == nil && proxy.User != nil {
		if password, set := proxy.User.Password(); set {
			r.Secret(password)
		}
	}
	fingerprint, err := fingerprintOf(r.ManagerCAFingerprint)
	if err != nil {
		return nil, err
	}
	o.Fingerprint = fingerprint
	if o.CAPEM, err = r.managerCA(); err != nil {
		return nil, err
	}
	return r.Dial(o)
}

// reportsIPv6 reports whether the manager is told an IPv6 address of this host:
// the address of the manager that is let in is then one of that family too.
func (r *run) reportsIPv6() bool {
	told := r.ReportIP
	if t := r.liveToken(); told == "" && t != nil && t.Request != nil {
		told = t.Request.IPAddress
	}
	ip, err := netip.ParseAddr(told)
	return err == nil && ip.Unmap().Is6()
}

// warnIPv6 says what an IPv6 address does not work with.
func (r *run) warnIPv6(ip netip.Addr) {
	if ip.Is6() {
		r.res.Warn(fmt.Sprintf("the manager is told the IPv6 address %s: deployed managers write no brackets around it and never reach this host, and deployed agents listen on IPv4 only; give the manager an IPv4 address, or set report_ip to one of this host", ip))
	}
}

// caSource names the option that trust in the manager's HTTPS comes from.
func (r *run) caSource() string {
	switch {
	case r.ManagerCAPEM != "":
		return "manager_ca_pem"
	case r.ManagerCAPath != "":
		return fmt.Sprintf("manager_ca_path %s (of the agent --enroll-ca)", r.ManagerCAPath)
	}
	return ""
}

// managerCA is the trust for the manager's HTTPS; nil are the system's roots.
func (r *run) managerCA() ([]byte, error) {
	if r.ManagerCAPEM != "" {
		return []byte(r.ManagerCAPEM), nil
	}
	if r.ManagerCAPath == "" {
		return nil, nil
	}
	pem, err := r.readGiven("manager_ca_path", string(r.ManagerCAPath), maxCAFile)
	if err != nil {
		return nil, err.WithHint("put the manager's CA there, or give it as manager_ca_pem or manager_ca_fingerprint; a file that names trust never means none")
	}
	return pem, nil
}
