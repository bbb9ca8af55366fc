package install

import (
	"context"
	"fmt"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/plan"
)

// PlanRepairs compares the attributes of a good set and the whitelist with
// what they should be. admit is nil where the manager is let in.
func (in *Installer) PlanRepairs() (attributes []*plan.Change, admit *plan.Change, err error) {
	in.WarnOpenSet()
	for _, d := range in.desired(nil) {
		if c := plan.Compare(d.before, d.after); c != nil {
			attributes = append(attributes, c)
		}
	}
	if in.State == string(contract.StateRegistered) {
		return attributes, nil, nil
	}
	admit, err = in.planWhitelist(in.KnownManagerIP())
	return attributes, admit, err
}

// Converge repairs what is wrong around a good set. It asks no manager.
func (in *Installer) Converge(ctx context.Context) error {
	if err := in.Confirm(); err != nil {
		return err
	}
	repairs, admit, err := in.PlanRepairs()
	if err != nil {
		return err
	}
	if len(repairs) > 0 && ctx.Err() != nil {
		return ctx.Err()
	}
	for _, c := range repairs {
		if err := in.Perform(in.change(c, func() error { return in.Files.SetAttributes(c.After.Path, attributesOf(c.After)) })); err != nil {
			return err
		}
	}
	if err := in.letIn(ctx, admit, in.KnownManagerIP()); err != nil {
		return err
	}
	return in.Conclude(ctx)
}

// Conclude ends a run on a host where nothing is left to repair.
func (in *Installer) Conclude(ctx context.Context) error {
	if in.State != string(contract.StateRegistered) {
		if err := in.tellAgent(ctx, in.agentsManager()); err != nil {
			return err
		}
	}
	// Someone may remove the set before it is looked at again.
	until := in.Disk.Set.Server.NotAfter
	if err := in.ObserveAgain(); err != nil {
		return err
	}
	in.Result.Msg = fmt.Sprintf("this host is enrolled; its certificate is valid until %s", until.UTC().Format("2006-01-02 15:04 MST"))
	return nil
}
