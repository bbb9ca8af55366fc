package hostfs

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/linux-patch/enroll/internal/torture/tally"
	"golang.org/x/sys/unix"
)

var errnos = []error{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EACCES, syscall.EDQUOT}

const (
	journalPath = "/state/journal"
	stamp       = ".20260506T070809Z~"
)

// newSet is a sandbox with an installed set, and what Commit is to make of
// it: one file new, two replaced, one removed, in two directories.
func newSet(t testing.TB) (sandbox, []Change) {
	s := newSandbox(t)
	s.mkdir("/state", 0o700)
	s.write("/certs/ca.pem", "old ca", 0o644)
	s.write("/certs/crl.pem", "old crl", 0o644)
	s.write("/keys/server.key", "old key", 0o640)
	s.write("/keys/server.key.20240101T000000Z~", "oldest key", 0o600)
	s.write("/keys/server.key.20250101T000000Z~", "older key", 0o600)
	s.write("/keys/server.key.mine~", "not ours", 0o600)
	return s, []Change{
		{Path: "/certs/ca.pem", Content: []byte("new ca"), Attributes: Attributes{0o644, Keep, Keep}, Backup: true},
		{Path: "/certs/crl.pem", Remove: true, Backup: true},
		{Path: "/keys/server.key", Content: []byte("new key"), Attributes: Attributes{0o600, Keep, Keep}, Backup: true, KeepOneBackup: true},
		{Path: "/certs/server.pem", Content: []byte("new cert"), Attributes: Attributes{0o444, Keep, Keep}, Backup: true},
	}
}

// newTree is the tree of newSet after Commit.
var newTree = map[string]string{
	"/certs/ca.pem":            "0644 new ca",
	"/certs/ca.pem" + stamp:    "0644 old ca",
	"/certs/crl.pem" + stamp:   "0644 old crl",
	"/keys/server.key":         "0600 new key",
	"/keys/server.key" + stamp: "0600 old key",
	"/keys/server.key.mine~":   "0600 not ours",
	"/certs/server.pem":        "0444 new cert",
}

func TestCommit(t *testing.T) {
	s, changes := newSet(t)
	out, err := s.host().Commit(journalPath, changes)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameTree(s.tree(), newTree); err != nil {
		t.Error(err)
	}
	wantBackups := []string{"/certs/ca.pem" + stamp, "/certs/crl.pem" + stamp, "/keys/server.key" + stamp}
	if !slices.Equal(out.Backups, wantBackups) {
		t.Errorf("backups %v, want %v", out.Backups, wantBackups)
	}
	if out.Result != Finished || len(out.Changed) != 4 || len(out.Left) != 0 {
		t.Errorf("outcome %+v", out)
	}
	if out, err := s.host().Commit(journalPath, nil); err != nil || out.Result != Nothing {
		t.Errorf("no changes: got %+v, %v, want %v", out, err, Nothing)
	}
}

func TestCommitRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(sandbox, []Change) []Change
		want  string
	}{
		{"a link as target", func(s sandbox, c []Change) []Change {
			if err := os.Symlink("ca.pem", s.out("/certs/server.pem")); err != nil {
				s.Fatal(err)
			}
			return c
		}, "/certs/server.pem is a symbolic link"},
		{"a directory as target", func(s sandbox, c []Change) []Change {
			s.mkdir("/certs/server.pem", 0o755)
			return c
		}, "/certs/server.pem is a directory"},
		{"an open directory", func(s sandbox, c []Change) []Change {
			s.mkdir("/keys", 0o777)
			return c
		}, "/keys is writable by others"},
		{"one file twice", func(s sandbox, c []Change) []Change { return append(c, c[0]) }, "/certs/ca.pem: two changes"},
		{"a missing directory", func(s sandbox, c []Change) []Change {
			return append(c, Change{Path: "/no/x", Attributes: Attributes{0o600, Keep, Keep}})
		}, "/no/"},
		{"a journal", func(s sandbox, c []Change) []Change {
			s.write(journalPath, "{}", 0o600)
			return c
		}, journalPath},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, changes := newSet(t)
			changes = c.spoil(s, changes)
			before := s.tree()
			_, err := s.host().Commit(journalPath, changes)
			wantCode(t, err, contract.CodeFilesystem, c.want)
			if err := sameTree(s.tree(), before); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCommitOrder holds the order on which power failures hang: each file
// written, then synced, its directory synced, the journal in place and synced
// before the first rename, all directories synced before the journal goes.
func TestCommitOrder(t *testing.T) {
	s, changes := newSet(t)
	f := &faultfs.Fs{}
	if _, err := s.faulty(f).Commit(journalPath, changes); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, op := range f.Ops() {
		path := filepath.Base(op.Path)
		if isTempName(path) {
			path = path[:len(path)-len("0123456789abcdef.enroll~tmp")] + "tmp"
		}
		switch op.Name {
		case "write", "sync", "rename", "remove":
			order = append(order, op.Name+" "+path)
		}
	}
	want := []string{
		"write .ca.pem.tmp", "sync .ca.pem.tmp", "write .ca.pem.tmp", "sync .ca.pem.tmp",
		"write .crl.pem.tmp", "sync .crl.pem.tmp",
		"write .server.key.tmp", "sync .server.key.tmp", "write .server.key.tmp", "sync .server.key.tmp",
		"write .server.pem.tmp", "sync .server.pem.tmp",
		"sync certs", "sync keys",
		"write .journal.tmp", "sync .journal.tmp", "rename journal", "sync state",
		"rename ca.pem" + stamp, "rename crl.pem" + stamp, "rename server.key" + stamp,
		"rename ca.pem", "remove crl.pem", "rename server.key", "rename server.pem",
		"sync certs", "sync keys",
		"remove server.key.20240101T000000Z~", "remove server.key.20250101T000000Z~",
		"sync certs", "sync keys",
		"remove journal", "sync state",
	}
	if !slices.Equal(order, want) {
		t.Errorf("order is\n%s\nwant\n%s", strings.Join(order, "\n"), strings.Join(want, "\n"))
	}
}

// eachFault calls f for every operation of run, failing in every way.
func eachFault(t *testing.T, run func(*faultfs.Fs), f func(name string, fault *faultfs.Fs)) {
	t.Helper()
	var count faultfs.Fs
	run(&count)
	n := len(count.Ops())
	if n < 10 {
		t.Fatalf("only %d operations counted, want 10 at least", n)
	}
	for i, op := range count.Ops() {
		for _, late := range []bool{false, true} {
			for _, forever := range []bool{false, true} {
				name := fmt.Sprintf("%s %s (operation %d of %d), late %v, forever %v", op.Name, filepath.Base(op.Path), i+1, n, late, forever)
				f(name, &faultfs.Fs{At: i + 1, Err: errnos[i%len(errnos)], Late: late, Forever: forever})
			}
		}
	}
}

// TestCommitFaults fails each operation in turn. A passing fault leaves the
// old files or the new ones, and nothing else. A lasting one, which is also
// what a kill looks like, is fixed by Finish and SweepTemps.
func TestCommitFaults(t *testing.T) {
	run := func(f *faultfs.Fs) error {
		s, changes := newSet(t)
		_, err := s.faulty(f).Commit(journalPath, changes)
		return err
	}
	unfinished, undone, finished, points := 0, 0, 0, 0
	tally.Note(t, func() tally.Row {
		return tally.Row{Attack: "fault: commit", Points: points, All: points, Runs: points + unfinished}
	})
	eachFault(t, func(f *faultfs.Fs) {
		if err := run(f); err != nil {
			t.Fatal(err)
		}
	}, func(name string, fault *faultfs.Fs) {
		points++
		s, changes := newSet(t)
		old := s.tree()
		_, err := s.faulty(fault).Commit(journalPath, changes)
		if !fault.Failed() {
			t.Fatalf("%s: not reached", name)
		}
		is := func(want map[string]string) bool { return sameTree(s.tree(), want) == nil }
		switch {
		case err == nil:
			if !is(newTree) {
				t.Errorf("%s: no error, but %v", name, sameTree(s.tree(), newTree))
			}
			return
		case contract.CodeOf(err) != contract.CodeFilesystem:
			t.Errorf("%s: code %s: %v", name, contract.CodeOf(err), err)
		case errors.Is(err, ErrCommitUnfinished):
			unfinished++
		case fault.Forever:
			if err := sameTargets(s.tree(), old); err != nil {
				t.Errorf("%s: refused, but %v, want no error", name, err)
			}
		case !is(old):
			t.Errorf("%s: refused, but %v", name, sameTree(s.tree(), old))
		}
		out, ferr := s.quick().Finish(journalPath)
		if ferr != nil {
			t.Errorf("%s: finish: got %v, want no error", name, ferr)
		}
		if _, err := s.quick().SweepTemps([]string{"/certs", "/keys", "/state"}, nil); err != nil {
			t.Errorf("%s: sweep: got %v, want no error", name, err)
		}
		switch {
		case out.Result == Abandoned:
			t.Errorf("%s: abandoned", name)
		case is(newTree):
			finished++
		case is(old) && out.Result != Finished:
			undone++
			if _, err := s.quick().Commit(journalPath, changes); err != nil || !is(newTree) {
				t.Errorf("%s: commit again: %v, %v", name, err, sameTree(s.tree(), newTree))
			}
		default:
			t.Errorf("%s: %v: %v", name, out.Result, sameTree(s.tree(), newTree))
		}
	})
	t.Logf("%d unfinished; after the next run %d finished, %d as before", unfinished, finished, undone)
	if unfinished == 0 || undone == 0 || finished == 0 {
		t.Error("a way to end was never seen: the test lost its subject")
	}
}

// sameTargets compares what readers of the set see.
func sameTargets(got, want map[string]string) error {
	targets := func(all map[string]string) map[string]string {
		return maps.Collect(func(yield func(string, string) bool) {
			for _, path := range []string{"/certs/ca.pem", "/certs/crl.pem", "/keys/server.key", "/certs/server.pem"} {
				if v, ok := all[path]; ok && !yield(path, v) {
					return
				}
			}
		})
	}
	return sameTree(targets(got), targets(want))
}

// TestFinishKilledToo kills Commit at each operation, then Finish at every
// fourth of its own, another fourth each time, and looks at what the third run
// makes of it.
func TestFinishKilledToo(t *testing.T) {
	const stride = 4
	journals := 0
	tally.Note(t, func() tally.Row {
		return tally.Row{Attack: "fault: finish, after a commit", Points: journals, All: journals * stride, Runs: 3 * journals}
	})
	for at, over := 1, false; !over; at++ {
		for again, over2 := 1+at%stride, false; !over && !over2; again += stride {
			s, changes := newSet(t)
			old := s.tree()
			kill := &faultfs.Fs{At: at, Forever: true, Err: syscall.EIO}
			_, _ = s.faulty(kill).Commit(journalPath, changes)
			over = !kill.Failed()
			if _, err := os.Stat(s.out(journalPath)); err != nil {
				break // nothing for Finish to do; TestCommitFaults has it
			}
			journals++
			foreseen := foresee(t, s)
			killAgain := &faultfs.Fs{At: again, Forever: true, Err: syscall.EIO}
			_, _ = s.faulty(killAgain).Finish(journalPath)
			over2 = !killAgain.Failed()
			if got := s.tree(); !oldOrNew(got) {
				t.Errorf("killed at %d and %d: a file is neither old nor new: %v", at, again, got)
			}
			if _, err := s.quick().Finish(journalPath); err != nil {
				t.Errorf("killed at %d and %d: got %v, want no error", at, again, err)
			}
			if _, err := s.quick().SweepTemps([]string{"/certs", "/keys", "/state"}, nil); err != nil {
				t.Errorf("killed at %d and %d: got %v, want no error", at, again, err)
			}
			// Every staged file was durable before there was a journal.
			if err := sameTree(s.tree(), newTree); err != nil {
				t.Errorf("killed at %d and %d: got %v, want no error", at, again, err)
			}
			if err := sameTargets(newTree, overlay(old, foreseen)); err != nil {
				t.Errorf("killed at %d: EndState foresaw something else: got %v, want no error", at, err)
			}
		}
	}
	t.Logf("%d journals finished", journals)
	if journals < 100 {
		t.Error("too few: the test lost its subject")
	}
}

// oldOrNew tells whether each file of the set, by itself, is one or the other.
func oldOrNew(got map[string]string) bool {
	for path, allowed := range map[string][]string{
		"/certs/ca.pem":     {"0644 old ca", "0644 new ca"},
		"/certs/crl.pem":    {"0644 old crl", ""},
		"/keys/server.key":  {"0640 old key", "0600 new key"},
		"/certs/server.pem": {"0444 new cert", ""},
	} {
		if !slices.Contains(allowed, got[path]) {
			return false
		}
	}
	return true
}

func foresee(t *testing.T, s sandbox) map[string]File {
	t.Helper()
	j, err := s.quick().LoadJournal(journalPath)
	if err != nil || j == nil {
		t.Fatalf("the journal: %v, %v", j, err)
	}
	end, err := j.EndState()
	if err != nil {
		t.Fatal(err)
	}
	return end
}

func overlay(tree map[string]string, end map[string]File) map[string]string {
	tree = maps.Clone(tree)
	for path, file := range end {
		delete(tree, path)
		if file.Exists {
			tree[path] = fmt.Sprintf("%04o %s", file.Mode, file.Content)
		}
	}
	return tree
}

// TestCommitObstacle: a fault that lasts, on one file in the middle. The rest
// must not overtake it, since each prefix of the order works and others don't.
func TestCommitObstacle(t *testing.T) {
	s, changes := newSet(t)
	f := &faultfs.Fs{At: 1, Forever: true, Err: syscall.EBUSY, Match: func(op faultfs.Op) bool {
		return op == faultfs.Op{Name: "rename", Path: "/keys/server.key"}
	}}
	_, err := s.faulty(f).Commit(journalPath, changes)
	if !errors.Is(err, ErrCommitUnfinished) || !errors.Is(err, syscall.EBUSY) {
		t.Fatalf("got %v", err)
	}
	got := s.tree()
	if got["/certs/ca.pem"] != "0644 new ca" || got["/keys/server.key"] != "0640 old key" || got["/certs/server.pem"] != "" {
		t.Errorf("the order was broken: %v", got)
	}
	if _, err := s.host().Commit(journalPath, changes); !errors.Is(err, ErrJournalExists) {
		t.Errorf("a second commit over the first: got %v, want %v", err, ErrJournalExists)
	}
	if out, err := s.host().Finish(journalPath); err != nil || out.Result != Finished {
		t.Fatalf("got %+v, %v, want %v", out, err, Finished)
	}
	if err := sameTree(s.tree(), newTree); err != nil {
		t.Error(err)
	}
}

// An old backup of a key that can't be removed is told, and blocks nothing.
func TestCommitLeavesBackup(t *testing.T) {
	s, changes := newSet(t)
	f := &faultfs.Fs{At: 1, Forever: true, Err: syscall.EPERM, Match: func(op faultfs.Op) bool {
		return op.Name == "remove" && strings.HasSuffix(op.Path, ".20240101T000000Z~")
	}}
	out, err := s.faulty(f).Commit(journalPath, changes)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Left) != 1 || !strings.Contains(out.Left[0], "/keys/server.key.20240101T000000Z~") {
		t.Errorf("left: %q", out.Left)
	}
}

