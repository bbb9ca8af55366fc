package docs_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/identity"
	"github.com/linux-patch/enroll/internal/manager"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// trouble provokes one symptom of the deployment guide's troubleshooting
// section. The guide has to hold the message that comes out.
type trouble struct {
	name string
	code contract.Code
	// provoke returns the result whose message counts.
	provoke func(t *testing.T, h *host) outcome
}

// once runs the module with more options.
func once(more map[string]any) func(*testing.T, *host) outcome {
	return func(t *testing.T, h *host) outcome { return h.run(context.Background(), more) }
}

// answered runs it against a manager that gives these answers, one run more
// than there are answers before the last.
func answered(answers ...answer) func(*testing.T, *host) outcome {
	return func(t *testing.T, h *host) outcome {
		h.scripted(answers...)
		return runs(h, len(answers)-1)
	}
}

// runs runs the module until it has run n times, at least once.
func runs(h *host, n int) outcome {
	o := h.run(context.Background(), nil)
	for range n - 1 {
		o = h.run(context.Background(), nil)
	}
	return o
}

// enrolled is a host that has a set of ca; its spool, token and request are gone.
func enrolled(t *testing.T, h *host, ca *pkitest.CA, options ...pkitest.Option) {
	t.Helper()
	h.scripted(goodToken, bundle(t, ca, options...))
	if o := h.run(context.Background(), nil); o.State != string(contract.StateEnrolled) {
		t.Fatalf("the host was to be enrolled first: %s", o.Msg)
	}
}

