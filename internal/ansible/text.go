package ansible

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/plaintext"
)

// The colours of a terminal.
const (
	red    = "31"
	yellow = "33"
	green  = "32"
)

// longestSentence is how much of one problem a person is shown.
const longestSentence = 2000

// sheet is a report for a person.
type sheet struct {
	strings.Builder
	coloured bool
}

func (s *sheet) line(name, value string) {
	if value != "" {
		fmt.Fprintf(s, "  %-12s %s\n", name, plaintext.Line(value, longestSentence))
	}
}

func (s *sheet) paint(colour, word string) string {
	if !s.coloured {
		return word
	}
	return "\x1b[1;" + colour + "m" + word + "\x1b[0m"
}

// text is the report for a person: the state, how long it lasts, what is wrong,
// and what to do next.
func text(info *enroll.Info, coloured bool) string {
	s := &sheet{coloured: coloured}
	colour, word := verdict(info)
	s.WriteString(s.paint(colour, word) + "\n")
	s.line("host", info.FQDN)
	s.line("machine-id", info.MachineID)
	s.line("manager", manager(info))
	s.line("pending", after("since ", info.PendingSince))
	s.line("certificate", validity(info))
	s.line("CRL", after("next update due by ", info.CRLNextUpdate))
	s.line("whitelist", entry(info))
	for _, problem := range info.Problems {
		s.line(s.paint(red, fmt.Sprintf("%-12s", "problem")), problem)
	}
	for _, warning := range info.Warnings {
		s.line(s.paint(yellow, fmt.Sprintf("%-12s", "warning")), warning)
	}
	s.line("next", next(info))
	return s.String()
}

func verdict(info *enroll.Info) (colour, word string) {
	switch {
	case info.Failed:
		return red, "error: " + plaintext.Line(info.Msg, longestSentence)
	case info.State == contract.StateEnrolled && len(info.Problems) > 0:
		return red, "enrolled, with problems"
	case info.State == contract.StateEnrolled && info.RenewalDue:
		return yellow, "enrolled, renewal is due"
	case info.State == contract.StateEnrolled:
		return green, "enrolled"
	case info.State == contract.StatePending, info.State == contract.StateRegistered:
		return yellow, "pending: waiting for approval"
	default:
		return red, string(info.State)
	}
}

func manager(info *enroll.Info) string {
	if info.Manager == nil || info.Manager.IP == "" {
		return managerURL(info)
	}
	return managerURL(info) + " (" + info.Manager.IP + ")"
}

func managerURL(info *enroll.Info) string {
	if info.Manager == nil {
		return ""
	}
	return info.Manager.URL
}

// after is a text that follows some words; nothing where there is no text.
func after(words, text string) string {
	if text == "" {
		return ""
	}
	return words + text
}

func validity(info *enroll.Info) string {
	if info.Certificates == nil || info.Certificates.Server == nil || info.DaysLeft == nil {
		return ""
	}
	end := info.Certificates.Server.NotAfter.UTC().Format(time.DateOnly)
	if *info.DaysLeft < 0 || !info.Valid {
		return fmt.Sprintf("not usable; its validity ends %s (days left: %d)", end, *info.DaysLeft)
	}
	return fmt.Sprintf("valid until %s (days left: %d)", end, *info.DaysLeft)
}

func entry(info *enroll.Info) string {
	switch w := info.Whitelist; {
	case w == nil || w.Entry == "":
		return ""
	case w.Present:
		return "lets " + w.Entry + " in"
	default:
		return "does not let " + w.Entry + " in"
	}
}

// agentAsks is what is left to do where the agent does the rest.
func agentAsks(info *enroll.Info) string {
	if info.State == contract.StatePending || info.State == contract.StateRegistered {
		return fmt.Sprintf("an administrator approves fqdn %s, machine_id %s at %s; the agent asks by itself and installs the certificates then", info.FQDN, info.MachineID, managerURL(info))
	}
	return "the agent enrolls this host by itself; its log says what it waits for: journalctl -u linux-patch-api"
}

// next is what a person should do.
func next(info *enroll.Info) string {
	switch {
	case info.Error != nil:
		return info.Error.Hint
	case info.AgentAsks && info.State != contract.StateDenied && info.State != contract.StateForeign:
		return agentAsks(info)
	case info.State == contract.StatePending, info.State == contract.StateRegistered:
		return fmt.Sprintf("an administrator approves fqdn %s, machine_id %s at %s; then run enrollment again with the same arguments within 10 minutes", info.FQDN, info.MachineID, managerURL(info))
	case slices.ContainsFunc(info.Problems, func(p string) bool { return strings.Contains(p, "take_ownership") }):
		return "run enrollment once with take_ownership, which makes the files root's; first with --check --diff, which lists what becomes trusted"
	case info.State == contract.StateEnrolled && len(info.Problems) > 0:
		return "run enrollment again with the same arguments: it repairs what it can, and names what it cannot; --check --diff shows it first"
	case info.State == contract.StateEnrolled && info.RenewalDue:
		return "run enrollment again with the same arguments; it sends a request for a new certificate"
	case info.State == contract.StateEnrolled:
		return "nothing to do"
	case info.State == contract.StateForeign:
		return "the problem above names the options that take this certificate over or replace it"
	case info.State == contract.StateDenied:
		return "ask the administrator for the reason; to send a new request, run enrollment again with the same arguments"
	case info.State == contract.StateExpired:
		return "the request was not approved in time; run enrollment again with the same arguments"
	case len(info.Problems) > 0:
		return "run enrollment again with the same arguments: it sends a new request; if the manager has this host already, re-issue its certificates or remove it there"
	case managerURL(info) != "":
		return "run enrollment with the same arguments: it sends a request to " + managerURL(info)
	default:
		return "run enrollment FILE with the manager's URL in FILE; see enrollment --help"
	}
}
