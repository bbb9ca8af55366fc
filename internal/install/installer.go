// Package install puts a certificate set in place and all that belongs to it:
// the whitelist's entry, the manager's URL in config.yaml, a package repository,
// a CRL. It finds out beforehand whether that can be done, and removes what
// enrollment put there.
//
// It promises that readers see the old set or the new one, that a run killed at
// any point is finished by the next, and that nothing is removed or overwritten
// unasked that enrollment did not write. It talks with no manager.
package install

import (
	"context"
	"fmt"
	"maps"
	"net/netip"

	"github.com/linux-patch/enroll/internal/audit"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/observe"
	"github.com/linux-patch/enroll/internal/plan"
)

// Installer changes the files of one host, for one run.
type Installer struct {
	*observe.View
	Audit func(path string) audit.Recorder
	// LookupIP is that of net.Resolver; nil finds nothing.
	LookupIP func(ctx context.Context, network, host string) ([]netip.Addr, error)
	// Addresses are this host's, for comparing with a certificate.
	Addresses []netip.Addr
	// repo is the package repository of the bundle, nil where none is to be installed.
	repo *contract.RepoConfig
}

// Record records an event in a real run; a log that cannot be written is a
// warning, never a failure.
func (in *Installer) Record(event contract.Event, fields map[string]string) {
	all := map[string]string{"machine_id": in.Result.MachineID, "fqdn": in.Result.FQDN}
	if in.URL != nil {
		all["manager"] = in.URL.String()
	}
	maps.Copy(all, fields)
	if err := in.Perform(plan.Step{Do: func() error { return in.Audit(in.AuditLog).Record(event, all) }}); err != nil {
		in.Result.Warn(fmt.Sprintf("the audit log was not written: %v (logging.file_path of %s)", err, in.ConfigPath))
	}
}

// change is the step that changes one file: it is shown once it is done.
func (in *Installer) change(c *plan.Change, do func() error) plan.Step {
	return plan.Step{Do: func() error {
		if err := do(); err != nil {
			return err
		}
		in.Result.Show(c)
		return nil
	}, Say: func() error { in.Result.Show(c); return nil }}
}
