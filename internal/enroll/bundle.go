package enroll

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/install"
	"github.com/linux-patch/enroll/internal/jsontext"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/pki"
)

// provisionBundle puts a bundle in place that was carried by hand. It asks no
// manager; the CA's fingerprint stands in for the manager's HTTPS.
func (r *run) provisionBundle(ctx context.Context) error {
	path := string(r.BundlePath)
	raw, err := r.Bundle, error(nil)
	if raw == nil {
		raw, err = r.readBundle(path)
	} else {
		path = "the re-issued set"
	}
	if err != nil {
		return err
	}
	bundle, err := managerclient.Carried(asBundle(raw))
	if err != nil {
		if fault := jsontext.Fault(raw); fault != nil {
			err = fault
		}
		return contract.Errorf(contract.CodeBundleInvalid, "%s holds no bundle: %w", path, err).WithHint(carryHint)
	}
	if r.olderThanInstalled(bundle) {
		r.Result.Warn(fmt.Sprintf("%s was not used: the installed certificate is newer and valid; set force to use it all the same", path))
		return r.Converge(ctx)
	}
	r.Identify(ctx)
	if err = r.PreflightFiles(); err == nil {
		err = r.PreflightWhitelist(ctx)
	}
	if err != nil {
		return err
	}
	err = r.Provision(ctx, bundle, install.Source{IP: r.AskedManagerIP()})
	if err != nil && (contract.CodeOf(err) == contract.CodeBundleInvalid || errors.Is(err, install.ErrKeep)) {
		hint := contract.HintOf(err)
		if hint == contract.CodeBundleInvalid.Info().Hint {
			hint = carryHint
		}
		return contract.Errorf(contract.CodeOf(err), "%s: %w", path, err).WithHint("%s", hint)
	}
	return err
}

// carryHint is the hint of a bundle that was carried by hand and is of no use.
const carryHint = "get the set from the manager again, re-issued if its time is over, and give the whole answer: " +
	"that of an approved request (ca_crt, server_crt and server_key in one JSON object), or that of a re-issue, which calls them ca_root_pem, server_cert_pem and server_key_pem"

// byHand reports whether a bundle is given to this run, so that no manager is asked.
func (r *run) byHand() bool { return r.BundlePath != "" || r.Bundle != nil }

// asBundle makes a bundle of the answer to a re-issue, which names the same
// things differently, and leaves everything else as it is. What that answer holds for
// clients is not for the agent.
func asBundle(raw []byte) []byte {
	var reissued struct {
		CA      string `json:"ca_root_pem"`
		Crt     string `json:"server_cert_pem"`
		Key     string `json:"server_key_pem"`
		CAChain string `json:"ca_chain"`
		CRL     string `json:"crl_pem"`
		// A bundle has this, and no re-issue.
		CACrt json.RawMessage `json:"ca_crt"`
	}
	if json.Unmarshal(raw, &reissued) != nil || reissued.CACrt != nil || reissued.CA+reissued.Crt+reissued.Key == "" {
		return raw
	}
	bundle, err := json.Marshal(contract.PkiBundle{
		CACrt: reissued.CA, ServerCrt: reissued.Crt, ServerKey: reissued.Key, CAChain: reissued.CAChain, CRLPEM: reissued.CRL,
	})
	if err != nil {
		return raw
	}
	return bundle
}

// readBundle reads the file that an operator put on this host.
func (r *run) readBundle(path string) ([]byte, error) {
	raw, refused := r.ReadGiven("bundle_path", path, managerclient.MaxBody)
	if refused != nil {
		return nil, refused
	}
	info, err := r.Given.Stat(path)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		r.Result.Warn(fmt.Sprintf("%s holds a private key and others may reach it (mode %04o); chmod it to 0600, and remove it once this host is enrolled", path, info.Mode().Perm()))
	}
	return bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf")), nil
}

// olderThanInstalled keeps a bundle file that was left in place from undoing a
// renewal.
func (r *run) olderThanInstalled(b *contract.PkiBundle) bool {
	if r.Force || r.Foreign() != "" || !r.Disk.Usable(r.Now(), r.RenewWithin) {
		return false
	}
	set, err := pki.ParseBundle(*b)
	return err == nil && set.Server.NotBefore.Before(r.Disk.Set.Server.NotBefore)
}
