package deployed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
)

// Health is the data of an agent's health answer, as a manager's poller types it.
type Health struct {
	Status, Version string
	UptimeSeconds   uint64
	// Where the agent has no such thing these are left out.
	CRLStatus, CRLNextUpdate, GPGKeyStatus *string
	CRLAgeSeconds                          *uint64
}

// ParseHealth reads a health answer. After an error the manager keeps the host
// degraded, its version unknown.
func ParseHealth(body []byte) (*Health, error) {
	var envelope map[string]json.RawMessage
	if err := json.Unmarshal(body, &envelope); err != nil {
		return nil, err
	}
	for name, into := range map[string]any{"success": new(bool), "request_id": new(string), "timestamp": new(string)} {
		if err := required(envelope, name, into); err != nil {
			return nil, err
		}
	}
	var data map[string]json.RawMessage
	if err := required(envelope, "data", &data); err != nil {
		return nil, err
	}
	return parseData(data)
}

func parseData(data map[string]json.RawMessage) (*Health, error) {
	h := &Health{}
	for name, into := range map[string]any{"status": &h.Status, "version": &h.Version, "uptime_seconds": &h.UptimeSeconds} {
		if err := required(data, name, into); err != nil {
			return nil, err
		}
	}
	for name, into := range map[string]any{
		"crl_status": &h.CRLStatus, "crl_next_update": &h.CRLNextUpdate, "gpg_key_status": &h.GPGKeyStatus, "crl_age_seconds": &h.CRLAgeSeconds,
	} {
		if raw, ok := data[name]; ok {
			if err := typed(name, raw, into); err != nil {
				return nil, err
			}
		}
	}
	return h, nil
}

func required(object map[string]json.RawMessage, name string, into any) error {
	raw, ok := object[name]
	if !ok {
		return fmt.Errorf("missing field `%s`", name)
	}
	if bytes.Equal(raw, []byte("null")) {
		return fmt.Errorf("invalid type: null, field `%s`", name)
	}
	return typed(name, raw, into)
}

// typed decodes one value. 5.0 is no integer, "5" no number.
func typed(name string, raw json.RawMessage, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("field `%s`: %w", name, err)
	}
	return nil
}

// Poller asks agents for their health, as a manager does.
type Poller struct{ Client *http.Client }

// Poll asks the agent of a host, with the address as the host reported it.
// The URL has no brackets: an IPv6 address is never reached.
func (p Poller) Poll(ctx context.Context, ip string, port int) (*Health, error) {
	if port < 1 || port > math.MaxUint16 {
		return nil, fmt.Errorf("port %d", port)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+ip+":"+strconv.Itoa(port)+"/api/v1/health", nil)
	if err != nil {
		return nil, err
	}
	resp, err := p.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("health: %s", resp.Status)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	return ParseHealth(body)
}