var troubles = []trouble{
	{"no URL", contract.CodeInvalidArgument, once(map[string]any{"manager_url": nil})},
	{"plain http", contract.CodeInvalidArgument, once(map[string]any{"manager_url": "http://192.0.2.10"})},
	{"unknown option", contract.CodeInvalidArgument, once(map[string]any{"manager_uri": "x"})},
	{"unquoted mode", contract.CodeInvalidArgument, once(map[string]any{"manager_url": "https://192.0.2.10", "key_mode": 600})},
	{"no CA file", contract.CodeInvalidArgument, once(map[string]any{
		"manager_url": "https://192.0.2.10", "manager_ca_path": "/opt/no-such-file.pem"})},
	{"proxy without manager_ip", contract.CodeInvalidArgument, once(map[string]any{
		"manager_url": "https://192.0.2.10", "proxy_url": "http://192.0.2.30:3128"})},
	{"path against config", contract.CodeConfig, once(map[string]any{
		"manager_url": "https://192.0.2.10", "ca_cert_path": "/etc/ssl/patch-ca.pem"})},
	{"broken config", contract.CodeConfig, func(t *testing.T, h *host) outcome {
		h.write("/etc/linux_patch_api/config.yaml", "tls:\n  server_key: [a\n", 0o640)
		return h.run(context.Background(), nil)
	}},
	{"empty machine-id", contract.CodeIdentity, func(t *testing.T, h *host) outcome {
		h.scripted(goodToken)
		h.change = func(e *enroll.Enroller) { e.Identity = identityWith(t, map[string]string{"/etc/machine-id": ""}) }
		return runs(h, 1)
	}},
	{"no usable name", contract.CodeIdentity, func(t *testing.T, h *host) outcome {
		h.scripted(goodToken)
		h.change = func(e *enroll.Enroller) {
			e.Identity = identityWith(t, map[string]string{"/etc/machine-id": strings.Repeat("3d", 16), "/etc/hostname": "localhost\n"})
		}
		return h.run(context.Background(), map[string]any{"fqdn": nil})
	}},
	{"no such interface", contract.CodeIdentity, func(t *testing.T, h *host) outcome {
		h.scripted(goodToken)
		h.change = func(e *enroll.Enroller) { e.Identity = identityWith(t, nil) }
		return h.run(context.Background(), map[string]any{"report_ip": nil, "report_interface": "eth7"})
	}},
	{"clock of the first boot", contract.CodeIdentity, func(t *testing.T, h *host) outcome {
		h.scripted(goodToken)
		h.change = func(e *enroll.Enroller) { e.Now = func() time.Time { return time.Unix(60, 0) } }
		return runs(h, 1)
	}},
	{"writable directory", contract.CodeFilesystem, func(t *testing.T, h *host) outcome {
		h.scripted(goodToken)
		h.write("/etc/linux_patch_api/certs/.keep", "", 0o600)
		if err := os.Chmod(h.path("/etc/linux_patch_api/certs"), 0o777); err != nil {
			t.Fatal(err)
		}
		return runs(h, 1)
	}},
	{"no whitelist", contract.CodeWhitelist, func(t *testing.T, h *host) outcome {
		h.scripted(goodToken)
		h.write("/etc/linux_patch_api/whitelist.yaml", "- 192.0.2.10\n", 0o644)
		return runs(h, 1)
	}},
	{"whitelist that cannot be edited", contract.CodeWhitelist, func(t *testing.T, h *host) outcome {
		h.scripted(goodToken)
		h.write("/etc/linux_patch_api/whitelist.yaml", "ours: &ours [192.0.2.1]\nentries: *ours\n", 0o644)
		return h.run(context.Background(), map[string]any{"manager_ip": "192.0.2.10"})
	}},
	{"another run", contract.CodeLocked, func(t *testing.T, h *host) outcome {
		h.scripted(goodToken)
		root, err := hostfs.OpenRoot("/")
		if err != nil {
			t.Fatal(err)
		}
		files := hostfs.New(root, hostfs.Options{UID: os.Geteuid(), GID: os.Getegid()})
		if err := files.EnsureDir(h.path("/var/lib/linux_patch_enroll"), 0o700); err != nil {
			t.Fatal(err)
		}
		lock, err := files.Lock(t.Context(), h.path("/var/lib/linux_patch_enroll/lock"), false, true)
		if err != nil {
			t.Fatal(err)
		}
		defer lock.Unlock()
		return h.run(context.Background(), map[string]any{"wait": true, "wait_timeout": 1})
	}},
	{"nobody listens", contract.CodeUnreachable, func(t *testing.T, h *host) outcome {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		url := "https://" + ln.Addr().String()
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		return h.run(context.Background(), map[string]any{"manager_url": url})
	}},
	{"unknown CA", contract.CodeTLSUntrusted, func(t *testing.T, h *host) outcome {
		h.real(manager.Options{})
		return h.run(context.Background(), map[string]any{"manager_ca_pem": pkitest.NewCA(t).PEM()})
	}},
	{"wrong fingerprint", contract.CodeTLSUntrusted, func(t *testing.T, h *host) outcome {
		h.real(manager.Options{})
		return h.run(context.Background(), map[string]any{"manager_ca_pem": nil, "manager_ca_fingerprint": strings.Repeat("ab", 32)})
	}},
	{"wrong name", contract.CodeTLSUntrusted, func(t *testing.T, h *host) outcome {
		ca := pkitest.NewCA(t)
		h.scriptedWith(ca, ca.Issue(t, pkitest.DNS("manager.internal.example.com"), pkitest.IP()).TLS(), goodToken)
		return runs(h, 1)
	}},
	{"expired HTTPS certificate", contract.CodeTLSUntrusted, func(t *testing.T, h *host) outcome {
		ca := pkitest.NewCA(t)
		now := time.Now()
		h.scriptedWith(ca, ca.Issue(t, pkitest.IP("127.0.0.1"), pkitest.Valid(now.Add(-2*day), now.Add(-day))).TLS(), goodToken)
		return runs(h, 1)
	}},
	{"no TLS there", contract.CodeTLSUntrusted, func(t *testing.T, h *host) outcome {
		server := httptest.NewServer(http.NotFoundHandler())
		t.Cleanup(server.Close)
		return h.run(context.Background(), map[string]any{"manager_url": strings.Replace(server.URL, "http://", "https://", 1)})
	}},
	{"identity refused", contract.CodeRejected, answered(answer{code: 400, body: `{"error":"machine_id is not known to the inventory"}`})},
	{"already known", contract.CodeConflict, answered(answer{code: 409, body: `{"error":"Host already exists"}`})},
	{"rate limit", contract.CodeRateLimited, answered(answer{code: 429, body: "Too Many Requests! Wait for 12s", header: map[string]string{"Retry-After": "12"}})},
	{"database error", contract.CodeManagerError, func(t *testing.T, h *host) outcome {
		h.real(manager.Options{})
		h.options["token_storage"] = "state_dir"
		runs(h, 1)
		// The host lost its state; the manager did not.
		if err := os.RemoveAll(h.path("/var/lib/linux_patch_enroll")); err != nil {
			t.Fatal(err)
		}
		return runs(h, 1)
	}},
	{"login page", contract.CodeBadAnswer, answered(answer{code: 200, body: "<html><body>Please log in</body></html>"})},
	{"wrong server", contract.CodeBadAnswer, answered(answer{code: 404, body: "not found"})},
	{"redirect", contract.CodeBadAnswer, answered(answer{code: 301, header: map[string]string{"Location": "https://other.example.com/"}})},
	{"denied", contract.CodeDenied, answered(goodToken, answer{code: 200, body: `{"status":"denied"}`})},
	{"forgotten", contract.CodeTokenUnknown, answered(goodToken, answer{code: 404})},
	{"waited long enough", contract.CodeTimeout, func(t *testing.T, h *host) outcome {
		h.real(manager.Options{})
		return h.run(context.Background(), map[string]any{"wait": true, "wait_timeout": 1})
	}},
	{"asked often enough", contract.CodeTimeout, func(t *testing.T, h *host) outcome {
		h.real(manager.Options{})
		return h.run(context.Background(), map[string]any{"wait": true, "max_poll_attempts": 1})
	}},
	{"interrupted", contract.CodeInterrupted, func(t *testing.T, h *host) outcome {
		h.real(manager.Options{})
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		h.change = func(e *enroll.Enroller) {
			e.Progress = func(p enroll.Progress) {
				if p.Phase == enroll.PhaseWait {
					cancel()
				}
			}
		}
		return h.run(ctx, map[string]any{"wait": true})
	}},
	{"host clock behind", contract.CodeBundleInvalid, func(t *testing.T, h *host) outcome {
		h.scripted(goodToken, bundle(t, pkitest.NewCA(t), pkitest.Valid(time.Now().Add(6*time.Minute), time.Now().Add(day))))
		return runs(h, 1)
	}},
	{"key of another", contract.CodeBundleInvalid, func(t *testing.T, h *host) outcome {
		ca := pkitest.NewCA(t)
		b := bundle(t, ca)
		other := ca.Issue(t).Bundle(t)
		own := strings.Split(b.body, `"server_key":`)[0]
		h.scripted(goodToken, answer{code: 200, body: own + `"server_key":` + quote(other.ServerKey) + "}"})
		return runs(h, 1)
	}},
	{"not by that CA", contract.CodeBundleInvalid, func(t *testing.T, h *host) outcome {
		b := bundle(t, pkitest.NewCA(t))
		_, rest, _ := strings.Cut(b.body, `"server_crt":`)
		h.scripted(goodToken, answer{code: 200, body: `{"ca_crt":` + quote(pkitest.NewCA(t).PEM()) + `,"server_crt":` + rest})
		return runs(h, 1)
	}},
	{"another CA than before", contract.CodeBundleInvalid, func(t *testing.T, h *host) outcome {
		enrolled(t, h, pkitest.NewCA(t))
		h.scripted(goodToken, bundle(t, pkitest.NewCA(t)))
		return h.run(context.Background(), map[string]any{"force": true})
	}},
	{"another CA than demanded", contract.CodeBundleInvalid, func(t *testing.T, h *host) outcome {
		h.scripted(goodToken, bundle(t, pkitest.NewCA(t)))
		return h.run(context.Background(), map[string]any{"bundle_ca_fingerprint": strings.Repeat("ab", 32)})
	}},
	{"lost answer", contract.CodeBundleLost, func(t *testing.T, h *host) outcome {
		h.scripted(goodToken, answer{}, answer{code: 200, body: `{"status":"notfound"}`})
		return runs(h, 2)
	}},
	{"lost registration", contract.CodeConflict, func(t *testing.T, h *host) outcome {
		// The first call ends in a lost answer, three times; the next is refused.
		h.scripted(answer{}, answer{code: 409, body: `{"error":"Host already exists"}`})
		return runs(h, 2)
	}},
	{"pending", "", func(t *testing.T, h *host) outcome {
		h.real(manager.Options{})
		return runs(h, 1)
	}},
	{"pending renewal", "", func(t *testing.T, h *host) outcome {
		enrolled(t, h, pkitest.NewCA(t))
		h.scripted(goodToken, answer{code: 202})
		return h.run(context.Background(), map[string]any{"force": true})
	}},
}

