package torture_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/torture"
)

// trace is what a run did to files and sockets, with paths as the host has them.
type trace []torture.Call

func (s *site) trace(t *testing.T, c scenario, counts func(torture.Call) bool) trace {
	t.Helper()
	s.prepare(c)
	ended := s.attack(s.commandOf(c), torture.Attack{Counts: counts, At: -1, Results: true})
	if ended.Exit != 0 {
		t.Fatal(ended.Stdout)
	}
	var all trace
	for _, call := range ended.Calls {
		call.Path, call.To = s.short(call.Path), s.short(call.To)
		all = append(all, call)
	}
	return all
}

func (s *site) short(path string) string { return strings.TrimPrefix(path, s.dir+"/") }

// after returns the index of the first call from i on that is name path, and
// succeeded; -1 where there is none.
func (tr trace) after(i int, name, path string) int {
	for ; i >= 0 && i < len(tr); i++ {
		if tr[i].Name == name && tr[i].Path == path && tr[i].Result >= 0 {
			return i
		}
	}
	return -1
}

// renamed returns the index of the last rename to path.
func (tr trace) renamed(path string) int {
	for i := len(tr) - 1; i >= 0; i-- {
		if strings.HasPrefix(tr[i].Name, "rename") && tr[i].To == path && tr[i].Result >= 0 {
			return i
		}
	}
	return -1
}

// TestOrderUnderPowerLoss: SIGKILL says nothing of what a power failure leaves,
// but the order of the calls does. Each file is written, synced, renamed, and
// its directory synced; the journal stands, synced, before the first rename of
// a set and goes after the last directory is synced; what was stored of the
// manager's answer goes after the journal.
func TestOrderUnderPowerLoss(t *testing.T) {
	needTracing(t)
	for _, c := range scenarios() {
		if c.name != "renew" && c.name != "enroll, token mirrored" {
			continue
		}
		c.conflict409 = true
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, c)
			tr := s.trace(t, c, fileChange)
			set := []string{"certs/ca.pem", "certs/crl.pem", "certs/server.key.pem", "certs/server.pem"}
			edits := []string{"etc/whitelist.yaml"}
			if c.name == "renew" {
				// The CA is the same, and the manager is in the whitelist.
				set, edits = set[1:], nil
			} else {
				edits = append(edits, "etc/config.yaml")
			}
			journal := tr.renamed("state/journal")
			dropped := tr.after(journal, "unlinkat", "state/journal")
			for _, path := range append(append([]string{"state/journal", "state/provenance.json"}, set...), edits...) {
				tr.wantDurable(t, path)
			}
			last := -1
			for _, path := range set {
				at := tr.renamed(path)
				temp := tr.after(0, "fsync", tr[max(at, 0)].Path)
				if temp < 0 || temp > journal || tr.after(temp, "fsync", "certs") > journal {
					t.Errorf("%s: got the journal first, want it staged, with its name synced, before that", path)
				}
				if at < tr.after(journal, "fsync", "state") || at < last {
					t.Errorf("%s: got another order, want it renamed in turn, after the journal is synced", path)
				}
				last = at
			}
			if synced := tr.after(last, "fsync", "certs"); synced < 0 || dropped < synced {
				t.Errorf("the journal goes (%d) before the directory is synced (%d), want 0 at least, %v at least", dropped, synced, synced)
			}
			if gone := tr.after(dropped, "fsync", "state"); gone < 0 {
				t.Error("got no sync after the journal's end, want one")
			}
			for _, secret := range []string{"state/token", "state/spool"} {
				if at := tr.after(dropped, "unlinkat", secret); at < 0 || tr.after(at, "fsync", "state") < 0 {
					t.Errorf("%s: got another order, want it gone, synced, after the journal", secret)
				}
				for _, path := range edits {
					if at := tr.after(dropped, "unlinkat", secret); at < tr.renamed(path) {
						t.Errorf("got %s gone before %s is edited, want it after", secret, path)
					}
				}
			}
		})
	}
}

// wantDurable checks write, fsync, rename and fsync of the directory.
func (tr trace) wantDurable(t *testing.T, path string) {
	t.Helper()
	renamed := tr.renamed(path)
	if renamed < 0 {
		t.Errorf("%s is not renamed into place, want 0 at least", path)
		return
	}
	temp := tr[renamed].Path
	made := tr.after(0, "openat", temp)
	written := tr.after(made, "write", temp)
	synced := tr.after(written, "fsync", temp)
	again := tr.after(synced+1, "write", temp)
	dir := tr.after(renamed, "fsync", filepath.Dir(path))
	if made < 0 || written < 0 || synced < 0 || again >= 0 || synced > renamed || dir < 0 {
		t.Errorf("%s: made %d, written %d, synced %d, written again %d, renamed %d, directory synced %d",
			path, made, written, synced, again, renamed, dir)
	}
	for _, call := range tr[max(synced, 0):renamed] {
		if call.Path == temp && strings.HasPrefix(call.Name, "fch") {
			t.Errorf("%s gets owner or mode after the sync", path)
		}
	}
}

// TestWindowHoldsNothingElse lists the calls between the moment from which the
// manager may act and the fsync that stores its answer: talk on the socket, one
// write and one sync, and no other change on this host.
func TestWindowHoldsNothingElse(t *testing.T) {
	needTracing(t)
	for _, w := range []struct{ scenario, slot string }{{"enroll", "state/request"}, {"provision from token", "state/spool"}} {
		t.Run(w.slot, func(t *testing.T) {
			i := slices.IndexFunc(scenarios(), func(c scenario) bool { return c.name == w.scenario })
			c := scenarios()[i]
			s := newSite(t, c)
			tr := s.trace(t, c, nil)
			prepared := tr.renamed(w.slot)
			open := tr.after(prepared, "fsync", "state")
			write := tr.after(open, "pwrite64", w.slot)
			closed := tr.after(write, "fsync", w.slot)
			if prepared < 0 || open < 0 || write < 0 || closed < 0 {
				t.Fatalf("prepared %d, synced %d, written %d, synced %d", prepared, open, write, closed)
			}
			if space := tr.after(0, "fallocate", tr[prepared].Path); space < 0 || space > prepared {
				t.Error("got no space reserved for the answer, want some")
			}
			// The manager may act once the request is sent: after the last read
			// of its TLS greeting. From the connection on is a little more.
			sent := open
			for i := open; i < write; i++ {
				if tr[i].Kind == torture.Sending && tr[i].Name == "connect" {
					sent = i
				}
			}
			var list []string
			for i := sent; i <= closed; i++ {
				call := tr[i]
				if strings.HasPrefix(call.Path, "socket:") {
					call.Path = "socket"
				}
				if line := call.String(); len(list) == 0 || list[len(list)-1] != line {
					list = append(list, line)
				}
				ours := i == write || i == closed
				if call.Kind == torture.Changing && !ours || call.Create {
					t.Errorf("in the window: got %s, want nothing but the answer stored", call)
				}
			}
			t.Logf("from the connection to the stored answer: %s", strings.Join(list, "; "))
		})
	}
}
