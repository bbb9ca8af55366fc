package docscheck_test

import (
	"context"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/manager"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

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
	{"held directory", "", func(t *testing.T, h *host) outcome {
		s := h.real(manager.Options{})
		runs(h, 1)
		approve(t, s)
		dir, err := os.Open(h.path("/etc/linux_patch_api/certs"))
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		return h.run(context.Background(), map[string]any{"lock_timeout": 0})
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
