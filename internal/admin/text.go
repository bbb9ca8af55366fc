package admin

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"strings"
	"text/tabwriter"

	"github.com/linux-patch/enroll/internal/approval"
	"github.com/linux-patch/enroll/internal/contract"
)

// table is a report for people. What came from hosts is plain already.
func (r *Report) table() []byte {
	var out bytes.Buffer
	w := tabwriter.NewWriter(&out, 0, 8, 2, ' ', 0)
	if len(r.Results) > 0 {
		fmt.Fprintln(w, "HOST\tDECISION\tREQUEST\tPROOF\tREASON")
	}
	for _, name := range sortedKeys(r.Results) {
		h := r.Results[name]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", approval.Plain(name), h.Decision, cmp.Or(approval.Plain(h.RequestID), "-"), cmp.Or(string(h.MatchedBy), "-"), h.Reason)
		for _, s := range h.Suspects {
			fmt.Fprintf(w, "\tsuspect\t%s\t-\tsame %s, from %s\n", s.ID, strings.Join(s.Same, " and "), s.IPAddress)
		}
	}
	if r.Listed != nil && len(r.Listed.Rows) > 0 {
		fmt.Fprintln(w, "REQUEST\tSINCE\tFQDN\tADDRESS\tMACHINE-ID")
		for _, row := range r.Listed.Rows {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", row.ID, cmp.Or(row.CreatedAt, "-"), cmp.Or(row.FQDN, "-"), cmp.Or(row.IPAddress, "-"), cmp.Or(row.MachineID, "-"))
		}
	}
	_ = w.Flush() // a buffer takes all
	for _, warning := range r.Warnings {
		fmt.Fprintln(&out, "warning:", approval.Plain(warning))
	}
	fmt.Fprintln(&out, r.Msg)
	if r.Error != nil {
		fmt.Fprintf(&out, "%s; %s\n", r.Error.Code, r.Error.Hint)
	}
	return out.Bytes()
}

func (p Program) help() string {
	var codes strings.Builder
	for _, c := range contract.Codes {
		fmt.Fprintf(&codes, "%4d  %-24s %s\n", c.Exit, c.Code, c.Meaning)
	}
	return fmt.Sprintf(usage, strings.Join(names(reflect.TypeFor[ApproveParams]()), ", "),
		strings.Join(names(reflect.TypeFor[RequestsParams]()), ", "), codes.String())
}
