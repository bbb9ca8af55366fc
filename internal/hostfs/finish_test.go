package hostfs

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
)

// killedAt is newSet with a commit that died before the given operation.
func killedAt(t *testing.T, op faultfs.Op) (s sandbox, old map[string]string) {
	t.Helper()
	s, changes := newSet(t)
	old = s.tree()
	f := &faultfs.Fs{At: 1, Err: syscall.EIO}
	dead := false
	f.Match = func(o faultfs.Op) bool {
		dead = dead || o == op
		return dead
	}
	f.Forever = true
	if _, err := s.faulty(f).Commit(journalPath, changes); !errors.Is(err, ErrCommitUnfinished) {
		t.Fatalf("died before %v: got %v, want %v", op, err, ErrCommitUnfinished)
	}
	return s, old
}

func renameOf(path string) faultfs.Op { return faultfs.Op{Name: "rename", Path: path} }

// loseTemp removes or damages the staged file of a target.
func loseTemp(t *testing.T, s sandbox, target string, damage bool) {
	t.Helper()
	j, err := s.host().LoadJournal(journalPath)
	if err != nil || j == nil {
		t.Fatalf("%v, %v", j, err)
	}
	for _, step := range j.Steps {
		if step.Path != target {
			continue
		}
		if damage {
			s.write(step.temp(), "damaged", 0o600)
		} else if err := os.Remove(s.out(step.temp())); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no step for %s", target)
}

func TestFinish(t *testing.T) {
	first, third := renameOf("/certs/ca.pem"), renameOf("/keys/server.key")
	firstBackup := renameOf("/certs/ca.pem" + stamp)
	with := func(change map[string]string, base map[string]string) map[string]string {
		all := overlay(base, nil)
		for path, content := range change {
			if delete(all, path); content != "" {
				all[path] = content
			}
		}
		return all
	}
	for _, c := range []struct {
		name   string
		killed faultfs.Op
		after  func(sandbox)
		result Result
		want   func(old map[string]string) map[string]string
	}{
		{"all staged", firstBackup, func(sandbox) {}, Finished,
			func(map[string]string) map[string]string { return newTree }},
		{"some done", third, func(sandbox) {}, Finished,
			func(map[string]string) map[string]string { return newTree }},
		{"a temp is lost, backups done", first, func(s sandbox) { loseTemp(t, s, "/keys/server.key", false) }, Undone,
			func(old map[string]string) map[string]string { return old }},
		{"a temp is damaged, nothing done", firstBackup, func(s sandbox) { loseTemp(t, s, "/keys/server.key", true) }, Undone,
			func(old map[string]string) map[string]string { return old }},
		{"a backup's temp is lost, nothing done", firstBackup, func(s sandbox) { loseTemp(t, s, "/keys/server.key"+stamp, false) }, Undone,
			func(old map[string]string) map[string]string { return old }},
		{"someone wrote a key, nothing done", first, func(s sandbox) { s.write("/keys/server.key", "by hand", 0o600) }, Undone,
			func(old map[string]string) map[string]string {
				return with(map[string]string{"/keys/server.key": "0600 by hand"}, old)
			}},
		{"a temp is lost, some done", third, func(s sandbox) { loseTemp(t, s, "/keys/server.key", false) }, Abandoned,
			func(old map[string]string) map[string]string {
				return with(map[string]string{
					"/certs/ca.pem": "0644 new ca", "/certs/ca.pem" + stamp: "0644 old ca",
					"/certs/crl.pem": "", "/certs/crl.pem" + stamp: "0644 old crl",
					"/keys/server.key" + stamp: "0600 old key",
				}, old)
			}},
		{"someone wrote a certificate, some done", third, func(s sandbox) { s.write("/certs/server.pem", "by hand", 0o600) }, Abandoned,
			func(old map[string]string) map[string]string {
				return with(map[string]string{
					"/certs/ca.pem": "0644 new ca", "/certs/ca.pem" + stamp: "0644 old ca",
					"/certs/crl.pem": "", "/certs/crl.pem" + stamp: "0644 old crl",
					"/keys/server.key" + stamp: "0600 old key", "/certs/server.pem": "0600 by hand",
				}, old)
			}},
		{"a backup was removed, some done", third, func(s sandbox) {
			if err := os.Remove(s.out("/certs/crl.pem" + stamp)); err != nil {
				t.Fatal(err)
			}
		}, Finished,
			func(map[string]string) map[string]string {
				return with(map[string]string{"/certs/crl.pem" + stamp: ""}, newTree)
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, old := killedAt(t, c.killed)
			c.after(s)
			foreseen := foresee(t, s)
			now := s.tree()
			out, err := s.host().Finish(journalPath)
			if err != nil || out.Result != c.result {
				t.Errorf("%v, %v, want %v", out.Result, err, c.result)
			}
			if err := sameTree(s.tree(), c.want(old)); err != nil {
				t.Error(err)
			}
			if err := sameTargets(overlay(now, foreseen), s.tree()); err != nil {
				t.Errorf("EndState: got %v, want no error", err)
			}
			if _, listed := slices.BinarySearch(out.Backups, "/certs/crl.pem"+stamp); listed != (c.result == Finished && s.tree()["/certs/crl.pem"+stamp] != "") {
				t.Errorf("backups: %v", out.Backups)
			}
			if out, err := s.host().Finish(journalPath); err != nil || out.Result != Nothing {
				t.Errorf("a second time: got %+v, %v, want %v", out, err, Nothing)
			}
		})
	}
}

// After a power failure a backup may not have its name yet although its file
// has changed; abandoning must not lose the only copy of the old key.
func TestAbandonKeepsBackups(t *testing.T) {
	s, _ := killedAt(t, renameOf("/certs/server.pem"))
	j, err := s.host().LoadJournal(journalPath)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range j.Steps {
		if step.Path == "/keys/server.key"+stamp {
			if err := os.Rename(s.out(step.Path), s.out(step.temp())); err != nil {
				t.Fatal(err)
			}
		}
	}
	loseTemp(t, s, "/certs/server.pem", false)
	if out, err := s.host().Finish(journalPath); err != nil || out.Result != Abandoned {
		t.Fatalf("got %+v, %v, want %v", out, err, Abandoned)
	}
	if got := s.read("/keys/server.key" + stamp); got != "old key" {
		t.Errorf(`the backup holds %q, want "old key"`, got)
	}
	if temps, err := s.host().StaleTemps([]string{"/keys", "/certs"}); err != nil || len(temps) > 0 {
		t.Errorf("left: got %v, %v, want none", temps, err)
	}
}

func TestFinishChecksPaths(t *testing.T) {
	s, _ := killedAt(t, renameOf("/keys/server.key"))
	s.mkdir("/keys", 0o777)
	before := s.tree()
	_, err := s.host().Finish(journalPath)
	wantCode(t, err, contract.CodeFilesystem, "/keys is writable by others")
	if err := sameTree(s.tree(), before); err != nil {
		t.Error(err)
	}
	s.mkdir("/keys", 0o755)
	if out, err := s.host().Finish(journalPath); err != nil || out.Result != Finished {
		t.Errorf("mended: got %+v, %v, want %v", out, err, Finished)
	}
}

func TestFinishDamagedJournal(t *testing.T) {
	good := `{"version":1,"steps":[{"action":"remove","path":"/certs/ca.pem"}]}`
	for name, journal := range map[string]string{
		"empty":            "",
		"zeros":            string(make([]byte, 100)),
		"cut":              good[:40],
		"trailing":         good + good,
		"version":          strings.Replace(good, "1", "2", 1),
		"unknown field":    strings.Replace(good, `"version"`, `"x":1,"version"`, 1),
		"unknown action":   strings.Replace(good, "remove", "copy", 1),
		"relative path":    strings.Replace(good, "/certs/ca.pem", "certs/ca.pem", 1),
		"dots":             strings.Replace(good, "/certs/ca.pem", "/certs/../certs/ca.pem", 1),
		"the root":         strings.Replace(good, "/certs/ca.pem", "/", 1),
		"foreign prune":    strings.Replace(good, `]}`, `],"prune":["/certs/server.pem"]}`, 1),
		"foreign temp":     `{"version":1,"steps":[{"action":"write","path":"/certs/ca.pem","temp":"server.pem","after":"` + strings.Repeat("0", 64) + `"}]}`,
		"temp elsewhere":   `{"version":1,"steps":[{"action":"write","path":"/certs/ca.pem","temp":"../.x.0123456789abcdef.enroll~tmp","after":"` + strings.Repeat("0", 64) + `"}]}`,
		"write of no hash": `{"version":1,"steps":[{"action":"write","path":"/certs/ca.pem","temp":".x.0123456789abcdef.enroll~tmp"}]}`,
		"bad hash":         strings.Replace(good, `pem"`, `pem","before":"00"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newSet(t)
			before := s.tree()
			s.write(journalPath, journal, 0o600)
			if _, err := s.host().LoadJournal(journalPath); !errors.Is(err, ErrJournalDamaged) {
				t.Errorf("load: got %v, want %v", err, ErrJournalDamaged)
			}
			out, err := s.host().Finish(journalPath)
			if err != nil || out.Result != Abandoned {
				t.Errorf("got %+v, %v, want %v", out, err, Abandoned)
			}
			before[journalPath+".damaged"] = "0600 " + journal
			if err := sameTree(s.tree(), before); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestJournalOfOthers(t *testing.T) {
	s, _ := newSet(t)
	journal := `{"version":1,"steps":[{"action":"remove","path":"/certs/ca.pem","before":"` + hash([]byte("old ca")) + `"}]}`
	s.write(journalPath, journal, 0o620)
	_, err := s.host().Finish(journalPath)
	wantCode(t, err, contract.CodeFilesystem, journalPath)
	s.write(journalPath, journal, 0o600)
	if out, err := s.host().Finish(journalPath); err != nil || out.Result != Finished {
		t.Errorf("got %+v, %v, want %v", out, err, Finished)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make another user's journal")
	}
	s.write(journalPath, journal, 0o600)
	if err := os.Chown(s.out(journalPath), 12345, 12345); err != nil {
		t.Fatal(err)
	}
	_, err = s.host().Finish(journalPath)
	wantCode(t, err, contract.CodeFilesystem, "user 12345")
}

// FuzzJournal: what is accepted touches nothing but the named paths, our own
// temp files beside them and their backups, and comes back as it was.
func FuzzJournal(f *testing.F) {
	for _, seed := range []string{
		`{"version":1,"steps":[]}`,
		`{"version":1,"steps":[{"action":"remove","path":"/a","before":"` + strings.Repeat("a", 64) + `"}],"prune":["/a.20260506T070809Z~"]}`,
		`{"version":1,"steps":[{"action":"write","path":"/d/a","temp":".a.0123456789abcdef.enroll~tmp","after":"` + strings.Repeat("0", 64) + `"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		j, err := decodeJournal(content)
		if err != nil {
			return
		}
		for _, s := range j.Steps {
			for _, path := range []string{s.Path, s.temp()} {
				if _, err := within(path); path != "" && err != nil {
					t.Errorf("%q: %v", path, err)
				}
			}
			if s.temp() != "" && (!strings.HasSuffix(s.temp(), ".enroll~tmp") || strings.Count(s.temp(), "/") != strings.Count(s.Path, "/")) {
				t.Errorf("%q is staged as %q", s.Path, s.temp())
			}
		}
		for _, path := range j.Prune {
			if !strings.HasSuffix(path, "Z~") {
				t.Errorf(`%q would be pruned, want "Z~" last`, path)
			}
		}
		encoded, err := j.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeJournal(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := mustJSON(t, j), mustJSON(t, again); a != b {
			t.Errorf("%s came back as %s, want %v", a, b, b)
		}
	})
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
