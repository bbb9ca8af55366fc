package daemon

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
)

// healthOf asks as a manager does, and returns the answer's data.
func healthOf(t *testing.T, address string, config *tls.Config) map[string]any {
	t.Helper()
	var data map[string]any
	if err := json.Unmarshal(dataOf(t, address, "/api/v1/health", config), &data); err != nil {
		t.Fatal(err)
	}
	return data
}

func dataOf(t *testing.T, address, path string, config *tls.Config) json.RawMessage {
	t.Helper()
	client := http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var envelope contract.HealthEnvelope
	if err := json.NewDecoder(resp.Body).Decode(&envelope); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || !envelope.Success || envelope.Error != nil {
		t.Errorf("%s: got HTTP %d, success %v, error %v, want 200 and success", path, resp.StatusCode, envelope.Success, envelope.Error)
	}
	return envelope.Data
}

// TestField1_1_HealthAsManagersParseIt: the poller of deployed managers refuses
// an answer without uptime_seconds, and any member of another type.
func TestField1_1_HealthAsManagersParseIt(t *testing.T) {
	type strict struct {
		Status        *string    `json:"status"`
		Version       *string    `json:"version"`
		UptimeSeconds *uint64    `json:"uptime_seconds"`
		CRLStatus     *string    `json:"crl_status"`
		CRLAgeSeconds *uint64    `json:"crl_age_seconds"`
		CRLNextUpdate *time.Time `json:"crl_next_update"`
		GPGKeyStatus  *string    `json:"gpg_key_status"`
	}
	now := time.Now()
	for name, c := range map[string]struct {
		crl    func(h *host) string
		status string
	}{
		"no CRL":             {nil, ""},
		"a CRL":              {func(h *host) string { return h.ca.CRL(t) }, "valid"},
		"one out of date":    {func(h *host) string { return h.ca.CRLAt(t, now.Add(-48*time.Hour), now.Add(-24*time.Hour)) }, "expired"},
		"one of the future":  {func(h *host) string { return h.ca.CRLAt(t, now.Add(time.Hour), now.Add(24*time.Hour)) }, "valid"},
		"one of a long life": {func(h *host) string { return h.ca.CRLAt(t, now.AddDate(-1, 0, 0), now.AddDate(1, 0, 0)) }, "valid"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.install(h.leaf())
			if c.crl != nil {
				h.write("certs/crl.pem", c.crl(h))
			}
			address := h.start().listening()
			for _, path := range []string{"/health", "/api/v1/health"} {
				raw := dataOf(t, address, path, h.clientTLS())
				var got strict
				dec := json.NewDecoder(bytes.NewReader(raw))
				dec.DisallowUnknownFields()
				if err := dec.Decode(&got); err != nil {
					t.Fatalf("%s: %v in %s, want no error", path, err, raw)
				}
				if got.Status == nil || got.Version == nil || got.UptimeSeconds == nil {
					t.Errorf("%s: got %s, want status, version and uptime_seconds", path, raw)
				}
				if bytes.Contains(raw, []byte("null")) || got.GPGKeyStatus != nil {
					t.Errorf("%s: got %s, want no member that is not known", path, raw)
				}
				if with := c.crl != nil; (got.CRLStatus != nil) != with || (got.CRLAgeSeconds != nil) != with || (got.CRLNextUpdate != nil) != with {
					t.Errorf("%s: got %s, want the CRL's members with a CRL only", path, raw)
				}
				if got.CRLStatus != nil && *got.CRLStatus != c.status {
					t.Errorf("%s: got crl_status %s, want %s", path, *got.CRLStatus, c.status)
				}
			}
			var info map[string]any
			if err := json.Unmarshal(dataOf(t, address, "/api/v1/system/info", h.clientTLS()), &info); err != nil || info["kernel"] == "" {
				t.Errorf("system/info: got %v, %v, want the kernel in it", info, err)
			}
		})
	}
}