func TestCommitKeepsLatestBackup(t *testing.T) {
	s, changes := newSet(t)
	key := changes[2:3]
	key[0].Backup = false
	if _, err := s.host().Commit(journalPath, key); err != nil {
		t.Fatal(err)
	}
	backups, err := s.host().Backups("/keys/server.key")
	if err != nil || !slices.Equal(backups, []string{"/keys/server.key.20250101T000000Z~"}) {
		t.Errorf("%v, %v", backups, err)
	}
	// Twice in a second: the names differ, and sort by age.
	for _, content := range []string{"second key", "third key"} {
		key[0].Backup, key[0].Content = true, []byte(content)
		out, err := s.host().Commit(journalPath, key)
		if err != nil || len(out.Backups) != 1 {
			t.Fatalf("got %+v, %v, want 1", out, err)
		}
		if all, err := s.host().Backups("/keys/server.key"); err != nil || !slices.Equal(all, out.Backups) {
			t.Errorf("backups %v, made %v, %v, want %v", all, out.Backups, err, out.Backups)
		}
	}
	if got := s.read("/keys/server.key.20260506T070810Z~"); got != "second key" {
		t.Errorf(`the latest backup holds %q, want "second key"`, got)
	}
}

// TestCommitFullDisk fills a real file system.
func TestCommitFullDisk(t *testing.T) {
	dir := t.TempDir()
	withMounts(t, func() {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=0755"); err != nil {
			t.Error(err)
			return
		}
		root, err := OpenRoot(dir)
		if err != nil {
			t.Error(err)
			return
		}
		defer root.Close()
		s, h := sandbox{t, dir, root}, New(root, options())
		if err := os.WriteFile(dir+"/a", []byte("old a"), 0o644); err != nil {
			t.Error(err)
			return
		}
		before := s.tree()
		if err := h.Space("/sub/missing", 1<<20); contract.CodeOf(err) != contract.CodeFilesystem || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("space: %v", err)
		}
		if err := h.Space("/sub/missing", 1<<12); err != nil {
			t.Error(err)
		}
		_, err = h.Commit("/journal", []Change{
			{Path: "/a", Content: []byte("new a"), Attributes: Attributes{0o644, Keep, Keep}, Backup: true},
			{Path: "/b", Content: make([]byte, 80<<10), Attributes: Attributes{0o644, Keep, Keep}},
		})
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("commit: got %v, want %v", err, syscall.ENOSPC)
		}
		if _, err := h.PrepareSlot("/slot", 80<<10); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("slot: got %v, want %v", err, syscall.ENOSPC)
		}
		if err := sameTree(s.tree(), before); err != nil {
			t.Error(err)
		}
	})
}
