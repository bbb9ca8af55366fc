package daemon

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

func crlOf(t *testing.T, ca *pkitest.CA, number int64, from, to time.Time, revoked ...*x509.Certificate) string {
	t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: from, NextUpdate: to}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: from})
	}
	return ca.SignCRL(t, list)
}

// TestField1_5_RefreshesTheCRL: past half its life, and where it cannot be
// loaded; by its signature, though the HTTPS does not verify; never an older one,
// nor what is none.
func TestField1_5_RefreshesTheCRL(t *testing.T) {
	now := time.Now()
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		have, offered func(t *testing.T, h *host) string
		refused       string
	}{
		"out of date": {
			have:    func(t *testing.T, h *host) string { return crlOf(t, h.ca, 5, now.Add(-2*day), now.Add(-day)) },
			offered: func(t *testing.T, h *host) string { return crlOf(t, h.ca, 6, now, now.Add(day), h.client.Cert) },
		},
		"past half its life": {
			have: func(t *testing.T, h *host) string {
				return crlOf(t, h.ca, 5, now.Add(-14*time.Hour), now.Add(10*time.Hour))
			},
			offered: func(t *testing.T, h *host) string { return crlOf(t, h.ca, 6, now, now.Add(day), h.client.Cert) },
		},
		"broken": {
			have:    func(*testing.T, *host) string { return "broken" },
			offered: func(t *testing.T, h *host) string { return crlOf(t, h.ca, 6, now, now.Add(day), h.client.Cert) },
		},
		"a lower number": {
			have:    func(t *testing.T, h *host) string { return crlOf(t, h.ca, 5, now.Add(-2*day), now.Add(-day)) },
			offered: func(t *testing.T, h *host) string { return crlOf(t, h.ca, 4, now, now.Add(day)) },
			refused: "is older than the one in force",
		},
		"an earlier date": {
			have:    func(t *testing.T, h *host) string { return crlOf(t, h.ca, 5, now.Add(-2*day), now.Add(-day)) },
			offered: func(t *testing.T, h *host) string { return crlOf(t, h.ca, 6, now.Add(-3*day), now.Add(day)) },
			refused: "is older than the one in force",
		},
		"another CA's": {
			have:    func(t *testing.T, h *host) string { return crlOf(t, h.ca, 5, now.Add(-2*day), now.Add(-day)) },
			offered: func(t *testing.T, _ *host) string { return crlOf(t, pkitest.NewCA(t), 6, now, now.Add(day)) },
			refused: "not signed by the CA",
		},
		"a page": {
			have:    func(t *testing.T, h *host) string { return crlOf(t, h.ca, 5, now.Add(-2*day), now.Add(-day)) },
			offered: func(*testing.T, *host) string { return "<html>log in</html>" },
			refused: "no PEM block",
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.install(h.leaf())
			have, offered := c.have(t, h), c.offered(t, h)
			h.write("certs/crl.pem", have)
			manager := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != contract.CRLPath {
					http.NotFound(w, r)
					return
				}
				_, _ = io.WriteString(w, offered)
			}))
			defer manager.Close()
			r := h.start("--enroll", manager.URL)
			h.logged("without verifying the manager's HTTPS")
			if c.refused != "" {
				h.logged(c.refused)
				if got, err := os.ReadFile(h.path("certs/crl.pem")); err != nil || string(got) != have {
					t.Errorf("the CRL was replaced: got %v, want %v", err, have)
				}
				return
			}
			h.logged("the CRL was refreshed from the manager")
			r.status(func(s status) bool {
				return s.State == stateListening && s.CRL != nil && s.CRL.Number == "6" && s.CRL.Revoked == 1
			})
		})
	}
}

// TestRefreshHoldsTheListAgainstTheDisk, also where none is in force; what is
// refused leaves nothing behind.
func TestRefreshHoldsTheListAgainstTheDisk(t *testing.T) {
	h := newHost(t)
	h.install(h.leaf())
	now, day := time.Now(), 24*time.Hour
	newer := crlOf(t, h.ca, 6, now, now.Add(day))
	var offered string
	manager := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, offered) }))
	defer manager.Close()
	d := h.daemon("--enroll", manager.URL)
	for _, c := range []struct {
		name, have, offered string
		changed             bool
		refused             string
	}{
		{"a lower number", newer, crlOf(t, h.ca, 5, now, now.Add(day)), false, "is older than the one in force: number 5"},
		{"an earlier date", newer, crlOf(t, h.ca, 7, now.Add(-day), now.Add(day)), false, "is older than the one in force: number 7"},
		{"the same", newer, newer, false, ""},
		{"the same with text around", "# by hand\n" + newer, newer, true, ""},
		{"a higher number", newer, crlOf(t, h.ca, 7, now, now.Add(day)), true, ""},
		{"another CA's on disk", crlOf(t, pkitest.NewCA(t), 9, now, now.Add(day)), newer, true, ""},
		{"none of a list on disk", "broken", newer, true, ""},
	} {
		h.write("certs/crl.pem", c.have)
		before, err := os.ReadDir(h.path("certs"))
		if err != nil {
			t.Fatal(err)
		}
		offered = c.offered
		changed, _, err := d.enroller.RefreshCRL(t.Context(), d.params(), nil)
		if changed != c.changed || c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%s: got %v, %v; want %v, %q", c.name, changed, err, c.changed, c.refused)
		}
		want := c.have
		if c.changed {
			want = c.offered
		}
		if got, err := os.ReadFile(h.path("certs/crl.pem")); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", c.name, got, err, want)
		}
		if after, err := os.ReadDir(h.path("certs")); err != nil || len(after) != len(before) {
			t.Errorf("%s: got %v, %v; want %v", c.name, after, err, before)
		}
	}
}

// TestRefreshWaits: half the life within its jitter, and backing off up to an
// hour while there is none.
func TestRefreshWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, begin := pkitest.NewCA(t), time.Now()
		list, err := pki.ReadCRL("CRL", strings.NewReader(crlOf(t, ca, 1, begin, begin.Add(24*time.Hour))))
		if err != nil {
			t.Fatal(err)
		}
		var asked []time.Duration
		var n atomic.Int64
		r := &refresher{
			inForce: func() (*pki.CRL, bool) { return list, false },
			fetch: func(context.Context, *pki.CRL) (bool, []string, error) {
				asked = append(asked, time.Since(begin))
				return false, nil, fmt.Errorf("try %d: %w", n.Add(1), errors.New("down"))
			},
			every: lookCRLEvery, log: newLogger(io.Discard, false), now: time.Now, rand: func() float64 { return 0.5 }, warned: map[string]bool{},
		}
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		r.run(ctx)
		if len(asked) < 15 || len(asked) > 25 || asked[0] < 12*time.Hour || asked[0] > 12*time.Hour+2*time.Minute {
			t.Errorf("asked %d times, first after %v, want about 18 from 12 h on", len(asked), asked[:1])
		}
	})
}
