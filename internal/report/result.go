// Package report holds what a run says when it ends, and how a change shows in it.
//
// It promises that nothing in a result is secret: a file is shown by the text
// that its owner in the program makes of it. It decides nothing.
package report

import (
	"slices"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/plan"
)

// Result is what a run says when it ends; its JSON form is the module's
// output. Nothing in it is secret.
type Result struct {
	Changed bool   `json:"changed"`
	Failed  bool   `json:"failed"`
	Msg     string `json:"msg"`
	// State is empty where a run failed before it looked at the host.
	State contract.State `json:"state,omitempty"`
	// Actions lists what was done, or in check mode what would be, in order.
	Actions []string `json:"actions"`
	Manager *Manager `json:"manager,omitempty"`
	// Request is the evidence for who approves this host.
	Request *Request `json:"request,omitempty"`
	// Attempts counts the polls of this run that the manager answered.
	Attempts int `json:"attempts"`
	// PendingSince is when the request was made, RFC 3339.
	PendingSince string `json:"pending_since,omitempty"`
	// MachineID and FQDN are as sent: what an approver compares.
	MachineID    string        `json:"machine_id,omitempty"`
	FQDN         string        `json:"fqdn,omitempty"`
	Certificates *Certificates `json:"certificates,omitempty"`
	Key          *Key          `json:"key,omitempty"`
	Whitelist    *Whitelist    `json:"whitelist,omitempty"`
	BackupFiles  []string      `json:"backup_files"`
	Warnings     []string      `json:"warnings"`
	Error        *Error        `json:"error,omitempty"`
	Diff         []plan.Diff   `json:"diff,omitempty"`
	// RetryAfter is how long the manager's rate limit asks to wait, for a
	// caller that runs again; 0 where it was not reached.
	RetryAfter time.Duration `json:"-"`
	// Err is why a run failed, for errors.Is; nil where it did not.
	Err error `json:"-"`
}

// Request is a result's evidence for who approves: it names this host's request
// among others of the same name.
type Request struct {
	// TokenSHA256 is empty where this host holds no token.
	TokenSHA256 string `json:"token_sha256"`
	Proof       string `json:"proof"`
	// EarlierProof is of a request whose answer was lost, while the manager
	// refused a later one.
	EarlierProof string              `json:"earlier_proof,omitempty"`
	IPAddress    string              `json:"ip_address"`
	OSDetails    *contract.OSDetails `json:"os_details,omitempty"`
	SentAt       string              `json:"sent_at"`
}

// Manager names the manager of a result.
type Manager struct {
	URL string `json:"url"`
	// IP is the peer of the connection that delivered the bundle.
	IP string `json:"ip"`
	// CertificateSHA256 is what the manager presented when the request was sent.
	CertificateSHA256 string `json:"certificate_sha256,omitempty"`
	// VerifiedBy names what that certificate was verified with: an option,
	// "system", "insecure", or "unknown" where another program sent the request.
	VerifiedBy string `json:"verified_by,omitempty"`
}

// Certificates are the facts of the installed set.
type Certificates struct {
	CA     *Certificate `json:"ca"`
	Server *Certificate `json:"server"`
}

// Certificate is one installed certificate.
type Certificate struct {
	Path string `json:"path"`
	pki.Facts
}

// Key is the installed private key; its content is never told.
type Key struct {
	Path string `json:"path"`
	// Mode is octal, such as "0600".
	Mode string `json:"mode"`
}

// Whitelist says whether the manager may reach the agent.
type Whitelist struct {
	Path string `json:"path"`
	// Entry is the manager's address.
	Entry   string `json:"entry"`
	Present bool   `json:"present"`
	// CoveredBy is the entry that lets the manager in: its address, or a network.
	CoveredBy string `json:"covered_by"`
}

// Error is a failure as a result tells it.
type Error struct {
	Code      contract.Code `json:"code"`
	Retryable bool          `json:"retryable"`
	Hint      string        `json:"hint"`
}

// ErrorOf is how a result tells err.
func ErrorOf(err error) *Error {
	code := contract.CodeOf(err)
	return &Error{Code: code, Retryable: code.Info().Retryable, Hint: contract.HintOf(err)}
}

// New is the result of a run that has done nothing yet.
func New() *Result {
	return &Result{Actions: []string{}, BackupFiles: []string{}, Warnings: []string{}}
}

// Failed is the result of a run that failed before it began.
func Failed(err error) *Result {
	r := New()
	r.Fail(err)
	return r
}

// Act records one thing that was done or would be.
func (r *Result) Act(action string) { r.Actions = append(r.Actions, action) }

// Warn adds the warnings that are not there yet.
func (r *Result) Warn(warnings ...string) {
	for _, w := range warnings {
		if !slices.Contains(r.Warnings, w) {
			r.Warnings = append(r.Warnings, w)
		}
	}
}

// Exit is the exit code that belongs to the result.
func (r *Result) Exit() int {
	if !r.Failed {
		return 0
	}
	if r.Error == nil {
		return contract.CodeInternal.Info().Exit
	}
	return r.Error.Code.Info().Exit
}

// Fail makes a result that of a failed run.
func (r *Result) Fail(err error) {
	r.Failed, r.Err = true, err
	r.Msg, r.Error = err.Error(), ErrorOf(err)
}

// Add adds what another result has.
func (r *Result) Add(other *Result) {
	r.Changed = r.Changed || other.Changed
	r.Actions = append(r.Actions, other.Actions...)
	r.Warn(other.Warnings...)
	r.Diff = append(r.Diff, other.Diff...)
}
