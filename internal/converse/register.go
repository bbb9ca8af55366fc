package converse

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/identity"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/statedir"
)

// ActRegister says that a request is made.
func (c *Conversation) ActRegister() {
	c.Result.Changed = true
	c.Result.Act("register at " + c.URL.String())
	c.Result.Act("keep the polling token in " + c.StatePaths().Token)
}

// Register sends the registration and returns once its token is on disk. Space
// for the token is reserved before, so that a full disk cannot lose it.
func (c *Conversation) Register(ctx context.Context, client ManagerClient, host identity.Host) (*statedir.Token, error) {
	// Another manager's token may still be where the new one is to come. It stays
	// this host's until there is another.
	if err := c.Adopt(ctx); err != nil {
		return nil, err
	}
	if err := c.Disk.Sign(); err != nil {
		return nil, err
	}
	unanswered := c.Disk.RequestAt()
	proof, err := c.Disk.Prove(host.MachineID)
	if err != nil {
		return nil, err
	}
	slot, err := c.Disk.PrepareRequest()
	if err != nil {
		return nil, err
	}
	defer func() { _ = slot.Close() }()
	asking, cancel := linger(ctx)
	defer cancel()
	c.Sent = &statedir.Request{Proof: proof, IPAddress: host.IP.String(), OSDetails: host.OS, SentAt: *c.Disk.RequestAt(), VerifiedBy: c.verifiedBy()}
	got, err := client.Register(asking, func(local netip.Addr) contract.EnrollmentRequest {
		seen := host.SeenFrom(local)
		c.Sent.IPAddress = seen.IP.String()
		asked := seen.Request()
		asked.OSDetails.EnrollmentProof = proof
		return asked
	})
	c.Sent.CertificateSHA256, _ = c.certificate.Load().(string)
	if err != nil {
		return c.refused(err, unanswered)
	}
	c.Secret(got.Token)
	host = host.SeenFrom(got.Local)
	c.Addresses = append(c.Addresses, host.IP)
	t := statedir.Token{
		Token: got.Token, ManagerURL: c.URL.String(), MachineID: host.MachineID, FQDN: host.FQDN, Since: c.Now().UTC(),
		LostRequest: unanswered, Replaces: c.forgotten(), Request: c.Sent,
	}
	if err := slot.Store(t); err != nil {
		if err := c.storeElsewhere(slot, t, err); err != nil {
			return nil, err
		}
	}
	c.warnIPv6(host.IP)
	c.ActRegister()
	c.Record(contract.EventRequestSent, nil)
	return &t, c.Adopt(ctx)
}

// forgotten is since when the request was pending that the manager no longer
// knows, whose token a new one replaces; nil where there is none.
func (c *Conversation) forgotten() *time.Time {
	old := c.Disk.Token()
	switch {
	case old == nil || old.ManagerURL != c.URL.String():
		return nil
	case old.Dead == contract.StateExpired && managerclient.ValidToken(old.Token):
		return &old.Since
	default:
		return old.Replaces
	}
}

// storeElsewhere stores a token that its slot did not take: it is handed out
// once, and another file may take it.
func (c *Conversation) storeElsewhere(slot *statedir.Registration, t statedir.Token, why error) error {
	if err := slot.StoreElsewhere(t); err != nil {
		return contract.Errorf(contract.CodeFilesystem, "the manager's polling token could not be stored and is lost: %w", errors.Join(why, err)).
			WithHint("%s; "+atManager, contract.HintOf(why), c.Result.MachineID)
	}
	c.Result.Warn(fmt.Sprintf("the polling token was stored at the second try: %v", why))
	return nil
}

// atManager says what to do where the manager knows this machine.
const atManager = "on the manager, an administrator denies the pending request of machine_id %s, then run again; if it lists that host, " + contract.KnownHost + ", then run again"

// refused deals with a registration that brought no token.
func (c *Conversation) refused(err error, unanswered *time.Time) (*statedir.Token, error) {
	code := contract.CodeOf(err)
	var failed *managerclient.RequestError
	mayHaveActed := !errors.As(err, &failed) || failed.MaybeDelivered
	known := code == contract.CodeConflict || (code == contract.CodeManagerError && failed != nil && failed.HTTPStatus == 500)
	if known {
		if err := c.Disk.NoteRefusal(); err != nil {
			c.Result.Warn("the enrollment proof was not marked as refused: " + err.Error())
		}
	}
	switch old := c.Doubtful(); {
	case known && old != nil && c.State == string(contract.StateRegistered):
		// This state did not ask with the old token before.
		c.Result.Warn(fmt.Sprintf("%v; the request of %s is resumed, and a run with state enrolled asks for it", err, old.Since.Format(time.RFC3339)))
		return old, c.revive(old)
	case known && unanswered != nil:
		return nil, contract.Errorf(contract.CodeConflict,
			"a request of %s was sent and its answer lost, and the manager now says: %w", unanswered.UTC().Format(time.RFC3339), err).
			WithHint(atManager, c.Result.MachineID)
	case code == contract.CodeConflict && old != nil:
		c.forgetRequest()
		return nil, contract.Errorf(contract.CodeConflict, "%w; it does not know the token of the request of %s", err, old.Since.Format(time.RFC3339)).
			WithHint(atManager, c.Result.MachineID)
	case !mayHaveActed, code == contract.CodeConflict, code == contract.CodeRejected, code == contract.CodeRateLimited:
		if unanswered == nil {
			c.forgetRequest()
		}
	}
	return nil, err
}

// Adopt makes an answered registration the token of this host, in place of any
// older one.
func (c *Conversation) Adopt(ctx context.Context) error {
	t := c.Disk.NewToken()
	if t == nil {
		return nil
	}
	if err := c.Disk.Adopt(); err != nil {
		return err
	}
	if t.Dead != "" || t.ManagerURL != c.URL.String() {
		return nil // not for a daemon that asks the manager of this run
	}
	return c.MirrorToken(ctx, t.Token)
}

// warnIPv6 says what an IPv6 address does not work with.
func (c *Conversation) warnIPv6(ip netip.Addr) {
	if ip.Is6() {
		c.Result.Warn(fmt.Sprintf("the manager is told the IPv6 address %s: deployed managers write no brackets around it and never reach this host, and deployed agents listen on IPv4 only; give the manager an IPv4 address, or set report_ip to one of this host", ip))
	}
}
