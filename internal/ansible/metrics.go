package ansible

import (
	"strconv"
	"strings"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/enroll"
)

// states are those that the metric of the state has a series for.
var states = []contract.State{
	contract.StateAbsent, contract.StatePending, contract.StateEnrolled, contract.StateForeign, contract.StateDenied, contract.StateExpired,
}

// exposition is the text format of Prometheus.
type exposition struct{ strings.Builder }

// gauge starts a metric.
func (e *exposition) gauge(name, help string) string {
	name = "linux_patch_enrollment_" + name
	e.WriteString("# HELP " + name + " " + help + "\n# TYPE " + name + " gauge\n")
	return name
}

func (e *exposition) number(name, help string, value int) {
	e.WriteString(e.gauge(name, help) + " " + strconv.Itoa(value) + "\n")
}

func (e *exposition) truth(name, help string, value bool) { e.number(name, help, number(value)) }

// moment writes a time; one that there is none of has no series.
func (e *exposition) moment(name, help string, at time.Time) {
	if !at.IsZero() {
		e.number(name+"_timestamp_seconds", help+", in seconds since 1970.", int(at.Unix()))
	}
}

// parsed is a time of the report; the zero time where there is none.
func parsed(value string) time.Time {
	at, _ := time.Parse(time.RFC3339, value)
	return at
}

func number(value bool) int {
	if value {
		return 1
	}
	return 0
}

// label is a label with its value, in which a line, a quote or bytes that are no
// UTF-8 would spoil the file.
func label(name, value string) string {
	value = strings.ReplaceAll(strings.ToValidUTF8(value, "\uFFFD"), `\`, `\\`)
	value = strings.ReplaceAll(strings.ReplaceAll(value, `"`, `\"`), "\n", `\n`)
	return name + `="` + value + `"`
}

// metrics is the report for the textfile collector of node_exporter.
func metrics(info *enroll.Info) string {
	e := &exposition{}
	e.truth("report_failed", "Whether the host could not be looked at.", info.Failed)
	if info.Failed {
		return e.String()
	}
	e.states(info)
	e.truth("valid", "Whether the installed certificate, key and CA can serve now.", info.Valid)
	e.truth("renewal_due", "Whether the next enrollment run would renew the certificate.", info.RenewalDue)
	e.number("problems", "How many problems the report names.", len(info.Problems))
	e.number("warnings", "How many warnings the report names.", len(info.Warnings))
	e.moment("pending_since", "When the enrollment request was sent that waits", parsed(info.PendingSince))
	e.certificates(info)
	e.moment("crl_next_update", "When the installed CRL becomes out of date", parsed(info.CRLNextUpdate))
	if w := info.Whitelist; w != nil && w.Entry != "" {
		e.truth("whitelist_manager_present", "Whether the whitelist lets the manager in.", w.Present)
	}
	return e.String()
}

func (e *exposition) states(info *enroll.Info) {
	name := e.gauge("state", "The state of this host's enrollment: 1 for the one that it is in.")
	for _, state := range states {
		e.WriteString(name + "{" + label("state", string(state)) + "} " + strconv.Itoa(number(state == info.State)) + "\n")
	}
	name = e.gauge("info", "Names of this host's enrollment; always 1.")
	labels := []string{label("fqdn", info.FQDN), label("machine_id", info.MachineID)}
	if info.Manager != nil {
		labels = append(labels, label("manager_url", info.Manager.URL))
	}
	e.WriteString(name + "{" + strings.Join(labels, ",") + "} 1\n")
}

func (e *exposition) certificates(info *enroll.Info) {
	if info.Certificates == nil {
		return
	}
	if server := info.Certificates.Server; server != nil {
		e.moment("certificate_not_before", "When the installed certificate became valid", server.NotBefore)
		e.moment("certificate_not_after", "When the installed certificate expires", server.NotAfter)
	}
	if ca := info.Certificates.CA; ca != nil {
		e.moment("ca_not_after", "When the installed CA certificate expires", ca.NotAfter)
	}
}
