package enroll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/identity"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/report"
)

// Info is what enrollment_info reports. It changes nothing and asks no one.
type Info struct {
	Changed bool   `json:"changed"`
	Failed  bool   `json:"failed"`
	Msg     string `json:"msg"`
	// State is empty where the host could not be looked at.
	State contract.State `json:"state,omitempty"`
	// Valid says that the installed set can serve.
	Valid bool `json:"valid"`
	// DaysLeft is how many whole days the certificate is still valid.
	DaysLeft *int `json:"days_left,omitempty"`
	// RenewalDue says that the next enrollment run would renew.
	RenewalDue bool `json:"renewal_due"`
	// Problems lists what is wrong, in sentences.
	Problems []string        `json:"problems"`
	Manager  *report.Manager `json:"manager,omitempty"`
	// Request is the evidence for who approves this host.
	Request      *report.Request      `json:"request,omitempty"`
	MachineID    string               `json:"machine_id,omitempty"`
	FQDN         string               `json:"fqdn,omitempty"`
	PendingSince string               `json:"pending_since,omitempty"`
	Certificates *report.Certificates `json:"certificates,omitempty"`
	Key          *report.Key          `json:"key,omitempty"`
	// CRLNextUpdate is when the installed CRL becomes out of date, RFC 3339.
	CRLNextUpdate string            `json:"crl_next_update,omitempty"`
	Whitelist     *report.Whitelist `json:"whitelist,omitempty"`
	// Service is what the daemon's status file says that it serves; absent
	// where there is none.
	Service json.RawMessage `json:"service,omitempty"`
	// AgentAsks says that a running agent asks the manager by itself.
	AgentAsks bool          `json:"-"`
	Warnings  []string      `json:"warnings"`
	Error     *report.Error `json:"error,omitempty"`
}

// Exit is the exit code that belongs to the report.
func (i *Info) Exit() int {
	if i.Error == nil {
		return 0
	}
	return i.Error.Code.Info().Exit
}

// StateExit is an exit code for scripts that only look at whether a host is
// enrolled: 0 where it is, without a problem. The codes are none of an error.
func (i *Info) StateExit() int {
	switch i.State {
	case contract.StateEnrolled:
		if len(i.Problems) == 0 {
			return 0
		}
		return 30
	case contract.StatePending, contract.StateRegistered:
		return 32
	case contract.StateForeign:
		return 33
	case contract.StateDenied:
		return 34
	case contract.StateExpired:
		return 35
	default:
		return 31
	}
}

// rightsHint is the hint where a file of root's could not be read.
func (e *Enroller) rightsHint(err error) string {
	if self, _ := e.Accounts.Self(); self != 0 && errors.Is(err, fs.ErrPermission) {
		return "run as root"
	}
	return contract.HintOf(err)
}

// Info reports how this host's enrollment stands.
func (e *Enroller) Info(ctx context.Context, p options.InfoParams) *Info {
	full := options.DefaultParams()
	full.Check, full.Report, full.ConfigManagerURL = true, true, false
	full.ConfigPath, full.StateDir = p.ConfigPath, p.StateDir
	full.CACertPath, full.ServerCertPath, full.ServerKeyPath = p.CACertPath, p.ServerCertPath, p.ServerKeyPath
	full.CRLPath, full.WhitelistPath, full.RenewBefore = p.CRLPath, p.WhitelistPath, p.RenewBefore
	full.ManagerIP, full.WhitelistManager = p.ManagerIP, p.WhitelistManager
	full.ManagerURL, full.BundleCAFingerprint = p.ManagerURL, p.BundleCAFingerprint
	full.Owner, full.Group, full.CertMode, full.KeyMode = p.Owner, p.Group, p.CertMode, p.KeyMode

	info := &Info{Problems: []string{}, Warnings: []string{}}
	if err := e.inform(ctx, full, p, info); err != nil {
		code := contract.CodeOf(err)
		info.Failed, info.Msg = true, err.Error()
		info.Error = &report.Error{Code: code, Retryable: code.Info().Retryable, Hint: e.rightsHint(err)}
	}
	return info
}

