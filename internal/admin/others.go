package admin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/linux-patch/enroll/internal/approval"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/plan"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// requests lists what waits at the manager.
func (r *run) requests(ctx context.Context, p *RequestsParams) error {
	if err := r.open(ctx); err != nil {
		return err
	}
	r.report.Requests["list"]++
	err := r.api.Enrollments(ctx, func() func(managerclient.ListedRequest) {
		found := &Listed{Rows: []Request{}}
		r.report.Listed = found
		return func(row managerclient.ListedRequest) {
			if p.FQDN != "" && !approval.SameName(p.FQDN, row.FQDN) || p.MachineID != "" && p.MachineID != row.MachineID {
				return
			}
			found.Total++
			if len(found.Rows) < p.Limit {
				found.Rows = append(found.Rows, requestOf(row, r.expired(row)))
			}
		}
	})
	if err != nil {
		return err
	}
	r.report.Msg = fmt.Sprintf("%d requests wait", r.report.Listed.Total)
	if shown := len(r.report.Listed.Rows); shown < r.report.Listed.Total {
		r.report.Msg += fmt.Sprintf(", %d are shown", shown)
	}
	return nil
}

// theHost finds the one host of the manager that an entry means: by the id that
// was approved for it, else by its exact name.
func (a *approving) theHost(ctx context.Context, h HostEntry) (*managerclient.Host, error) {
	a.report.Requests["hosts"]++
	hosts, err := a.api.Hosts(ctx, h.FQDN)
	if err != nil {
		return nil, err
	}
	hosts = slices.DeleteFunc(hosts, func(host managerclient.Host) bool {
		return !approval.SameName(h.FQDN, host.FQDN) || h.RequestID != "" && h.RequestID != host.ID
	})
	if len(hosts) != 1 {
		return nil, nil
	}
	return &hosts[0], nil
}

// withdraw undoes approvals: re-issuing revokes the set that leaked, the new one
// is dropped, and the host is removed.
func (a *approving) withdraw(ctx context.Context) error {
	a.report.Results = map[string]*HostResult{}
	if len(a.p.Hosts) == 0 {
		return nil
	}
	if err := a.open(ctx); err != nil {
		return err
	}
	for _, h := range a.p.Hosts {
		res := &HostResult{Decision: decisionNotFound, Refused: true, Suspects: []approval.Suspect{}, Compared: []approval.Comparison{},
			Reason: "the manager has no host with exactly this name, or several"}
		a.report.Results[h.Name] = res
		host, err := a.theHost(ctx, h)
		if err != nil {
			return err
		}
		if host == nil {
			continue
		}
		res.RequestID = host.ID
		a.report.Changed = true
		header := "host " + approval.Plain(host.FQDN)
		a.report.Diff = append(a.report.Diff, plan.Diff{BeforeHeader: header, AfterHeader: header, Before: "enrolled\n", After: "certificates revoked, removed\n"})
		if !a.check {
			if err := a.withdrawOne(ctx, h, host); err != nil {
				return err
			}
		}
		res.Decision, res.Refused, res.Reason = decisionWithdrawn, false, "the host "+a.were()+" removed, and its certificates revoked"
	}
	return nil
}

func (a *approving) withdrawOne(ctx context.Context, h HostEntry, host *managerclient.Host) error {
	facts := func() map[string]string {
		return map[string]string{"host_id": host.ID, "fqdn": approval.Plain(host.FQDN), "inventory_host": h.Name}
	}
	a.report.Requests["reissue"]++
	switch _, err := a.api.Reissue(ctx, host.ID); {
	case err == nil:
		a.audit(contract.EventAdminReissued, facts())
	case !managerclient.IsGone(err):
		return err
	}
	a.report.Requests["remove"]++
	if err := a.api.RemoveHost(ctx, host.ID); err != nil && !managerclient.IsGone(err) {
		return err
	}
	a.audit(contract.EventAdminRemoved, facts())
	return nil
}

