package docscheck_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/managerclient"
)

// unreachable provoke the ends that the message of a manager that cannot be
// reached may have.
var unreachable = []trouble{
	{"a name that is not known", "", once(map[string]any{"manager_url": "https://manager.example.com"})},
	{"a resolver that is silent", "", once(map[string]any{"manager_url": "https://" + silentName})},
	{"a firewall that drops", "", func(t *testing.T, h *host) outcome {
		// Connections stand, and no one takes part in them.
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ln.Close() })
		h.dial = impatient
		return h.run(context.Background(), map[string]any{"manager_url": "https://" + ln.Addr().String()})
	}},
	{"no route", "", once(map[string]any{"manager_url": "https://255.255.255.255"})},
	{"a connection that ends", "", answered(answer{})},
	{"a proxy that wants a password", "", func(t *testing.T, h *host) outcome {
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Proxy-Authenticate", `Basic realm="proxy"`)
			w.WriteHeader(http.StatusProxyAuthRequired)
		}))
		t.Cleanup(proxy.Close)
		return h.run(context.Background(), map[string]any{
			"manager_url": "https://manager.example.com", "manager_ip": "192.0.2.10", "proxy_url": proxy.URL})
	}},
	{"a proxy that is away", "", func(t *testing.T, h *host) outcome {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		proxy := "http://" + ln.Addr().String()
		if err := ln.Close(); err != nil {
			t.Fatal(err)
		}
		return h.run(context.Background(), map[string]any{
			"manager_url": "https://manager.example.com", "manager_ip": "192.0.2.10", "proxy_url": proxy})
	}},
}

// silentName is a name about which no resolver says anything.
const silentName = "silent.manager.example.com"

// resolver stands in for that of the machine, which may have none, and knows no
// name: it answers every question with "no such name" (RFC 1035, 4.1.1).
var resolver = &net.Resolver{
	PreferGo: true,
	Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			// As over TCP: the length goes first.
			question := make([]byte, 514)
			n, err := theirs.Read(question)
			if err != nil || n < 14 {
				return
			}
			if bytes.Contains(question, []byte("\x06silent\x07manager")) {
				_ = ours.SetDeadline(time.Now()) // in place of the 5 s that Go waits
				_, _ = theirs.Read(question)     // until the host gives up
				return
			}
			question[4], question[5] = 0x81, 0x83
			_, _ = theirs.Write(question[:n])
		}()
		return ours, nil
	},
}

func impatient(o *managerclient.Options) { o.Timeout = 200 * time.Millisecond }