// warnings that the guide quotes.
var warned = []trouble{
	{"readable config", "", func(t *testing.T, h *host) outcome {
		h.real(manager.Options{})
		if err := os.Chmod(h.path("/etc/linux_patch_api/config.yaml"), 0o644); err != nil {
			t.Fatal(err)
		}
		return runs(h, 1)
	}},
	{"insecure", "", func(t *testing.T, h *host) outcome {
		h.real(manager.Options{})
		return h.run(context.Background(), map[string]any{"insecure": true, "manager_ca_pem": nil})
	}},
	{"nearly forgotten", "", func(t *testing.T, h *host) outcome {
		h.real(manager.Options{PendingFor: 48 * time.Hour})
		runs(h, 1)
		h.change = func(e *enroll.Enroller) { e.Now = func() time.Time { return time.Now().Add(21 * time.Hour) } }
		return runs(h, 1)
	}},
	{"interval out of bounds", "", func(t *testing.T, h *host) outcome {
		h.real(manager.Options{})
		return h.run(context.Background(), map[string]any{"polling_interval_seconds": 600})
	}},
	{"audit log", "", func(t *testing.T, h *host) outcome {
		h.real(manager.Options{})
		h.write("/var/log/linux_patch_api", "not a directory", 0o644)
		return runs(h, 1)
	}},
	{"older manager", "", func(t *testing.T, h *host) outcome {
		s := h.real(manager.Options{LegacyCerts: true})
		runs(h, 1)
		approve(t, s)
		return runs(h, 1)
	}},
	{"other manager", "", func(t *testing.T, h *host) outcome {
		enrolled(t, h, pkitest.NewCA(t))
		return h.run(context.Background(), map[string]any{"manager_url": "https://manager2.example.com"})
	}},
	{"not ours", "", func(t *testing.T, h *host) outcome {
		h.write("/etc/linux_patch_api/certs/ca.pem", pkitest.NewCA(t).PEM(), 0o644)
		return h.run(context.Background(), map[string]any{"state": "absent"})
	}},
}

