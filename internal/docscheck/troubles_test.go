package docscheck_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/hostfs"
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
		t.Fatalf("the host was to be enrolled first: got %s, want %v", o.Msg, string(contract.StateEnrolled))
	}
}

// onTheHost are found before any request.
var onTheHost = []trouble{
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
	{"config of others", contract.CodeConfig, func(t *testing.T, h *host) outcome {
		if err := os.Chmod(h.path("/etc/linux_patch_api/config.yaml"), 0o646); err != nil {
			t.Fatal(err)
		}
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
	{"certificates of an older config", contract.CodeFilesystem, func(t *testing.T, h *host) outcome {
		enrolled(t, h, pkitest.NewCA(t))
		config, err := os.ReadFile(h.path("/etc/linux_patch_api/config.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		h.write("/etc/linux_patch_api/config.yaml", strings.ReplaceAll(string(config), "/certs/", "/pki/"), 0o640)
		if err := os.Chmod(h.path("/etc/linux_patch_api/certs"), 0o777); err != nil {
			t.Fatal(err)
		}
		return h.run(context.Background(), map[string]any{"state": "absent"})
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
	{"another run", contract.CodeLocked, beside(map[string]any{"wait": true, "wait_timeout": 1})},
	{"another run, not waited for", "", beside(map[string]any{"wait": false})},
}

// beside runs the module while another run holds the lock.
func beside(more map[string]any) func(*testing.T, *host) outcome {
	return func(t *testing.T, h *host) outcome {
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
		return h.run(context.Background(), more)
	}
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, "\n", `\n`) + `"` }
