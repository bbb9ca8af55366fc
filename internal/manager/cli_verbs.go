package manager

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/afero"
)

var verbs = map[string]func(*cli, context.Context, []string) error{
	"list":         (*cli).list,
	"approve":      (*cli).approve,
	"deny":         (*cli).deny,
	"hosts":        (*cli).hosts,
	"remove-host":  (*cli).removeHost,
	"issue-client": (*cli).issueClient,
	"revoke":       (*cli).revoke,
}

// open parses a verb's options, asks for a number of words besides them, and
// connects.
func (c *cli) open(ctx context.Context, f *flag.FlagSet, data *string, args []string, words int) (*adminClient, []string, error) {
	given, err := c.parse(f, data, args)
	if err != nil {
		return nil, nil, err
	}
	if len(given) != words {
		return nil, nil, exitf(exitUsage, "%s: %d arguments given; see linux_patch_manager %s --help", f.Name(), len(given), f.Name())
	}
	api, err := connect(ctx, osFiles(), *data)
	return api, given, err
}

func osFiles() afero.Afero { return afero.Afero{Fs: afero.NewOsFs()} }

func (c *cli) list(ctx context.Context, args []string) error {
	f, data := c.flags("list", "--data DIR [--json]: list the requests that wait, oldest first.")
	asJSON := f.Bool("json", false, "a JSON list, with all that the host claims")
	api, _, err := c.open(ctx, f, data, args, 0)
	if err != nil {
		return err
	}
	var rows []Pending
	if err := api.call(ctx, http.MethodGet, pathEnrollments, nil, &rows); err != nil {
		return err
	}
	if *asJSON {
		return c.json(rows)
	}
	cells := [][]string{{"ID", "FQDN", "ADDRESS", "CONNECTED FROM", "MACHINE-ID", "SYSTEM", "SINCE", "EXPIRES"}}
	for _, p := range rows {
		cells = append(cells, []string{p.ID, p.FQDN, p.IPAddress.String(), p.Source.String(), p.MachineID,
			system(p.OSDetails), shown(p.CreatedAt), shown(p.ExpiresAt)})
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
	if err := api.call(ctx, http.MethodGet, pathHosts, nil, &rows); err != nil {
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

// choice is how approve and deny name requests.
type choice struct {
	all             bool
	fqdn, machineID string
}

func (c *cli) approve(ctx context.Context, args []string) error {
	return c.decide(ctx, "approve", args, func(ctx context.Context, api *adminClient, p Pending) error {
		if err := api.call(ctx, http.MethodPost, pathEnrollments+"/"+p.ID+"/approve", nil, nil); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.stdout, "approved %s (%s, %s)\n", p.FQDN, p.IPAddress, p.ID)
		return err
	})
}

func (c *cli) deny(ctx context.Context, args []string) error {
	return c.decide(ctx, "deny", args, func(ctx context.Context, api *adminClient, p Pending) error {
		if err := api.call(ctx, http.MethodDelete, pathEnrollments+"/"+p.ID+"/deny", nil, nil); err != nil {
			return err
		}
		_, err := fmt.Fprintf(c.stdout, "denied %s (%s, %s)\n", p.FQDN, p.IPAddress, p.ID)
		return err
	})
}

// decide does one thing with each chosen request: all are tried, and the
// first refusal decides the exit code.
func (c *cli) decide(ctx context.Context, verb string, args []string, do func(context.Context, *adminClient, Pending) error) error {
	f, data := c.flags(verb, "--data DIR (--all | --fqdn X | --machine-id X | ID...)")
	var by choice
	f.BoolVar(&by.all, "all", false, "every request that waits; none is no failure")
	f.StringVar(&by.fqdn, "fqdn", "", "requests that claim this FQDN")
	f.StringVar(&by.machineID, "machine-id", "", "the request of this machine-id")
	words, err := c.parse(f, data, args)
	if err != nil {
		return err
	}
	ways := 0
	for _, given := range []bool{by.all, by.fqdn != "", by.machineID != "", len(words) > 0} {
		if given {
			ways++
		}
	}
	if ways != 1 {
		return exitf(exitUsage, "%s: say which, in one way: --all, --fqdn, --machine-id, or ids", verb)
	}
	api, err := connect(ctx, osFiles(), *data)
	if err != nil {
		return err
	}
	var rows []Pending
	if err := api.call(ctx, http.MethodGet, pathEnrollments, nil, &rows); err != nil {
		return err
	}
	chosen, err := by.of(rows, words)
	if err != nil {
		return err
	}
	if len(chosen) == 0 {
		_, err := fmt.Fprintln(c.stdout, "no request waits")
		return err
	}
	var failed []error
	for _, p := range chosen {
		if err := do(ctx, api, p); err != nil {
			failed = append(failed, fmt.Errorf("%s %s: %w", verb, p.FQDN, withCode(err)))
		}
	}
	return errors.Join(failed...)
}

// of picks the rows; it fails when something that was named is not there.
func (by choice) of(rows []Pending, ids []string) ([]Pending, error) {
	var out []Pending
	found := map[string]bool{}
	for _, p := range rows {
		named := false
		for _, id := range ids {
			named = named || p.ID == id
		}
		if by.all || named || by.machineID == p.MachineID || by.fqdn != "" && strings.EqualFold(by.fqdn, p.FQDN) {
			out = append(out, p)
			found[p.ID] = true
		}
	}
	for _, id := range ids {
		if !found[id] {
			return nil, exitf(exitNotFound, "no request with id %s waits", id)
		}
	}
	if len(out) == 0 && !by.all {
		return nil, exitf(exitNotFound, "no request of %s waits", by.fqdn+by.machineID)
	}
	return out, nil
}

func (c *cli) removeHost(ctx context.Context, args []string) error {
	f, data := c.flags("remove-host", "--data DIR FQDN|MACHINE-ID: remove a host and revoke its certificate.")
	api, words, err := c.open(ctx, f, data, args, 1)
	if err != nil {
		return err
	}
	chosen, err := api.hostsNamed(ctx, words[0])
	if err != nil {
		return err
	}
	if len(chosen) == 0 {
		return exitf(exitNotFound, "there is no host %s", words[0])
	}
	for _, h := range chosen {
		if err := api.call(ctx, http.MethodDelete, pathHosts+"/"+h.ID, nil, nil); err != nil {
			return withCode(err)
		}
		fmt.Fprintf(c.stdout, "removed %s (%s), revoked certificate %s\n", h.FQDN, h.IPAddress, h.Serial)
	}
	return nil
}

func (c *cli) revoke(ctx context.Context, args []string) error {
	f, data := c.flags("revoke", "--data DIR SERIAL|FQDN: put a certificate on the CRL (crl.pem in the data directory, and public at "+pathCRL+").")
	api, words, err := c.open(ctx, f, data, args, 1)
	if err != nil {
		return err
	}
	// As other tools write serial numbers: in capitals, with colons and zeros.
	serials := []string{strings.TrimLeft(strings.ToLower(strings.ReplaceAll(words[0], ":", "")), "0")}
	chosen, err := api.hostsNamed(ctx, words[0])
	if err != nil {
		return err
	}
	if len(chosen) > 0 {
		serials = nil
	}
	for _, h := range chosen {
		serials = append(serials, h.Serial)
	}
	for _, serial := range serials {
		err := api.call(ctx, http.MethodPost, pathRevocations, revokeRequest{serial}, nil)
		if errors.Is(err, ErrNotFound) {
			return exitf(exitNotFound, "there is no host and no certificate %s", words[0])
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(c.stdout, "revoked %s; the CRL is %s\n", serial, filepath.Join(*data, "crl.pem"))
	}
	return nil
}

// hostsNamed finds hosts by FQDN or machine-id.
func (c *adminClient) hostsNamed(ctx context.Context, name string) ([]Host, error) {
	var rows, out []Host
	if err := c.call(ctx, http.MethodGet, pathHosts, nil, &rows); err != nil {
		return nil, err
	}
	for _, h := range rows {
		if strings.EqualFold(h.FQDN, name) || h.MachineID == name {
			out = append(out, h)
		}
	}
	return out, nil
}

func (c *cli) issueClient(ctx context.Context, args []string) error {
	f, data := c.flags("issue-client", "--data DIR --cn NAME --out DIR: write client.pem, client.key and ca.pem, to call hosts with.")
	cn := f.String("cn", "", "common name of the certificate")
	out := f.String("out", "", "directory for the files")
	words, err := c.parse(f, data, args)
	if err != nil {
		return err
	}
	if *out == "" || checkCN(*cn) != nil || len(words) > 0 {
		return exitf(exitUsage, "issue-client: --out DIR and --cn NAME, 1 to 64 printable characters, are needed")
	}
	api, err := connect(ctx, osFiles(), *data)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: *cn}}, key)
	if err != nil {
		return err
	}
	rawKey, err := keyPEM(key)
	if err != nil {
		return err
	}
	var answer clientAnswer
	csr := clientRequest{CSR: string(pemOf("CERTIFICATE REQUEST", der))}
	if err := api.call(ctx, http.MethodPost, pathClients, csr, &answer); err != nil {
		return err
	}
	files := osFiles()
	if err := files.MkdirAll(*out, 0o700); err != nil {
		return err
	}
	if err := writeFile(files, filepath.Join(*out, "client.key"), rawKey, 0o600); err != nil {
		return err
	}
	if err := writeFile(files, filepath.Join(*out, "client.pem"), []byte(answer.Certificate), 0o644); err != nil {
		return err
	}
	if err := writeFile(files, filepath.Join(*out, fileCA), []byte(answer.CACrt), 0o644); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "issued %s: certificate %s in %s\n", *cn, answer.Serial, *out)
	return err
}

// withCode gives the API's refusals their exit codes.
func withCode(err error) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return &exitError{exitNotFound, err}
	case errors.Is(err, ErrHostExists):
		return &exitError{exitConflict, err}
	}
	return err
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
