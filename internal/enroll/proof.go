package enroll

import (
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/linux-patch/enroll/internal/approval"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/identity"
	"github.com/linux-patch/enroll/internal/managerclient"
)

const nonceSize = 32

// proofRecord is the nonce behind the enrollment proof. It is on disk before
// the request that shows the proof, so that a request whose answer is lost can
// be told from a stranger's.
type proofRecord struct {
	Nonce string `json:"nonce"`
	// Earlier is the nonce of a request that may stand at the manager, while the
	// manager refused the later one.
	Earlier string `json:"earlier,omitempty"`
	// Refused says that the manager refused the request of Nonce, because it
	// knows this machine. The next request gets a nonce of its own.
	Refused bool `json:"refused,omitempty"`
}

// sentRequest is what the manager was told, kept with the token that it gave.
type sentRequest struct {
	Proof             string             `json:"proof,omitempty"`
	IPAddress         string             `json:"ip_address,omitempty"`
	OSDetails         contract.OSDetails `json:"os_details"`
	SentAt            time.Time          `json:"sent_at"`
	VerifiedBy        string             `json:"verified_by,omitempty"`
	CertificateSHA256 string             `json:"certificate_sha256,omitempty"`
}

// readProof reads the nonce, nil where there is none that can be used.
func (r *run) readProof() (*proofRecord, error) {
	file, err := r.Files.Read(r.settings.state.proof)
	if err != nil || !file.Exists {
		return nil, err
	}
	p := &proofRecord{}
	if decodeRecord(r.settings.state.proof, file.Content, p) != nil || len(p.Nonce) != 2*nonceSize {
		return nil, nil
	}
	return p, nil
}

// prove returns the proof for a request that is about to be sent, with its
// nonce on disk. A request that is sent again has the same.
func (r *run) prove(machineID string) (string, error) {
	p, err := r.readProof()
	if err != nil {
		return "", err
	}
	if next := r.nextProof(p, machineID); p == nil || *next != *p {
		if err := r.saveProof(next); err != nil {
			return "", err
		}
		p = next
	}
	return p.current(machineID), nil
}

// nextProof is the record of the next request.
func (r *run) nextProof(p *proofRecord, machineID string) *proofRecord {
	over := r.o.token != nil && r.o.token.Dead != "" && r.o.token.Request != nil &&
		p != nil && r.o.token.Request.Proof == p.current(machineID)
	switch {
	case p == nil || over:
		return &proofRecord{Nonce: newNonce()}
	case p.Refused && p.Earlier == "":
		return &proofRecord{Nonce: newNonce(), Earlier: p.Nonce}
	case p.Refused:
		return &proofRecord{Nonce: newNonce(), Earlier: p.Earlier}
	}
	return p
}

func newNonce() string {
	nonce := make([]byte, nonceSize)
	_, _ = rand.Read(nonce) // it never fails: crypto/rand
	return hex.EncodeToString(nonce)
}

func (r *run) saveProof(p *proofRecord) error {
	raw, err := encodeRecord(p)
	if err != nil {
		return err
	}
	return r.Files.Replace(r.settings.state.proof, raw, r.private())
}

// noteRefusal marks the proof as one that the manager did not store.
func (r *run) noteRefusal() {
	p, err := r.readProof()
	if err == nil && p != nil && !p.Refused {
		p.Refused = true
		err = r.saveProof(p)
	}
	if err != nil {
		r.res.warn("the enrollment proof was not marked as refused: " + err.Error())
	}
}

func (p *proofRecord) current(machineID string) string { return proofOf(machineID, p.Nonce) }

func (p *proofRecord) earlier(machineID string) string {
	if p.Earlier == "" {
		return ""
	}
	return proofOf(machineID, p.Earlier)
}

func proofOf(machineID, nonce string) string {
	raw, err := hex.DecodeString(nonce)
	if err != nil {
		return ""
	}
	return approval.Proof(machineID, raw)
}

// sending is what the manager is about to be told.
func (r *run) sending(host identity.Host, proof string, at time.Time) *sentRequest {
	return &sentRequest{Proof: proof, IPAddress: host.IP.String(), OSDetails: host.OS, SentAt: at, VerifiedBy: r.verifiedBy()}
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
	case r.url == nil:
		return ""
	case r.url.Scheme == "http":
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

// Request is a result's evidence for who approves: it names this host's request
// among others of the same name.
type Request struct {
	// TokenSHA256 is empty where this host holds no token.
	TokenSHA256 string `json:"token_sha256"`
	Proof       string `json:"proof"`
	// EarlierProof is of a request whose answer was lost, while the manager
	// refused a later one.
	EarlierProof string              `json:"earlier_proof,omitempty"`
	IPAddress    string              `json:"ip_address"`
	OSDetails    *contract.OSDetails `json:"os_details,omitempty"`
	SentAt       string              `json:"sent_at"`
}

// requestFacts are those of the request that waits at the manager, or of the
// one whose answer is unknown; nil where there is neither.
func (r *run) requestFacts(machineID string) (*Request, *sentRequest) {
	if token, sent := r.shownToken(); token != "" {
		return factsOf(sent, approval.TokenSHA256(token)), sent
	}
	p, err := r.readProof()
	if err != nil || p == nil {
		return nil, nil
	}
	sent := r.sent
	if sent == nil {
		sent = &sentRequest{Proof: p.current(machineID)}
	}
	if sent.SentAt.IsZero() && r.o.requestAt != nil {
		sent.SentAt = *r.o.requestAt
	}
	facts := factsOf(sent, "")
	facts.EarlierProof = p.earlier(machineID)
	return facts, sent
}

// shownToken is the token of the request that waits, and what was sent for it.
// A token that only config.yaml holds is one that a deployed agent registered.
func (r *run) shownToken() (string, *sentRequest) {
	t := r.anyLiveToken()
	if r.url != nil {
		t = r.liveToken()
	}
	unknown := &sentRequest{VerifiedBy: approval.VerifiedByUnknown}
	switch o := r.o; {
	case t != nil && t.Request != nil:
		return t.Token, t.Request
	case t != nil:
		unknown.SentAt = t.Since
		return t.Token, unknown
	case !managerclient.ValidToken(o.configToken), o.enrolled(), o.token != nil && o.token.Token == o.configToken, r.distrust != nil:
		return "", nil
	}
	return r.o.configToken, unknown
}

func factsOf(s *sentRequest, tokenSHA256 string) *Request {
	f := &Request{TokenSHA256: tokenSHA256, Proof: s.Proof, IPAddress: s.IPAddress}
	if s.OSDetails != (contract.OSDetails{}) {
		f.OSDetails = &s.OSDetails
	}
	if !s.SentAt.IsZero() {
		f.SentAt = s.SentAt.UTC().Format(time.RFC3339)
	}
	return f
}
