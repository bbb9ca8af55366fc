package statedir

import (
	"crypto/rand"
	"encoding/hex"

	"github.com/linux-patch/enroll/internal/approval"
)

const nonceSize = 32

// Proof is the nonce behind the enrollment proof. It is on disk before
// the request that shows the proof, so that a request whose answer is lost can
// be told from a stranger's.
type Proof struct {
	Nonce string `json:"nonce"`
	// Earlier is the nonce of a request that may stand at the manager, while the
	// manager refused the later one.
	Earlier string `json:"earlier,omitempty"`
	// Refused says that the manager refused the request of Nonce, because it
	// knows this machine. The next request gets a nonce of its own.
	Refused bool `json:"refused,omitempty"`
}

// ReadProof reads the nonce, nil where there is none that can be used.
func (s *Store) ReadProof() (*Proof, error) {
	file, err := s.Files.Read(s.Paths.Proof)
	if err != nil || !file.Exists {
		return nil, err
	}
	p := &Proof{}
	if decodeRecord(s.Paths.Proof, file.Content, p) != nil || len(p.Nonce) != 2*nonceSize {
		return nil, nil //nolint:nilerr // a damaged nonce is none: the next request has another
	}
	return p, nil
}

// Prove returns the proof for a request that is about to be sent, with its
// nonce on disk. A request that is sent again has the same.
func (s *Store) Prove(machineID string) (string, error) {
	p, err := s.ReadProof()
	if err != nil {
		return "", err
	}
	if next := s.nextProof(p, machineID); p == nil || *next != *p {
		if err := s.write(s.Paths.Proof, next); err != nil {
			return "", err
		}
		p = next
	}
	return p.Current(machineID), nil
}

// nextProof is the record of the next request.
func (s *Store) nextProof(p *Proof, machineID string) *Proof {
	over := s.token != nil && s.token.Dead != "" && s.token.Request != nil &&
		p != nil && s.token.Request.Proof == p.Current(machineID)
	switch {
	case p == nil || over:
		return &Proof{Nonce: newNonce()}
	case p.Refused && p.Earlier == "":
		return &Proof{Nonce: newNonce(), Earlier: p.Nonce}
	case p.Refused:
		return &Proof{Nonce: newNonce(), Earlier: p.Earlier}
	}
	return p
}

func newNonce() string {
	nonce := make([]byte, nonceSize)
	_, _ = rand.Read(nonce) // it never fails: crypto/rand
	return hex.EncodeToString(nonce)
}

// NoteRefusal marks the proof as one that the manager did not store.
func (s *Store) NoteRefusal() error {
	p, err := s.ReadProof()
	if err != nil || p == nil || p.Refused {
		return err
	}
	p.Refused = true
	return s.write(s.Paths.Proof, p)
}

// Current is the proof of the last request.
func (p *Proof) Current(machineID string) string { return proofOf(machineID, p.Nonce) }

// EarlierProof is that of a request before it; empty where there is none.
func (p *Proof) EarlierProof(machineID string) string {
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
