package manager

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

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

	"accounts":       (*cli).accounts,
	"add-account":    (*cli).addAccount,
	"set-account":    (*cli).setAccount,
	"remove-account": (*cli).removeAccount,
}

// open parses a verb's options, asks for a number of words besides them, and
// connects.
func (c *cli) open(ctx context.Context, f *flag.FlagSet, data *string, args []string, words int) (*adminClient, []string, error) {
	given, err := c.parse(f, data, args)
	if err != nil {
		return nil, nil, err
	}
	if len(given) != words {
		return nil, nil, exitf(exitUsage, "%s: %d arguments given, %d needed (see linux_patch_manager %s --help)", f.Name(), len(given), words, f.Name())
	}
	api, err := connect(ctx, osFiles(), *data)
	return api, given, err
}

func osFiles() afero.Afero { return afero.Afero{Fs: afero.NewOsFs()} }

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
		if err := api.call(ctx, http.MethodDelete, pathKnownHosts+"/"+h.ID, nil, nil); err != nil {
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
	var rows []Host
	err := c.call(ctx, http.MethodGet, pathKnownHosts, nil, &rows)
	return slices.DeleteFunc(rows, func(h Host) bool { return !strings.EqualFold(h.FQDN, name) && h.MachineID != name }), err
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
	for _, file := range []struct {
		name    string
		content []byte
		mode    os.FileMode
	}{{"client.key", rawKey, 0o600}, {"client.pem", []byte(answer.Certificate), 0o644}, {fileCA, []byte(answer.CACrt), 0o644}} {
		if err := writeFile(files, filepath.Join(*out, file.name), file.content, file.mode); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(c.stdout, "issued %s: certificate %s in %s\n", *cn, answer.Serial, *out)
	return err
}
