package admin

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/linux-patch/enroll/internal/approval"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/report"
)

// Report is what a command says when it ends. Nothing in it is secret.
type Report struct {
	Changed bool   `json:"changed"`
	Failed  bool   `json:"failed"`
	Msg     string `json:"msg"`
	// Results has one entry for each host, by its name.
	Results map[string]*HostResult `json:"results,omitempty"`
	// Counts are the decisions and how many hosts met each.
	Counts map[string]int `json:"counts,omitempty"`
	// UnclaimedRows are the requests that belong to no host of the inventory.
	UnclaimedRows *Unclaimed `json:"unclaimed_rows,omitempty"`
	// Requests are those that were sent, by kind.
	Requests map[string]int      `json:"requests"`
	Audit    []map[string]string `json:"audit"`
	Listed   *Listed             `json:"enrollments,omitempty"`
	Warnings []string            `json:"warnings"`
	Diff     []plan.Diff         `json:"diff,omitempty"`
	Error    *report.Error       `json:"error,omitempty"`
	// Bundle is a re-issued set. Only the command reissue has one: its output
	// is a secret.
	Bundle *contract.PkiBundle `json:"bundle,omitempty"`
}

// Unclaimed counts requests of no one, and shows some.
type Unclaimed struct {
	Count int       `json:"count"`
	First []Request `json:"first"`
}

// Listed are requests as the manager lists them.
type Listed struct {
	// Total counts all that match; Rows may be fewer.
	Total int       `json:"total"`
	Rows  []Request `json:"rows"`
}

// Request is one enrollment request, made plain.
type Request struct {
	ID          string            `json:"request_id"`
	MachineID   string            `json:"machine_id"`
	FQDN        string            `json:"fqdn"`
	Hostname    string            `json:"hostname"`
	IPAddress   string            `json:"ip_address"`
	TokenSHA256 string            `json:"token_sha256"`
	Proof       string            `json:"proof"`
	OSDetails   map[string]string `json:"os_details"`
	CreatedAt   string            `json:"created_at"`
	ExpiresAt   string            `json:"expires_at"`
	Expired     bool              `json:"expired"`
}

// HostResult is what became of one host's request.
type HostResult struct {
	Decision string `json:"decision"`
	// Refused says that the host is neither approved nor enrolled.
	Refused bool   `json:"refused"`
	Reason  string `json:"reason"`
	// RequestID is the request that the decision is about.
	RequestID string             `json:"request_id"`
	MatchedBy approval.MatchedBy `json:"matched_by"`
	// RegisterAgain says that a request was denied so that the host can make one.
	RegisterAgain bool `json:"register_again"`
	// Repairs is how often that was done for this host in this run.
	Repairs      int                   `json:"repairs"`
	Twin         string                `json:"twin"`
	Existing     *managerclient.Host   `json:"existing,omitempty"`
	Compared     []approval.Comparison `json:"compared"`
	Suspects     []approval.Suspect    `json:"suspects"`
	SuspectCount int                   `json:"suspect_count"`
}

func newReport() *Report {
	return &Report{Requests: map[string]int{}, Audit: []map[string]string{}, Warnings: []string{}}
}

func (r *Report) warn(w string) {
	if !slices.Contains(r.Warnings, w) {
		r.Warnings = append(r.Warnings, w)
	}
}

func (r *Report) fail(err error) {
	r.Failed, r.Msg = true, err.Error()
	r.Error = report.ErrorOf(err)
}

// exitRefused is the exit code of a run that did its work and refused a host.
const exitRefused = 1

// Exit is the exit code that belongs to the report.
func (r *Report) Exit() int {
	if r.Error != nil {
		return r.Error.Code.Info().Exit
	}
	for _, h := range r.Results {
		if h.Refused {
			return exitRefused
		}
	}
	return 0
}

// secrets are values that no output may hold. Whatever meets one keeps it out
// of messages; this is the net beneath that.
type secrets struct{ values []string }

// hidden stands where a secret stood, in Ansible's own spelling.
const hidden = "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"

func (s *secrets) add(values ...string) {
	for _, v := range values {
		// A shorter one would take parts of ordinary words with it.
		if len(v) >= 6 {
			s.values = append(s.values, v)
		}
	}
}

func (s *secrets) scrub(text []byte) []byte {
	for _, secret := range s.values {
		text = bytes.ReplaceAll(text, []byte(secret), []byte(hidden))
		if escaped, err := json.Marshal(secret); err == nil {
			text = bytes.ReplaceAll(text, escaped[1:len(escaped)-1], []byte(hidden))
		}
	}
	return text
}

// encode makes the one JSON object of a command.
func (r *Report) encode(s *secrets) []byte {
	out, err := json.Marshal(r)
	if err != nil {
		return []byte(`{"changed":false,"failed":true,"msg":"the result cannot be encoded"}` + "\n")
	}
	return append(s.scrub(out), '\n')
}

func requestOf(r managerclient.ListedRequest, expired bool) Request {
	out := Request{
		ID: approval.Plain(r.ID), MachineID: approval.Plain(r.MachineID), FQDN: approval.Plain(r.FQDN), Hostname: approval.Plain(r.Hostname),
		IPAddress: approval.Plain(r.IPAddress), TokenSHA256: approval.Plain(r.TokenSHA256), Proof: approval.Plain(r.Proof),
		OSDetails: map[string]string{}, CreatedAt: stamp(r.CreatedAt), ExpiresAt: stamp(r.ExpiresAt), Expired: expired,
	}
	for name, value := range object(r.OSDetails) {
		if s := text(value); s != "" && name != "enrollment_proof" {
			out.OSDetails[approval.Plain(name)] = approval.Plain(s)
		}
	}
	return out
}

func rowOf(r managerclient.ListedRequest) approval.Row {
	return approval.Row{
		ID: r.ID, MachineID: r.MachineID, FQDN: r.FQDN, IPAddress: r.IPAddress,
		TokenSHA256: strings.ToLower(r.TokenSHA256), Proof: strings.TrimSpace(r.Proof), CreatedAt: r.CreatedAt,
	}
}
