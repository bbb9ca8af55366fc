package docscheck_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/converse"
	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/manager"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// withTheManager are found on the way to the manager, or in its answers.
var withTheManager = []trouble{
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
	{"gateway", contract.CodeUnreachable, answered(goodToken, answer{code: 404, body: "404 page not found\n"})},
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
			e.Progress = func(p converse.Progress) {
				if p.Phase == converse.PhaseWait {
					cancel()
				}
			}
		}
		return h.run(ctx, map[string]any{"wait": true})
	}},
	{"host clock behind", contract.CodeIdentity, func(t *testing.T, h *host) outcome {
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