// TestTroubleshooting provokes each symptom, and looks for what the program
// says in the guide, word for word but for what differs from host to host.
func TestTroubleshooting(t *testing.T) {
	guide := anyHost(unwrapped(read(t, "docs/DEPLOYMENT_GUIDE.md")), "")
	quoted := func(t *testing.T, h *host, said string) {
		t.Helper()
		said = anyHost(said, h.dir)
		t.Log(said)
		if !strings.Contains(guide, said) {
			t.Errorf("the deployment guide does not have this message:\n%s", said)
		}
	}
	for _, c := range troubles {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // some wait for retries
			h := newHost(t)
			o := c.provoke(t, h)
			var code contract.Code
			if o.Error != nil {
				code = contract.Code(o.Error.Code)
			}
			if code != c.code {
				t.Fatalf("code %q, want %q: %s", code, c.code, o.Msg)
			}
			quoted(t, h, o.Msg)
		})
	}
	for _, c := range warned {
		t.Run("warning: "+c.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			o := c.provoke(t, h)
			if len(o.Warnings) == 0 {
				t.Fatalf("no warning: %s", o.Msg)
			}
			for _, w := range o.Warnings {
				quoted(t, h, w)
			}
		})
	}
}

// particulars are what differs from host to host and run to run.
var particulars = []struct {
	pattern *regexp.Regexp
	generic string
}{
	{regexp.MustCompile(`https://127\.0\.0\.1:\d+`), "https://manager.example.com"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\d{8}T\d{6}\.\d+Z`), "TIME"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d UTC`), "TIME"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "SHA-256"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "MACHINE-ID"},
	{regexp.MustCompile(`Supported parameters include: [^.]*\.`), "Supported parameters include: …."},
	{regexp.MustCompile(`but there are: ([\w@.:-]+, )*[\w@.:-]+`), "but there are: …"},
}

// anyHost puts a word in the place of each particular.
func anyHost(text, dir string) string {
	if dir != "" {
		text = strings.ReplaceAll(text, dir, "")
	}
	for _, p := range particulars {
		text = p.pattern.ReplaceAllString(text, p.generic)
	}
	return text
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, "\n", `\n`) + `"` }

// identityWith is a host that has these files and nothing else; without any it
// is a good one.
func identityWith(t *testing.T, files map[string]string) identity.Source {
	t.Helper()
	if files == nil {
		files = map[string]string{"/etc/machine-id": strings.Repeat("3d", 16) + "\n", "/etc/hostname": "web1.example.com\n"}
	}
	fs := afero.NewMemMapFs()
	for path, content := range files {
		if err := afero.WriteFile(fs, path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	source := identity.System(fs)
	source.Uname = func() (identity.Uname, error) {
		return identity.Uname{Nodename: "localhost", Release: "6.1.0", Machine: "x86_64"}, nil
	}
	return source
}
