package enroll

import (
	"time"

	"github.com/linux-patch/enroll/internal/approval"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/identity"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/report"
	"github.com/linux-patch/enroll/internal/statedir"
)

// sending is what the manager is about to be told.
func (r *run) sending(host identity.Host, proof string, at time.Time) *statedir.Request {
	return &statedir.Request{Proof: proof, IPAddress: host.IP.String(), OSDetails: host.OS, SentAt: at, VerifiedBy: r.verifiedBy()}
}

// The ways to verify the manager's HTTPS certificate, as results name them.
const (
	verifiedByCAPath      = "manager_ca_path"
	verifiedByCAPEM       = "manager_ca_pem"
	verifiedByFingerprint = "manager_ca_fingerprint"
	verifiedBySystem      = "system"
)

// verifiedBy names what this run verifies the manager with.
func (r *run) verifiedBy() string {
	switch {
	case r.URL == nil:
		return ""
	case r.URL.Scheme == "http":
		return approval.VerifiedByNothing
	case r.ManagerCAFingerprint != "":
		return verifiedByFingerprint
	case r.Insecure:
		return approval.VerifiedByNothing
	case r.ManagerCAPEM != "":
		return verifiedByCAPEM
	case r.ManagerCAPath != "":
		return verifiedByCAPath
	}
	return verifiedBySystem
}

// requestFacts are those of the request that waits at the manager, or of the
// one whose answer is unknown; nil where there is neither.
func (r *run) requestFacts(machineID string) (*report.Request, *statedir.Request) {
	if token, sent := r.shownToken(); token != "" {
		return factsOf(sent, approval.TokenSHA256(token)), sent
	}
	p, err := r.o.ReadProof()
	if err != nil || p == nil {
		return nil, nil
	}
	sent := r.sent
	if sent == nil {
		sent = &statedir.Request{Proof: p.Current(machineID)}
	}
	if sent.SentAt.IsZero() && r.o.RequestAt() != nil {
		sent.SentAt = *r.o.RequestAt()
	}
	facts := factsOf(sent, "")
	facts.EarlierProof = p.EarlierProof(machineID)
	return facts, sent
}

// shownToken is the token of the request that waits, and what was sent for it.
// A token that only config.yaml holds is one that a deployed agent registered.
func (r *run) shownToken() (string, *statedir.Request) {
	t := r.o.AnyLiveToken()
	if r.URL != nil {
		t = r.liveToken()
	}
	unknown := &statedir.Request{VerifiedBy: approval.VerifiedByUnknown}
	switch o := r.o; {
	case t != nil && t.Request != nil:
		return t.Token, t.Request
	case t != nil:
		unknown.SentAt = t.Since
		return t.Token, unknown
	case !managerclient.ValidToken(o.configToken), o.enrolled(), o.Token() != nil && o.Token().Token == o.configToken, r.Distrust != nil:
		return "", nil
	}
	return r.o.configToken, unknown
}

func factsOf(s *statedir.Request, tokenSHA256 string) *report.Request {
	f := &report.Request{TokenSHA256: tokenSHA256, Proof: s.Proof, IPAddress: s.IPAddress}
	if s.OSDetails != (contract.OSDetails{}) {
		f.OSDetails = &s.OSDetails
	}
	if !s.SentAt.IsZero() {
		f.SentAt = s.SentAt.UTC().Format(time.RFC3339)
	}
	return f
}