func (e *Enroller) inform(ctx context.Context, full options.Params, p options.InfoParams, info *Info) error {
	s, err := e.Host().Settle(full)
	if err != nil {
		return err
	}
	info.Warnings = append(info.Warnings, s.Warnings...)
	r := e.run(s, report.New())
	if err = r.Observe(); err != nil {
		return err
	}
	o := r.Disk
	live := r.Disk.AnyLiveToken()
	info.State = r.Standing(live)
	info.Valid = o.Set != nil && o.Unusable == nil
	if live != nil {
		info.PendingSince = live.Since.Format(time.RFC3339)
	}
	if o.Set != nil {
		days := int(o.Set.Server.NotAfter.Sub(e.Now()).Hours() / 24)
		info.DaysLeft = &days
		if crl := o.Set.CRL; crl != nil && !crl.NextUpdate.IsZero() {
			info.CRLNextUpdate = crl.NextUpdate.UTC().Format(time.RFC3339)
		}
		info.RenewalDue = r.Foreign() == "" && !o.Usable(e.Now(), s.RenewWithin)
	}
	info.Certificates, info.Key, info.Manager = o.Certificates(), o.KeyFacts(), r.ManagerFacts()
	info.MachineID, info.FQDN = o.Provenance().MachineID, o.Provenance().FQDN
	if info.MachineID == "" {
		if host, _, err := e.Identity.Gather(ctx, identity.Options{}); err == nil {
			info.MachineID, info.FQDN = host.MachineID, host.FQDN
		}
	}
	// What a waiting request says of the host is what its approver sees.
	if live != nil && live.FQDN != "" {
		info.FQDN = live.FQDN
	}
	if live != nil && info.Manager.URL == "" {
		info.Manager.URL = live.ManagerURL
	}
	info.Request = r.Evidence(info.Manager, info.MachineID)
	status := r.agentStatus(string(p.StatusPath))
	info.AgentAsks = status.asks()
	r.inspect(info)
	info.Service = status.content
	info.Problems = append(info.Problems, status.problems(info.served())...)
	info.Warnings = append(info.Warnings, o.Warnings...)
	info.Msg = info.sentence()
	return nil
}

// inspect lists what an enrollment run would fix.
func (r *run) inspect(info *Info) {
	problem := info.problem
	for _, err := range r.Distrusted() {
		problem("%v", err)
	}
	if r.Disk.Journal() != nil {
		problem("a run was interrupted while it put files in place (%s); %s", r.StatePaths().Journal, info.whoGoesOn())
	}
	if r.Disk.Spool() != nil {
		problem("a bundle was received and is not in place yet (%s); %s", r.StatePaths().Spool, info.whoGoesOn())
	}
	if r.Disk.Unusable != nil && r.Disk.Begun() {
		problem("the certificates cannot serve: %v", r.Disk.Unusable)
	}
	if r.Disk.CRLProblem != nil {
		problem("%s", r.Disk.CRLWarning(r.Disk.CRLProblem))
	}
	info.Warnings = append(info.Warnings, r.Disk.CloneWarning()...)
	info.Warnings = append(info.Warnings, r.WarnRenewBefore()...)
	if why := r.Foreign(); why != "" {
		problem("%s; %s", why, r.TakeOverHint())
		if !r.Disk.Usable(r.Now(), r.RenewWithin) {
			problem("the certificate is valid until %s only, and enrollment does not renew it", r.Disk.Set.Server.NotAfter.UTC().Format(time.DateOnly))
		}
		info.Whitelist = &report.Whitelist{Path: r.Whitelist}
		return
	}
	if !r.Disk.Begun() {
		info.Whitelist = &report.Whitelist{Path: r.Whitelist}
		return
	}
	repairs, _, err := r.PlanRepairs()
	for _, c := range repairs {
		problem("%s", c.Action())
	}
	info.Whitelist = r.Result.Whitelist
	info.Warnings = append(info.Warnings, r.Result.Warnings...)
	switch {
	case err != nil:
		problem("%v", err)
	case info.Whitelist != nil && info.Whitelist.Entry != "" && !info.Whitelist.Present:
		problem("%s does not let the manager %s in", info.Whitelist.Path, info.Whitelist.Entry)
	}
}

func (i *Info) sentence() string {
	switch {
	case i.State == contract.StatePending:
		if i.AgentAsks {
			return "a request waits for approval since " + i.PendingSince + "; the agent asks by itself"
		}
		return "a request waits for approval since " + i.PendingSince
	case i.Valid && len(i.Problems) == 0:
		return fmt.Sprintf("enrolled; the certificate is valid for %d more days", *i.DaysLeft)
	case len(i.Problems) > 0:
		return i.Problems[0]
	default:
		return "not enrolled"
	}
}

// served is the fingerprint that an agent is to serve, "" where none is installed.
func (i *Info) served() string {
	if i.Certificates == nil || i.Certificates.Server == nil {
		return ""
	}
	return i.Certificates.Server.Fingerprint
}

func (i *Info) problem(format string, args ...any) {
	i.Problems = append(i.Problems, fmt.Sprintf(format, args...))
}

// whoGoesOn says who finishes what a run left unfinished.
func (i *Info) whoGoesOn() string {
	if i.AgentAsks {
		return "the agent goes on with it by itself"
	}
	return "run enrollment again"
}
