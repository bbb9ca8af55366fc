package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/linux-patch/enroll/internal/approval"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/plan"
)

// The decisions that results name beside those of package approval. "approve"
// becomes one of them.
const (
	decisionApproved   = "approved"
	decisionDenied     = "denied"
	decisionWithdrawn  = "withdrawn"
	decisionHostExists = "host_exists"
	decisionFailed     = "failed"
	decisionUnclaimed  = "unclaimed"
	decisionOther      = "other_certificate"
	decisionNotFound   = "not_listed"
)

// approving is one run of approve.
type approving struct {
	*run
	p     *ApproveParams
	hosts []approval.Host
	// known are the hosts whose registration the manager refused as known.
	known map[string]bool
}

const maxApprovalTries = 3

// approve decides on the requests of the hosts, and does what was decided.
func (a *approving) approve(ctx context.Context) error {
	a.report.Results = map[string]*HostResult{}
	if a.settled() {
		return nil
	}
	if err := a.open(ctx); err != nil {
		return err
	}
	listing, err := a.list(ctx)
	if err != nil {
		return err
	}
	a.compareCertificates()
	verdicts := listing.Decide(approval.Options{
		AllowUnverifiedConnection:   a.p.AllowUnverifiedConnection,
		AllowUnverifiedRegistration: a.p.AllowUnverifiedRegistration,
		DenyBlocked:                 a.p.OnBlocked == doDeny,
	})
	for i := range verdicts {
		if a.p.Hosts[i].onlyKnown() {
			continue
		}
		h, v := &a.hosts[i], &verdicts[i]
		res := resultOf(h, v)
		a.report.Results[h.Name] = res
		switch {
		case err != nil: // one host has met what ends the run: no other one tries
		case a.p.State == StateDenied:
			err = a.deny(ctx, h, v, res)
		default:
			err = a.act(ctx, h, v, res)
		}
		if err != nil && (v.Decision == approval.Approve || v.Deny) {
			_ = refused(res, decisionFailed, "the run ended before it was decided: "+err.Error())
		}
	}
	if err != nil {
		return err
	}
	// The manager has said yes: the hosts have 600 s to fetch, and must not miss them.
	if err := a.verify(ctx); ctx.Err() != nil {
		return err
	} else if err != nil {
		a.report.warn("what was decided could not be verified by a second list: " + err.Error())
	}
	return nil
}

// settled answers for a fleet that waits for nothing: no login, no request.
func (a *approving) settled() bool {
	a.known = map[string]bool{}
	waits := false
	for _, h := range a.p.Hosts {
		e := h.evidence()
		waits = waits || !h.onlyKnown() && (!e.Enrolled || e.InventoryHostname != "" && e.InventoryHostname != h.Name)
		a.hosts = append(a.hosts, hostOf(h))
		a.known[h.Name] = errorCodeOf(h.Evidence) == contract.CodeConflict
	}
	if waits {
		return false
	}
	for i, v := range approval.Decide(nil, a.hosts, approval.Options{}) {
		if a.p.Hosts[i].onlyKnown() {
			continue
		}
		a.report.Results[a.hosts[i].Name] = resultOf(&a.hosts[i], &v)
	}
	return true
}

const maxUnclaimed = 20

// list keeps the requests that concern the hosts, and counts the others.
func (a *approving) list(ctx context.Context) (listing *approval.Listing, err error) {
	a.report.Requests["list"]++
	err = a.api.Enrollments(ctx, func() func(managerclient.ListedRequest) {
		nobodys := &Unclaimed{First: []Request{}}
		listing, a.report.UnclaimedRows = approval.NewListing(a.hosts), nobodys
		return func(r managerclient.ListedRequest) {
			if listing.Add(rowOf(r)) {
				return
			}
			nobodys.Count++
			if len(nobodys.First) < maxUnclaimed {
				nobodys.First = append(nobodys.First, requestOf(r, a.expired(r)))
			}
		}
	})
	return listing, err
}

// stillListed asks the manager whether it still lists a request.
func (a *approving) stillListed(ctx context.Context, id string) (found bool, err error) {
	a.report.Requests["list"]++
	err = a.api.Enrollments(ctx, func() func(managerclient.ListedRequest) {
		found = false
		return func(r managerclient.ListedRequest) { found = found || r.ID == id }
	})
	return found, err
}

