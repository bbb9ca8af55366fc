package converse

import "github.com/linux-patch/enroll/internal/approval"

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
