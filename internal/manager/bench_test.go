package manager

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// filled makes a manager with n pending requests and n hosts.
func filled(tb testing.TB, n int) *Server {
	tb.Helper()
	s, err := New(Options{Dir: tb.TempDir(), NoRateLimit: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	p, err := parseRequest([]byte(goodRequest))
	if err != nil {
		tb.Fatal(err)
	}
	now := time.Now().UTC()
	p.Source, p.CreatedAt, p.ExpiresAt = netip.MustParseAddr("10.1.2.3"), now, now.Add(DefaultPendingFor)
	// In one transaction bbolt would keep the rows in one ever longer page.
	for first := 0; first < n; first += 500 {
		err = s.store.db.Update(func(tx *bbolt.Tx) error {
			for i := first; i < min(n, first+500); i++ {
				p.ID, p.MachineID, p.FQDN = fmt.Sprintf("p%08d", i), fmt.Sprintf("%032x", i+1), fmt.Sprintf("p%d.example.com", i)
				if err := addPending(tx, storedPending{p, hashOf(p.ID)}); err != nil {
					return err
				}
				h := Host{
					ID: fmt.Sprintf("h%08d", i), MachineID: fmt.Sprintf("%032x", i+1<<30), FQDN: fmt.Sprintf("h%d.example.com", i),
					IPAddress: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), OSDetails: p.OSDetails,
					Serial: fmt.Sprintf("%x", i+1), ApprovedAt: now, NotAfter: now.Add(DefaultCertFor),
				}
				if err := addHost(tx, h); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

func heap() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// TestHeapWithTenThousandHosts: rows live in the database, not on the heap.
func TestHeapWithTenThousandHosts(t *testing.T) {
	s := filled(t, 10_000)
	s.mu.Lock()
	err := s.sweep(time.Now())
	s.mu.Unlock()
	if err != nil || s.pendingRows != 10_000 {
		t.Fatalf("got %d rows, %v, want 10_000", s.pendingRows, err)
	}
	if mib := heap(); mib > 32 {
		t.Errorf("%.1f MiB of heap at rest, want 32 at most", mib)
	}
}

func BenchmarkRegisterAmongTenThousand(b *testing.B) {
	s := filled(b, 10_000)
	s.store.db.NoSync = true
	h := s.Handler()
	i := 0
	for b.Loop() {
		i++
		body := strings.Replace(goodRequest, "0123456789abcdef0123456789abcdef", fmt.Sprintf("%032x", i+1<<40), 1)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/enroll", strings.NewReader(body)))
		if w.Code != http.StatusAccepted && i < maxPending-10_000 {
			b.Fatalf("%d", w.Code)
		}
	}
	b.ReportMetric(heap(), "MiB-heap")
}

func BenchmarkPollAmongTenThousand(b *testing.B) {
	s := filled(b, 10_000)
	h := s.Handler()
	path := "/api/v1/enroll/status/" + strings.Repeat("a", tokenLength)
	for b.Loop() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if !bytes.Contains(w.Body.Bytes(), []byte("notfound")) {
			b.Fatal("not the answer to an unknown token")
		}
	}
	b.ReportMetric(heap(), "MiB-heap")
}

func BenchmarkListTenThousand(b *testing.B) {
	s := filled(b, 10_000)
	for b.Loop() {
		rows, err := s.Pending()
		if err != nil || len(rows) != 10_000 {
			b.Fatalf("%d rows, %v", len(rows), err)
		}
	}
	b.ReportMetric(heap(), "MiB-heap")
}
