package manager

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

func (c *cli) list(ctx context.Context, args []string) error { return listRequests.show(ctx, c, args) }

func (c *cli) hosts(ctx context.Context, args []string) error { return listHosts.show(ctx, c, args) }

func (c *cli) accounts(ctx context.Context, args []string) error {
	return listAccounts.show(ctx, c, args)
}

// listing is a verb that shows all rows at one path of the API.
type listing[T any] struct {
	verb, synopsis, json, path, head, none string
	cells                                  func(T) []string
}

// show shows the rows as JSON or in columns; without a row it says so instead,
// and scripts that read columns see nothing on standard output.
func (l listing[T]) show(ctx context.Context, c *cli, args []string) error {
	f, data := c.flags(l.verb, l.synopsis)
	asJSON := f.Bool("json", false, l.json)
	api, _, err := c.open(ctx, f, data, args, 0)
	if err != nil {
		return err
	}
	var rows []T
	if err := api.call(ctx, http.MethodGet, l.path, nil, &rows); err != nil {
		return err
	}
	switch {
	case *asJSON:
		enc := json.NewEncoder(c.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(rows)
	case len(rows) == 0:
		_, err := fmt.Fprintln(c.stderr, l.none)
		return err
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, l.head)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(l.cells(row), "\t"))
	}
	return w.Flush()
}

var (
	listRequests = listing[Pending]{
		"list", "--data DIR [--json]: list the requests that wait, oldest first.", "a JSON list, with all that the host claims",
		pathRequests, "ID\tFQDN\tADDRESS\tCONNECTED FROM\tMACHINE-ID\tSYSTEM\tSINCE\tEXPIRES", "no request waits",
		func(p Pending) []string {
			return []string{p.ID, p.FQDN, p.IPAddress.String(), p.Source.String(), p.MachineID, system(p.OSDetails), shown(p.CreatedAt), expiry(p)}
		},
	}
	listHosts = listing[Host]{
		"hosts", "--data DIR [--json]: list the approved hosts.", "a JSON list",
		pathKnownHosts, "FQDN\tADDRESS\tMACHINE-ID\tSYSTEM\tAPPROVED\tCERTIFICATE\tUNTIL", "there are no hosts",
		func(h Host) []string {
			return []string{h.FQDN, h.IPAddress.String(), h.MachineID, system(h.OSDetails), shown(h.ApprovedAt), h.Serial, shown(h.NotAfter)}
		},
	}
	listAccounts = listing[Account]{
		"accounts", "--data DIR [--json]: list the accounts of the admin API.", "a JSON list",
		pathAccounts, "USERNAME\tROLE\tTOTP\tSTATE", "there are no accounts",
		func(a Account) []string { return []string{a.Username, a.Role, onOff(a.MFAEnabled), stateOf(a)} },
	}
)

func expiry(p Pending) string {
	if p.Expired {
		return "expired"
	}
	return shown(p.ExpiresAt)
}

func shown(t time.Time) string { return t.UTC().Format("2006-01-02T15:04Z") }

// system is what a host says that it runs: text from a stranger.
func system(details json.RawMessage) string {
	var d struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	if json.Unmarshal(details, &d) != nil {
		return "?"
	}
	text := strings.TrimSpace(strings.ToValidUTF8(d.Name+" "+d.Version, "?"))
	text = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, text)
	if r := []rune(text); len(r) > 32 {
		text = string(r[:32])
	}
	if text == "" {
		return "?"
	}
	return text
}
