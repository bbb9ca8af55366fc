package converse

import (
	"time"

	"github.com/linux-patch/enroll/internal/approval"
	"github.com/linux-patch/enroll/internal/identity"
	"github.com/linux-patch/enroll/internal/statedir"
)

// sending is what the manager is about to be told.
func (c *Conversation) sending(host identity.Host, proof string, at time.Time) *statedir.Request {
	return &statedir.Request{Proof: proof, IPAddress: host.IP.String(), OSDetails: host.OS, SentAt: at, VerifiedBy: c.verifiedBy()}
}

// The ways to verify the manager's HTTPS certificate, as results name them.
const (
	verifiedByCAPath      = "manager_ca_path"
	verifiedByCAPEM       = "manager_ca_pem"
	verifiedByFingerprint = "manager_ca_fingerprint"
	verifiedBySystem      = "system"
)

// verifiedBy names what this run verifies the manager with.
func (c *Conversation) verifiedBy() string {
	switch {
	case c.URL == nil:
		return ""
	case c.URL.Scheme == "http":
		return approval.VerifiedByNothing
	case c.ManagerCAFingerprint != "":
		return verifiedByFingerprint
	case c.Insecure:
		return approval.VerifiedByNothing
	case c.ManagerCAPEM != "":
		return verifiedByCAPEM
	case c.ManagerCAPath != "":
		return verifiedByCAPath
	}
	return verifiedBySystem
}
