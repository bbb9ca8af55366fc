package torture_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/torture"
	"github.com/linux-patch/enroll/internal/torture/tally"
)

// carry makes the command of a run that puts a carried bundle of ca in place,
// and keeps its state, arguments and bundle in a place of its own.
func (h *host) carry(t *testing.T, ca *pkitest.CA, state string) torture.Command {
	t.Helper()
	own := *h
	own.args = t.TempDir()
	b := ca.Issue(t, pkitest.DNS("web1.example.com"), pkitest.IP("127.0.0.1")).Bundle(t)
	b.CRLPEM = ca.CRL(t)
	raw, err := json.Marshal(contract.PollingStatus{Status: contract.StatusApproved, PkiBundle: b})
	must(t, err)
	file := filepath.Join(own.args, "bundle.json")
	must(t, os.WriteFile(file, raw, 0o600))
	block, _ := pemBlock(b.CACrt)
	return own.command(nil, options{
		"state_dir": h.path(state), "bundle_path": file, "bundle_ca_fingerprint": fmt.Sprintf("%x", sum(block)),
		"force": true, "allow_ca_change": true, "manager_ip": "127.0.0.1", "backup": false,
	})
}

// TestStateDirectoriesDoNotMixSets: runs with different state directories do
// not share a run lock, and replace the same certificates at once. Whatever
// their order, no run fails, and what is there in the end is one set.
func TestStateDirectoriesDoNotMixSets(t *testing.T) {
	const name, at = "different state directories", 4
	rounds := 8
	if full {
		rounds = 100
	}
	h := newHost(t)
	var cas []*pkitest.CA
	for range at {
		cas = append(cas, pkitest.NewCA(t))
	}
	for round := range rounds {
		var all sync.WaitGroup
		for i, ca := range cas {
			cmd := h.carry(t, ca, fmt.Sprintf("state%d", i))
			all.Go(func() {
				if r := h.run(cmd); r.Failed || r.State != "enrolled" {
					counted.add(name, func(r *tally.Row) { r.Lost++ })
					t.Errorf("round %d: %s", round, r.raw)
				}
			})
		}
		all.Wait()
		counted.add(name, func(r *tally.Row) { r.Runs += at })
		if set := h.set(); strings.HasPrefix(set, "mixture") {
			counted.add(name, func(r *tally.Row) { r.Mixed++ })
			t.Errorf("round %d: %s", round, set)
		}
		if t.Failed() {
			return
		}
	}
}
