package install

import (
	"context"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/plan"
)

// Provision verifies a bundle, plans, and in a real run puts it in place.
func (in *Installer) Provision(ctx context.Context, bundle *contract.PkiBundle, from Source) error {
	set, err := in.accept(bundle)
	if err != nil {
		return err
	}
	ip := from.IP
	if in.ManagerAddr.IsValid() {
		ip = in.ManagerAddr
	}
	change, needed, err := in.planWhitelist(ip)
	if err != nil {
		return err
	}
	var admit *plan.Change
	if needed {
		admit = &change
	}
	return in.apply(ctx, set, admit, Source{url: from.url, IP: ip})
}