func (r *run) expired(row managerclient.ListedRequest) bool {
	return !row.ExpiresAt.IsZero() && r.env.Now().After(row.ExpiresAt)
}

// compareCertificates warns where hosts and this controller were presented
// different certificates.
func (a *approving) compareCertificates() {
	ours := a.presented()
	differ := 0
	for _, h := range a.p.Hosts {
		if theirs := text(object(object(h.Evidence)["manager"])["certificate_sha256"]); theirs != "" && ours != "" && theirs != ours {
			differ++
		}
	}
	if differ > 0 {
		a.report.warn(fmt.Sprintf("%d hosts were presented another HTTPS certificate by the manager than this controller (SHA-256 %s); if it was not renewed in between, someone may intercept the connection", differ, ours))
	}
}

func resultOf(h *approval.Host, v *approval.Verdict) *HostResult {
	res := &HostResult{
		Decision: string(v.Decision), Refused: v.Decision != approval.Enrolled, Reason: v.Reason, MatchedBy: v.MatchedBy, Twin: v.Twin,
		Compared: v.Compared, Suspects: v.Suspects, SuspectCount: v.SuspectCount, Repairs: h.Repairs,
	}
	if res.Suspects == nil {
		res.Suspects = []approval.Suspect{}
	}
	if v.Row != nil {
		res.RequestID = v.Row.ID
	}
	return res
}

// act does what was decided for one host. Only what ends the run is an error.
func (a *approving) act(ctx context.Context, h *approval.Host, v *approval.Verdict, res *HostResult) error {
	switch {
	case v.Decision == approval.Approve:
		return a.approveOne(ctx, h, v.Row, res)
	case v.Decision == approval.NoRequest && a.known[h.Name]:
		a.refusedByManager(ctx, h, res)
	case v.Deny:
		if err := a.denyOne(ctx, h, v.Row, res); err != nil {
			return err
		}
		res.RegisterAgain = true
		res.Repairs++
	}
	return nil
}

// approveOne approves one request. Its result becomes approved only where the
// manager said so, or no longer lists the request.
func (a *approving) approveOne(ctx context.Context, h *approval.Host, row *approval.Row, res *HostResult) error {
	if a.check {
		a.approved(ctx, h, row, res)
		return nil
	}
	for try, arrived := 1, false; ; try++ {
		a.report.Requests["approve"]++
		err := a.api.Approve(ctx, row.ID)
		if err == nil {
			a.approved(ctx, h, row, res)
			return nil
		}
		failed, ok := errors.AsType[*managerclient.AdminError](err)
		// A manager that is down would take as many tries for each other host.
		if !ok || ctx.Err() != nil || failed.Err.Code == contract.CodeLogin || failed.Err.Code == contract.CodeUnreachable && !failed.MaybeDelivered {
			return err
		}
		if failed.MaybeDelivered || arrived && isOfEarlierTry(failed, row) {
			arrived = true
			switch listed, err := a.stillListed(ctx, row.ID); {
			case err != nil:
				return err
			case !listed:
				a.approved(ctx, h, row, res)
				return nil
			}
		}
		switch {
		case failed.HTTPStatus == http.StatusConflict && !failed.MaybeDelivered:
			if !a.conflict(ctx, h, failed.Existing, res, try) {
				return nil
			}
		case managerclient.IsGone(failed):
			res.Decision, res.Reason = decisionNotFound, "someone else has decided the request meanwhile"
			return nil
		case !failed.MaybeDelivered || try >= maxApprovalTries:
			return refused(res, decisionFailed, "the manager did not approve: "+failed.Error())
		}
	}
}

// isOfEarlierTry reports whether the refusal tells of an earlier try that was
// carried out late: the request is gone, or the conflict is with its own host.
func isOfEarlierTry(failed *managerclient.AdminError, row *approval.Row) bool {
	return managerclient.IsGone(failed) || failed.Existing != nil && failed.Existing.ID == row.ID
}

func refused(res *HostResult, decision, reason string) error {
	res.Decision, res.Refused, res.Reason = decision, true, reason
	return nil
}

