package observe

import (
	"fmt"
	"io/fs"
	"time"

	"github.com/linux-patch/enroll/internal/approval"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/report"
	"github.com/linux-patch/enroll/internal/statedir"
)

// forgetWarning is when a pending request is about to be forgotten: deployed
// managers drop it after 24 h.
const forgetWarning = 20 * time.Hour

// NotePending fills in what an approver compares, and warns before the manager
// forgets the request.
func (v *View) NotePending(t *statedir.Token) {
	v.Result.State = contract.StatePending
	v.Result.PendingSince = t.Since.Format(time.RFC3339)
	if t.MachineID != "" {
		v.Result.MachineID, v.Result.FQDN = t.MachineID, t.FQDN
	}
	if age := v.Now().Sub(t.Since); age >= forgetWarning {
		v.Result.Warn(fmt.Sprintf("the request is pending since %s; managers forget a request after 24 h", t.Since.Format(time.RFC3339)))
	}
}

// Describe fills in the facts of what is on disk when a run ends.
func (v *View) Describe() {
	v.Result.Manager = v.ManagerFacts()
	o := v.Disk
	if o == nil {
		return
	}
	if v.Result.MachineID == "" {
		v.Result.MachineID, v.Result.FQDN = o.Provenance().MachineID, o.Provenance().FQDN
	}
	v.Result.Request = v.Evidence(v.Result.Manager, v.Result.MachineID)
	v.Result.Certificates, v.Result.Key = o.Certificates(), o.KeyFacts()
	if v.Result.Whitelist == nil {
		v.Result.Whitelist = &report.Whitelist{Path: v.Whitelist}
	}
	if t := v.LiveToken(); t != nil && v.Result.PendingSince == "" {
		v.Result.PendingSince = t.Since.Format(time.RFC3339)
	}
	if v.Result.State == "" || v.Result.Failed && v.Result.State == contract.StateAbsent {
		v.Result.State = v.Standing(v.LiveToken())
	}
}

// ManagerFacts are what is known of the manager.
func (v *View) ManagerFacts() *report.Manager {
	m := &report.Manager{}
	if v.URL != nil {
		m.URL = v.URL.String()
	}
	if v.Disk == nil {
		return m
	}
	if m.URL == "" {
		m.URL = v.Disk.Provenance().ManagerURL
	}
	if ip := v.KnownManagerIP(); ip.IsValid() {
		m.IP = ip.String()
	}
	return m
}

// Evidence is what an approver compares, and how it came to the manager.
func (v *View) Evidence(m *report.Manager, machineID string) *report.Request {
	facts, sent := v.requestFacts(machineID)
	if facts == nil {
		return nil
	}
	m.CertificateSHA256, m.VerifiedBy = sent.CertificateSHA256, sent.VerifiedBy
	return facts
}

// Standing is how far the host has come, by its disk alone.
func (v *View) Standing(live *statedir.Token) contract.State {
	o := v.Disk
	switch {
	case live != nil, o.Spool() != nil:
		return contract.StatePending
	case v.Foreign() != "":
		return contract.StateForeign
	case o.Set != nil && o.Unusable == nil:
		return contract.StateEnrolled
	case o.Token() != nil && o.Token().Dead != "":
		return o.Token().Dead
	default:
		return contract.StateAbsent
	}
}

// Certificates are the facts of the installed set; nil where there is none.
func (d *Disk) Certificates() *report.Certificates {
	if d.Set == nil {
		return nil
	}
	return &report.Certificates{
		CA:     &report.Certificate{Path: d.CA.Path, Facts: pki.FactsOf(d.Set.CA)},
		Server: &report.Certificate{Path: d.Cert.Path, Facts: pki.FactsOf(d.Set.Server)},
	}
}

// KeyFacts are those of the installed key; nil where there is none.
func (d *Disk) KeyFacts() *report.Key {
	if !d.Key.Exists {
		return nil
	}
	return &report.Key{Path: d.Key.Path, Mode: fmt.Sprintf("%04o", d.Key.Mode&fs.ModePerm)}
}

// requestFacts are those of the request that waits at the manager, or of the
// one whose answer is unknown; nil where there is neither.
func (v *View) requestFacts(machineID string) (*report.Request, *statedir.Request) {
	if token, sent := v.shownToken(); token != "" {
		return factsOf(sent, approval.TokenSHA256(token)), sent
	}
	p, err := v.Disk.ReadProof()
	if err != nil || p == nil {
		return nil, nil
	}
	sent := v.Sent
	if sent == nil {
		sent = &statedir.Request{Proof: p.Current(machineID)}
	}
	if sent.SentAt.IsZero() && v.Disk.RequestAt() != nil {
		sent.SentAt = *v.Disk.RequestAt()
	}
	facts := factsOf(sent, "")
	facts.EarlierProof = p.EarlierProof(machineID)
	return facts, sent
}

// shownToken is the token of the request that waits, and what was sent for it.
// A token that only config.yaml holds is one that a deployed agent registered.
func (v *View) shownToken() (string, *statedir.Request) {
	t := v.Disk.AnyLiveToken()
	if v.URL != nil {
		t = v.LiveToken()
	}
	unknown := &statedir.Request{VerifiedBy: approval.VerifiedByUnknown}
	switch o := v.Disk; {
	case t != nil && t.Request != nil:
		return t.Token, t.Request
	case t != nil:
		unknown.SentAt = t.Since
		return t.Token, unknown
	case !managerclient.ValidToken(o.ConfigToken), o.Set != nil, o.Token() != nil && o.Token().Token == o.ConfigToken, v.Distrust != nil:
		return "", nil
	}
	return v.Disk.ConfigToken, unknown
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