// closeRun compares what the hosts installed with what the manager issued to
// the requests that were approved in this run.
func (a *approving) closeRun(ctx context.Context) error {
	a.report.Results = map[string]*HostResult{}
	asked := map[string]HostEntry{}
	for _, h := range a.p.Hosts {
		res := &HostResult{Suspects: []approval.Suspect{}, Compared: []approval.Comparison{}, RequestID: h.RequestID, Decision: decisionFailed, Refused: true,
			Reason: "the host is not enrolled"}
		if h.evidence().Enrolled {
			res.Decision, res.Refused, res.Reason = string(approval.Enrolled), false, "the host is enrolled"
		}
		a.report.Results[h.Name] = res
		if h.RequestID != "" {
			asked[h.RequestID] = h
		}
	}
	if len(asked) == 0 || a.check {
		return nil
	}
	if err := a.open(ctx); err != nil {
		return err
	}
	serials := map[string][]string{}
	a.report.Requests["certificates"]++
	err := a.api.Certificates(ctx, func() func(managerclient.CertificateRow) {
		return func(c managerclient.CertificateRow) {
			if _, ours := asked[c.HostID]; ours {
				serials[c.HostID] = append(serials[c.HostID], serial(c.Serial))
			}
		}
	})
	if err != nil {
		return err
	}
	for id, h := range asked {
		a.closeHost(h, serials[id], a.report.Results[h.Name])
	}
	return nil
}

func (a *approving) closeHost(h HostEntry, issued []string, res *HostResult) {
	installed := serialOf(h.Evidence)
	lost := errorCodeOf(h.Evidence) == contract.CodeTokenUnknown || errorCodeOf(h.Evidence) == contract.CodeBundleLost
	switch {
	case res.Decision == string(approval.Enrolled) && !slices.Contains(issued, serial(installed)):
		_ = refused(res, decisionOther, fmt.Sprintf("the host's certificate (serial %s) is not one that the manager issued for its request; find out who answered it", approval.Plain(installed)))
	case res.Refused && lost:
		_ = refused(res, decisionUnclaimed, "it was approved and the host did not receive the bundle: treat the key as stolen, remove the host at the manager (state withdrawn), and enroll it again")
	}
}

// serial is a serial number without what writers of it differ in.
func serial(s string) string {
	s = strings.ToLower(strings.ReplaceAll(s, ":", ""))
	return strings.TrimLeft(strings.TrimPrefix(s, "0x"), "0")
}

// reissue makes a new set for one enrolled host. The report then holds the key.
func (a *approving) reissue(ctx context.Context) error {
	if len(a.p.Hosts) != 1 {
		return contract.Errorf(contract.CodeInvalidArgument, "reissue takes exactly one host")
	}
	entry := a.p.Hosts[0]
	e := entry.evidence()
	if e.InventoryHostname != entry.Name || e.Connection != approval.ConnectionVerified {
		return contract.Errorf(contract.CodeInvalidArgument, "a set is re-issued over a verified connection only, and the evidence of %s is not from one", clip(entry.Name))
	}
	if err := a.open(ctx); err != nil {
		return err
	}
	host, err := a.theHost(ctx, entry)
	if err != nil {
		return err
	}
	if host == nil {
		return contract.Errorf(contract.CodeConflict, "the manager has no host with exactly the name %s, or several", approval.Plain(entry.FQDN)).
			WithHint("enroll the host anew; if it was renamed, set enroll_expected_fqdn to the name that the manager has")
	}
	a.report.Changed = true
	if a.check {
		return nil
	}
	a.report.Requests["reissue"]++
	set, err := a.api.Reissue(ctx, host.ID)
	if err != nil {
		return err
	}
	a.audit(contract.EventAdminReissued, map[string]string{"host_id": host.ID, "fqdn": approval.Plain(host.FQDN), "inventory_host": entry.Name})
	a.report.Msg = "re-issued"
	a.report.Bundle = &contract.PkiBundle{CACrt: set.CARootPEM, ServerCrt: set.ServerCertPEM, ServerKey: set.ServerKeyPEM}
	return nil
}

// logout ends the session of a run that left it, if it still is one.
func (r *run) logout(ctx context.Context) error {
	if r.c.SessionPath == "" {
		return contract.Errorf(contract.CodeInvalidArgument, "missing required arguments: session_path")
	}
	if err := r.dial(); err != nil {
		return err
	}
	found, err := r.resume(ctx)
	if r.refused || contract.CodeOf(err) == contract.CodeInvalidArgument && r.session != nil {
		r.refused, err = false, nil // there is none, or it is of another account and ends by itself
	}
	if err == nil && found {
		r.report.Msg = "logged out"
	}
	return err
}
