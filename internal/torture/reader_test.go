package torture_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/torture/tally"
)

// loads counts what a reader saw.
type loads struct {
	good, mixed, broken atomic.Int64
	// spells are the times in which mixtures were seen.
	spells atomic.Int64
	// longest is the longest time from a mixed load to a good one, in ns.
	longest atomic.Int64
}

// load reads certificate and key as a daemon does. A pair that does not fit is
// a mixture; anything else is broken.
func (h *host) load() (mixed bool, err error) {
	pair, err := tls.LoadX509KeyPair(h.path("certs/server.pem"), h.path("certs/server.key.pem"))
	if err != nil {
		// crypto/tls has no error value for "does not match".
		return !errors.Is(err, fs.ErrNotExist) && bytes.Contains([]byte(err.Error()), []byte("does not match")), err
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		return false, err
	}
	ca, err := os.ReadFile(h.path("certs/ca.pem"))
	if err != nil {
		return false, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return false, errors.New("no CA")
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err != nil, err
}

// TestReaderDuringRenewals: who loads certificate and key while they are
// replaced sees the old set or the new one, and a mixture at most between the
// renames of one commit; never after a run has ended, never a file that is
// missing or half.
func TestReaderDuringRenewals(t *testing.T) {
	h := newHost(t)
	renewals := 25
	if full {
		renewals = 1000
	}
	ca := pkitest.NewCA(t)
	renew := func(i int) {
		// Every tenth brings another CA, the hardest set to swap.
		if i%10 == 9 {
			ca = pkitest.NewCA(t)
		}
		h.provision(t, ca)
	}
	renew(0)
	var seen loads
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		var since time.Time
		for {
			select {
			case <-stop:
				return
			default:
			}
			mixed, err := h.load()
			switch {
			case err == nil:
				seen.good.Add(1)
				if !since.IsZero() {
					seen.longest.Store(max(seen.longest.Load(), int64(time.Since(since))))
				}
				since = time.Time{}
			case mixed:
				seen.mixed.Add(1)
				if since.IsZero() {
					seen.spells.Add(1)
					since = time.Now()
				}
			default:
				seen.broken.Add(1)
				t.Errorf("got neither old nor new, want one of them: %v", err)
			}
		}
	}()
	for i := 1; i <= renewals; i++ {
		renew(i)
		if _, err := h.load(); err != nil {
			counted.add("reader", func(r *tally.Row) { r.Mixed++ })
			t.Errorf("after run %d: got %v, want no error", i, err)
		}
	}
	close(stop)
	<-done
	counted.add("reader", func(r *tally.Row) { r.Runs += renewals + 1; r.Lost += int(seen.broken.Load()) })
	t.Logf("%d renewals, %d good loads, %d mixed ones between two renames, at most %v long, none after a run",
		renewals, seen.good.Load(), seen.mixed.Load(), time.Duration(seen.longest.Load()).Round(time.Microsecond))
	// One commit has one row of renames.
	if seen.good.Load() < int64(renewals) || seen.spells.Load() > int64(renewals) {
		t.Errorf("got %d good loads, and %d times a mixture in %d renewals, want seen.good.Load() %v at least, seen.spells.Load() %v at most", seen.good.Load(), seen.spells.Load(), renewals, int64(renewals), int64(renewals))
	}
}

// provision runs the program on a bundle that was carried by hand.
func (h *host) provision(t *testing.T, ca *pkitest.CA) {
	t.Helper()
	b := ca.Issue(t, pkitest.DNS("web1.example.com"), pkitest.IP("127.0.0.1")).Bundle(t)
	b.CRLPEM = ca.CRL(t)
	raw, err := json.Marshal(contract.PollingStatus{Status: contract.StatusApproved, PkiBundle: b})
	must(t, err)
	file := filepath.Join(h.args, "bundle.json")
	must(t, os.WriteFile(file, raw, 0o600))
	block, _ := pemBlock(b.CACrt)
	r := h.run(h.command(nil, options{
		"bundle_path": file, "bundle_ca_fingerprint": fmt.Sprintf("%x", sum(block)), "force": true, "allow_ca_change": true,
		"manager_ip": "127.0.0.1", "backup": false,
	}))
	if r.State != "enrolled" || r.Failed {
		t.Fatal(r.raw)
	}
}
