package enroll

import (
	"context"
	"fmt"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/plan"
)

// foreseeApproval says in check mode what an approval would change. What only
// the manager can tell stands as a warning, not as a guess.
func (r *run) foreseeApproval(ctx context.Context) error {
	r.res.Changed = true
	r.res.State = contract.StatePending
	if t := r.liveToken(); t != nil {
		r.notePending(t)
	}
	copied := r.tokenComes() && r.foreseeMirror()
	if r.State == string(contract.StateRegistered) {
		r.res.State = contract.StateRegistered
		r.res.Msg = fmt.Sprintf("would be registered at %s", r.URL)
		return nil
	}
	r.res.Msg = fmt.Sprintf("would ask %s and put its certificates in place once it is approved", r.URL)
	r.res.Warn("check mode asks no manager: what it would answer, and the certificates that it would issue, are not known")
	for _, d := range r.desired(nil) {
		if d.after.Path == r.CRL {
			continue
		}
		c := r.toBeIssued(d)
		r.res.Act(c.Action())
		r.res.Diff = append(r.res.Diff, c.Diff())
	}
	if err := r.foreseeWhitelist(); err != nil {
		return err
	}
	if change, needed := r.planConfigURL(ctx); needed {
		r.res.Show(change)
	}
	return r.foreseeClear(copied)
}

// tokenComes tells whether this run would make a token that of the host: one of
// a new request, or one that a killed run was given. One that it would take over
// from config.yaml stands there already.
func (r *run) tokenComes() bool {
	return r.o.NewToken() != nil || r.liveToken() == nil && !r.adoptable()
}

func (r *run) foreseeWhitelist() error {
	if !r.WhitelistManager {
		return nil
	}
	ip := r.knownManagerIP()
	if !ip.IsValid() {
		r.res.Act("let the manager in: " + r.Whitelist)
		r.res.Warn(fmt.Sprintf("the line that would be added to %s is not known before the manager is connected to; set manager_ip to see it", r.Whitelist))
		return nil
	}
	admit, needed, err := r.planWhitelist(ip)
	if err == nil && needed {
		r.res.Show(admit)
	}
	return err
}

// toBeIssued is the change of a file whose new content only the manager knows.
func (r *run) toBeIssued(d desire) plan.Change {
	after := d.after
	after.Exists = true
	after.Content = nil
	after.Text = func() string { return fmt.Sprintf("to be issued by %s\n", r.URL) }
	c := plan.Change{Op: plan.Create, Before: d.before, After: after}
	if d.before.Exists {
		c.Op = plan.Replace
	}
	return c
}
