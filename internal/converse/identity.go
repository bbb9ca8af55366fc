package converse

import (
	"context"
	"fmt"

	"github.com/linux-patch/enroll/internal/identity"
	"github.com/linux-patch/enroll/internal/managerclient"
)

// WhoAmI finds out what the manager is told of this host.
func (c *Conversation) WhoAmI(ctx context.Context) (identity.Host, error) {
	o := identity.Options{FQDN: c.Settings.FQDN, ReportIP: c.ReportIP, ReportInterface: c.ReportInterface, ReportedIn: c.ReportedIn}
	if c.URL != nil {
		// Check mode says the address of the route, a request that of its connection.
		o.Manager = managerclient.HostPort(c.URL)
	}
	host, warnings, err := c.Identity.Gather(ctx, o)
	if err != nil {
		return host, err
	}
	c.Result.Warn(warnings...)
	c.Result.MachineID, c.Result.FQDN = host.MachineID, host.FQDN
	c.Addresses = host.IPs
	if host.IP.IsValid() {
		c.Addresses = append(c.Addresses, host.IP)
	}
	return host, nil
}

// Identify is WhoAmI where the manager knows this host already, and what is
// left is to compare a certificate with it.
func (c *Conversation) Identify(ctx context.Context) {
	if _, err := c.WhoAmI(ctx); err != nil {
		c.Result.Warn(fmt.Sprintf("this host's identity could not be compared with the certificate: %v", err))
	}
}
