package admin

import (
	"cmp"
	"context"
	"fmt"

	"github.com/linux-patch/enroll/internal/approval"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
)

// conflict deals with a host that the manager has already in the request's
// place. again says that it was removed.
func (a *approving) conflict(ctx context.Context, h *approval.Host, existing *managerclient.Host, res *HostResult, try int) (again bool) {
	existing = cmp.Or(existing, &managerclient.Host{})
	if existing.Since == "" {
		a.complete(ctx, existing, h)
	}
	return a.hostExists(ctx, h, existing, res, try < maxApprovalTries)
}

// refusedByManager deals with a host that the manager did not let register,
// because it has it already.
func (a *approving) refusedByManager(ctx context.Context, h *approval.Host, res *HostResult) {
	existing := &managerclient.Host{}
	a.complete(ctx, existing, h)
	if existing.ID != "" && a.hostExists(ctx, h, existing, res, h.Repairs < approval.MaxRepairs) {
		res.RegisterAgain = true
		res.Repairs++
		res.Reason += "; it " + a.were() + " removed so that the host can register"
	}
}

// hostExists says which host the manager has already, and removes it where that
// was asked for, may be done once more, and it is this host by its name. It
// reports whether it did.
func (a *approving) hostExists(ctx context.Context, h *approval.Host, existing *managerclient.Host, res *HostResult, again bool) bool {
	res.Decision, res.Refused = decisionHostExists, true
	if existing.ID == "" {
		res.Reason = "the manager has a host of this name or address already, and does not say which"
		return false
	}
	shown := managerclient.Host{ID: approval.Plain(existing.ID), FQDN: approval.Plain(existing.FQDN), IPAddress: approval.Plain(existing.IPAddress), Since: approval.Plain(existing.Since)}
	res.Existing = &shown
	res.Reason = fmt.Sprintf("the manager has a host %s (%s, %s, since %s) in its place; set on_existing to reissue, which keeps that host's groups and history",
		shown.FQDN, shown.ID, shown.IPAddress, cmp.Or(shown.Since, "an unknown time"))
	switch {
	case a.p.OnExisting != doReplace || !again:
		return false
	case !approval.SameName(h.FQDN, existing.FQDN):
		res.Reason += "; it was not replaced, since its name is not this host's"
		return false
	case a.check:
		a.report.Changed = true
		return true
	}
	a.report.Requests["remove"]++
	if err := a.api.RemoveHost(ctx, existing.ID); err != nil {
		res.Reason += "; it could not be removed: " + err.Error()
		return false
	}
	a.report.Changed = true
	a.audit(contract.EventAdminRemoved, map[string]string{"host_id": shown.ID, "fqdn": shown.FQDN, "ip_address": shown.IPAddress, "inventory_host": h.Name})
	return true
}

// complete finds what the manager's answer did not tell of the existing host.
func (a *approving) complete(ctx context.Context, existing *managerclient.Host, h *approval.Host) {
	a.report.Requests["hosts"]++
	hosts, err := a.api.Hosts(ctx, cmp.Or(existing.FQDN, h.FQDN))
	if err != nil {
		a.report.warn(fmt.Sprintf("the hosts of the manager could not be listed: %v", err))
		return
	}
	for _, host := range hosts {
		if host.ID == existing.ID || existing.ID == "" && approval.SameName(h.FQDN, host.FQDN) {
			*existing = host
			return
		}
	}
}
