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

func (c *cli) list(ctx context.Context, args []string) error {
	f, data := c.flags("list", "--data DIR [--json]: list the requests that wait, oldest first.")
	asJSON := f.Bool("json", false, "a JSON list, with all that the host claims")
	api, _, err := c.open(ctx, f, data, args, 0)
	if err != nil {
		return err
	}
	var rows []Pending
	if err := api.call(ctx, http.MethodGet, pathRequests, nil, &rows); err != nil {
		return err
	}
	if *asJSON {
		return c.json(rows)
	}
	cells := [][]string{{"ID", "FQDN", "ADDRESS", "CONNECTED FROM", "MACHINE-ID", "SYSTEM", "SINCE", "EXPIRES"}}
	for _, p := range rows {
		cells = append(cells, []string{p.ID, p.FQDN, p.IPAddress.String(), p.Source.String(), p.MachineID,
			system(p.OSDetails), shown(p.CreatedAt), expiry(p)})
	}
	return c.table(cells, "no request waits")
}

func (c *cli) hosts(ctx context.Context, args []string) error {
	f, data := c.flags("hosts", "--data DIR [--json]: list the approved hosts.")
	asJSON := f.Bool("json", false, "a JSON list")
	api, _, err := c.open(ctx, f, data, args, 0)
	if err != nil {
		return err
	}
	var rows []Host
	if err := api.call(ctx, http.MethodGet, pathKnownHosts, nil, &rows); err != nil {
		return err
	}
	if *asJSON {
		return c.json(rows)
	}
	cells := [][]string{{"FQDN", "ADDRESS", "MACHINE-ID", "SYSTEM", "APPROVED", "CERTIFICATE", "UNTIL"}}
	for _, h := range rows {
		cells = append(cells, []string{h.FQDN, h.IPAddress.String(), h.MachineID, system(h.OSDetails),
			shown(h.ApprovedAt), h.Serial, shown(h.NotAfter)})
	}
	return c.table(cells, "there are no hosts")
}

func (c *cli) json(rows any) error {
	enc := json.NewEncoder(c.stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(rows)
}

// table aligns cells whose first row is the head; without another row it says
// so instead, and scripts that read columns see nothing on standard output.
func (c *cli) table(cells [][]string, none string) error {
	if len(cells) == 1 {
		_, err := fmt.Fprintln(c.stderr, none)
		return err
	}
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	for _, row := range cells {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

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
