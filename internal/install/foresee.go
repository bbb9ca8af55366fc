package install

import (
	"context"
	"fmt"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/plan"
)

// ForeseeApproval says in check mode what an approval would change. What only
// the manager can tell stands as a warning, not as a guess.
func (in *Installer) ForeseeApproval(ctx context.Context) error {
	in.Result.Changed = true
	in.Result.State = contract.StatePending
	if t := in.LiveToken(); t != nil {
		in.NotePending(t)
	}
	copied := in.tokenComes() && in.ForeseeMirror()
	if in.State == string(contract.StateRegistered) {
		in.Result.State = contract.StateRegistered
		in.Result.Msg = fmt.Sprintf("would be registered at %s", in.URL)
		return nil
	}
	in.Result.Msg = fmt.Sprintf("would ask %s and put its certificates in place once it is approved", in.URL)
	in.Result.Warn("check mode asks no manager: what it would answer, and the certificates that it would issue, are not known")
	for _, d := range in.desired(nil) {
		if d.after.Path == in.CRL {
			continue
		}
		in.Result.Show(in.toBeIssued(d))
	}
	if err := in.foreseeWhitelist(); err != nil {
		return err
	}
	in.Result.Show(in.planConfigURL(ctx, in.URL.String()))
	return in.foreseeClear(copied)
}

// tokenComes reports whether this run would make a token that of the host: one of
// a new request, or one that a killed run was given. One that it would take over
// from config.yaml stands there already.
func (in *Installer) tokenComes() bool {
	return in.Disk.NewToken() != nil || in.LiveToken() == nil && !in.Adoptable()
}

func (in *Installer) foreseeWhitelist() error {
	if !in.WhitelistManager {
		return nil
	}
	ip := in.AskedManagerIP()
	if !ip.IsValid() {
		in.Result.Act("let the manager in: " + in.Whitelist)
		in.Result.Warn(fmt.Sprintf("the line that would be added to %s is not known before the manager is connected to; set manager_ip to see it", in.Whitelist))
		return nil
	}
	admit, err := in.planWhitelist(ip)
	in.Result.Show(admit)
	return err
}

// toBeIssued is the change of a file whose new content only the manager knows.
func (in *Installer) toBeIssued(d desire) *plan.Change {
	after := d.after
	after.Exists = true
	after.Content = nil
	after.Text = func() string { return fmt.Sprintf("to be issued by %s\n", in.URL) }
	c := &plan.Change{Op: plan.Create, Before: d.before, After: after}
	if d.before.Exists {
		c.Op = plan.Replace
	}
	return c
}