func (a *approving) approved(ctx context.Context, h *approval.Host, row *approval.Row, res *HostResult) {
	res.Decision, res.Refused = decisionApproved, false
	a.changed(h, row, "approved", res)
	if !a.check {
		a.audit(contract.EventAdminApproved, a.facts(h, row, res))
		a.group(ctx, row.ID, h)
	}
}

// were is the verb for what is done, or in check mode would be.
func (a *approving) were() string {
	if a.check {
		return "would be"
	}
	return "was"
}

// changed notes that a request is, or in check mode would be, decided.
func (a *approving) changed(h *approval.Host, row *approval.Row, what string, res *HostResult) {
	a.report.Changed = true
	by := ""
	if res.MatchedBy != "" {
		by = ", proven by " + string(res.MatchedBy)
	}
	header := fmt.Sprintf("request %s of %s", approval.Plain(row.ID), approval.Plain(h.Name))
	a.report.Diff = append(a.report.Diff, plan.Diff{BeforeHeader: header, AfterHeader: header, Before: "pending\n", After: what + by + "\n"})
}

func (a *approving) facts(h *approval.Host, row *approval.Row, res *HostResult) map[string]string {
	return map[string]string{
		"request_id": approval.Plain(row.ID), "fqdn": approval.Plain(row.FQDN), "ip_address": approval.Plain(row.IPAddress),
		"machine_id": approval.Plain(row.MachineID), "matched_by": string(res.MatchedBy), "inventory_host": h.Name,
	}
}

// group puts a host that was just approved into the groups; its id is the
// request's.
func (a *approving) group(ctx context.Context, id string, h *approval.Host) {
	for _, group := range a.p.Groups {
		a.report.Requests["group"]++
		if err := a.api.AddToGroup(ctx, id, group); err != nil {
			a.report.warn(fmt.Sprintf("%s was not put into group %s: %v", h.Name, clip(group), err))
		}
	}
}

// denyOne denies one request.
func (a *approving) denyOne(ctx context.Context, h *approval.Host, row *approval.Row, res *HostResult) error {
	if !a.check {
		a.report.Requests["deny"]++
		if err := a.api.Deny(ctx, row.ID); err != nil {
			return err
		}
		a.audit(contract.EventAdminDenied, a.facts(h, row, res))
	}
	a.changed(h, row, "denied", res)
	return nil
}

// deny denies the requests that are proven to be the hosts' own.
func (a *approving) deny(ctx context.Context, h *approval.Host, v *approval.Verdict, res *HostResult) error {
	if v.Row == nil || v.MatchedBy == "" && v.Decision != approval.Orphaned {
		return nil
	}
	if err := a.denyOne(ctx, h, v.Row, res); err != nil {
		return err
	}
	res.Decision, res.Refused, res.Reason = decisionDenied, false, "the host's own request "+a.were()+" denied"
	return nil
}

// verify lists the requests once more: none that was decided may still wait.
func (a *approving) verify(ctx context.Context) error {
	decided := map[string]*HostResult{}
	for _, res := range a.report.Results {
		if res.RequestID != "" && (res.Decision == decisionApproved || res.Decision == decisionDenied || res.RegisterAgain) {
			decided[res.RequestID] = res
		}
	}
	if a.check || len(decided) == 0 {
		return nil
	}
	a.report.Requests["list"]++
	return a.api.Enrollments(ctx, func() func(managerclient.ListedRequest) {
		return func(r managerclient.ListedRequest) {
			if res := decided[r.ID]; res != nil {
				res.RegisterAgain = false
				_ = refused(res, decisionFailed, "the manager still lists the request after it was decided")
			}
		}
	})
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// summary is the sentence of a report on hosts.
func (r *Report) summary() {
	r.Counts = map[string]int{}
	for _, res := range r.Results {
		r.Counts[res.Decision]++
	}
	var parts []string
	for _, name := range sortedKeys(r.Counts) {
		parts = append(parts, fmt.Sprintf("%d %s", r.Counts[name], name))
	}
	r.Msg = "no hosts"
	if len(parts) > 0 {
		r.Msg = strings.Join(parts, ", ")
	}
}
