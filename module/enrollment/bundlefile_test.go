package main_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// failed runs the program on a new host, where it has to fail.
func failed(t *testing.T, options map[string]any) (msg, hint string) {
	t.Helper()
	host := filepath.Join(t.TempDir(), "host")
	if err := layOut(host); err != nil {
		t.Fatal(err)
	}
	given := map[string]any{"config_path": host + "/etc/config.yaml", "state_dir": host + "/state", "fqdn": "web1.example.com", "report_ip": "127.0.0.1", "manager_ip": "192.0.2.7"}
	maps.Copy(given, options)
	raw, err := json.Marshal(given)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin.Path("enrollment"), "-")
	cmd.Stdin = strings.NewReader(string(raw))
	out, err := cmd.Output()
	var said struct {
		Failed bool
		Msg    string
		Error  struct{ Code, Hint string }
	}
	if jsonErr := json.Unmarshal(out, &said); jsonErr != nil || err == nil || !said.Failed || said.Error.Code == string(contract.CodeInternal) {
		t.Fatalf("got %s, %v, want a failed result with a code", out, err)
	}
	return said.Msg, said.Error.Hint
}

// TestBadBundleFileIsNamed: what is wrong with a bundle that was carried by hand is
// said of the file. No manager was asked, so none has answered.
func TestBadBundleFileIsNamed(t *testing.T) {
	ca := pkitest.NewCA(t, pkitest.Name("Scripted CA"))
	without := func(kind string, member string, value any) string {
		var members map[string]any
		if err := json.Unmarshal([]byte(bundle(t, ca, kind)), &members); err != nil {
			t.Fatal(err)
		}
		members[member] = value
		raw, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	for name, c := range map[string]struct{ content, want string }{
		"empty":             {"", "is empty"},
		"blank":             {" \n", "is empty"},
		"text":              {"hello\n", "not JSON"},
		"PEM":               {ca.PEM(), "not JSON"},
		"page":              {"<html></html>", "not JSON"},
		"list":              {"[]", "something other than a JSON object"},
		"null":              {"null", "something other than a JSON object"},
		"object":            {"{}", "neither a status nor a bundle"},
		"cut":               {bundle(t, ca, "cut"), "ends too early"},
		"more":              {bundle(t, ca, "") + "{}", "something follows"},
		"pending":           {`{"status":"pending"}`, "it says pending"},
		"denied":            {`{"status":"denied"}`, "it says denied"},
		"notfound":          {`{"status":"notfound"}`, "it says unknown"},
		"odd status":        {`{"status":"maybe"}`, "whose status is none of"},
		"no CA":             {without("", "ca_crt", nil), "lacks ca_crt"},
		"no certificate":    {without("", "server_crt", ""), "lacks server_crt"},
		"no key":            {without("", "server_key", nil), "lacks server_key"},
		"key is a number":   {without("", "server_key", 5), "server_key is not a string"},
		"twice":             {`{"ca_crt":"a","ca_crt":"b"}`, "ca_crt stands twice"},
		"CA is no PEM":      {without("", "ca_crt", "hello"), "ca_crt: malformed"},
		"re-issue, no key":  {without("reissue", "server_key_pem", nil), "lacks server_key"},
		"re-issue, no CA":   {without("reissue", "ca_root_pem", nil), "lacks ca_crt"},
		"re-issue, broken":  {without("reissue", "server_cert_pem", "x"), "server_crt: malformed"},
		"wrong key":         {bundle(t, ca, "mismatch"), "private key does not fit"},
		"key of the CA":     {bundle(t, ca, "ca-key"), "key of the CA"},
		"key in the CA":     {bundle(t, ca, "key-in-ca"), "ca_crt: malformed"},
		"CA of another":     {bundle(t, ca, "other-ca"), "not the expected CA"},
		"expired":           {bundle(t, ca, "expired"), "expired since"},
		"not valid yet":     {bundle(t, ca, "future"), "not valid yet"},
		"of another host":   {bundle(t, ca, "other-host"), "not made for this host"},
		"with a broken CRL": {without("", "crl_pem", "hello"), "crl_pem: malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bundle.json")
			if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			msg, hint := failed(t, map[string]any{"bundle_path": path, "bundle_ca_fingerprint": pki.Fingerprint(ca.Cert.Raw), "strict_identity": true})
			if !strings.Contains(msg, path) || !strings.Contains(msg, c.want) {
				t.Errorf("got %q, want %q and %q in it", msg, path, c.want)
			}
			if strings.Contains(msg, "HTTP") || strings.Contains(msg, "the manager") {
				t.Errorf("got %q, want no word of a manager, since none was asked", msg)
			}
			if strings.Contains(hint, "rejected") {
				t.Errorf("got the hint %q, want one about the file", hint)
			}
		})
	}
}

// TestBadManagerCAIsNamed: the same of the file that the trust in the manager is in.
func TestBadManagerCAIsNamed(t *testing.T) {
	for name, c := range map[string]struct{ content, want string }{
		"empty":          {"", "is empty"},
		"text":           {"hello\n", "holds no PEM certificate"},
		"a key":          {"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n", "holds a PEM block that is not a certificate"},
		"no certificate": {"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "cannot be read"},
	} {
		path := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		msg, _ := failed(t, map[string]any{"manager_url": "https://127.0.0.1:9", "manager_ca_path": path})
		if !strings.Contains(msg, "manager_ca_path") || !strings.Contains(msg, path) || !strings.Contains(msg, c.want) {
			t.Errorf("%s: got %q, want manager_ca_path, %q and %q in it", name, msg, path, c.want)
		}
	}
}
