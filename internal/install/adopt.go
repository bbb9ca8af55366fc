package install

import (
	"context"
	"net/netip"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/statedir"
)

// AdoptSet makes a set that another program has installed that of this host, and
// ends the request. ip is the manager's address.
func (in *Installer) AdoptSet(ctx context.Context, ip netip.Addr) error {
	set := in.Disk.Set
	err := in.Disk.Remember(func(p *statedir.Provenance) {
		for path, sum := range in.installedDigests() {
			if sum != "" {
				p.Place(path, sum)
			}
		}
		p.ManagerURL, p.CAFingerprint = in.URL.String(), pki.Fingerprint(set.CA.Raw)
		p.MachineID, p.FQDN, p.Removed = in.Result.MachineID, in.Result.FQDN, nil
		if ip.IsValid() {
			p.ManagerIP = ip.String()
		}
	})
	if err != nil {
		return err
	}
	in.Result.Act("take over the certificate set that another agent has fetched with the polling token")
	in.Result.Changed, in.Result.PendingSince = true, ""
	in.Record(contract.EventProvisioned, map[string]string{"serial": set.Server.SerialNumber.Text(16), "ca_sha256": pki.Fingerprint(set.CA.Raw)})
	if err := in.endRequest(ctx); err != nil {
		return err
	}
	return in.Converge(ctx)
}
