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

// verifiedBy names what this run verifies the manager's HTTPS certificate with, as
// results name it.
func (c *Conversation) verifiedBy() string {
	switch {
	case c.URL == nil:
		return ""
	case c.URL.Scheme == "http":
		return approval.VerifiedByNothing
	case c.ManagerCAFingerprint != "":
		return "manager_ca_fingerprint"
	case c.Insecure:
		return approval.VerifiedByNothing
	case c.ManagerCAPEM != "":
		return "manager_ca_pem"
	case c.ManagerCAPath != "":
		return "manager_ca_path"
	}
	return "system"
}
