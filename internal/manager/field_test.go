package manager_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/manager"
)

// used is a data directory with requests, hosts and a removed host in it.
func used(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	l := newLab(t, manager.Options{Dir: dir, NoRateLimit: true})
	for n := range 40 {
		l.enroll(n)
		if n%2 == 0 {
			l.approve(n)
		}
	}
	l.stop()
	return dir
}

// copyOf copies a data directory.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ca.key", "https.key", "admin.token", "manager.db"} {
		if err := os.Chmod(filepath.Join(to, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// start opens and closes a manager on a directory, as a start of the program
// does up to listening.
func start(dir string) error {
	s, err := manager.New(manager.Options{Dir: dir})
	if err != nil {
		return err
	}
	_, err = s.TLSConfig([]string{"127.0.0.1"})
	return errors.Join(err, s.Close())
}

func replaceFile(t *testing.T, path string, edit func([]byte) []byte) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, edit(raw), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestField3_13_DamagedDatabaseIsRefused(t *testing.T) {
	dir := used(t)
	fresh := t.TempDir()
	openAndClose(t, manager.Options{Dir: fresh})
	freshDB, err := os.ReadFile(filepath.Join(fresh, "manager.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := start(copyOf(t, dir)); err != nil {
		t.Fatalf("the copy that is not damaged: got %v, want no error", err)
	}
	for what, edit := range map[string]func([]byte) []byte{
		"empty":                  func([]byte) []byte { return nil },
		"one byte":               func(raw []byte) []byte { return raw[:1] },
		"the first page":         func(raw []byte) []byte { return raw[:4096] },
		"the records alone":      func(raw []byte) []byte { return raw[:8192] },
		"cut in the middle":      func(raw []byte) []byte { return raw[:3*4096+100] },
		"zeroes":                 func(raw []byte) []byte { return make([]byte, len(raw)) },
		"text":                   func([]byte) []byte { return []byte("not a database\n") },
		"another manager's":      func([]byte) []byte { return freshDB },
		"garbage after page two": func(raw []byte) []byte { return append(raw[:8192:8192], bytes.Repeat([]byte{0xa5}, len(raw)-8192)...) },
	} {
		broken := copyOf(t, dir)
		before := len(readDir(t, broken))
		replaceFile(t, filepath.Join(broken, "manager.db"), edit)
		err := start(broken)
		if err == nil || !strings.Contains(err.Error(), "manager.db") || strings.Contains(err.Error(), "fault") {
			t.Errorf("%s: got %v, want a refusal that names manager.db", what, err)
		}
		if after := len(readDir(t, broken)); after != before {
			t.Errorf("%s: the refused start made files, want %v", what, before)
		}
	}
	lost := copyOf(t, dir)
	if err := os.Remove(filepath.Join(lost, "manager.db")); err != nil {
		t.Fatal(err)
	}
	if err := start(lost); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "backup") {
		t.Errorf("no database under an old CA: got %v, want a refusal", err)
	}
	if _, err := os.Stat(filepath.Join(lost, "manager.db")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the refused start made a database")
	}
}

func readDir(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestField3_13_EveryDamagedPage overwrites each page in turn: a start either
// refuses in words or finds every row, and never ends the process.
func TestField3_13_EveryDamagedPage(t *testing.T) {
	dir := used(t)
	info, err := os.Stat(filepath.Join(dir, "manager.db"))
	if err != nil {
		t.Fatal(err)
	}
	pages, refused := int(info.Size()/4096), 0
	for page := range pages {
		for _, fill := range []byte{0x00, 0xff} {
			broken := copyOf(t, dir)
			replaceFile(t, filepath.Join(broken, "manager.db"), func(raw []byte) []byte {
				copy(raw[page*4096:], bytes.Repeat([]byte{fill}, 4096))
				return raw
			})
			s, err := manager.New(manager.Options{Dir: broken})
			if err != nil {
				refused++
				if !strings.Contains(err.Error(), "manager.db") || strings.Contains(err.Error(), "fault") {
					t.Errorf("page %d, %#x: got %v, want words that name manager.db", page, fill, err)
				}
				continue
			}
			hosts, err := s.Hosts()
			rows, err2 := s.Pending()
			if err = errors.Join(err, err2, s.Close()); err != nil || len(hosts) < 19 || len(rows) < 19 && len(rows) != 0 {
				t.Errorf("page %d, %#x: %d hosts, %d requests, %v", page, fill, len(hosts), len(rows), err)
			}
		}
	}
	if refused < pages/4 {
		t.Errorf("only %d of %d damaged files were refused, want %v at least", refused, 2*pages, pages/4)
	}
}

func TestField3_13_SecretsThatAreOpenOrEmptyAreRefused(t *testing.T) {
	dir := used(t)
	for _, name := range []string{"ca.key", "https.key", "admin.token", "manager.db"} {
		for _, mode := range []os.FileMode{0o666, 0o644, 0o640, 0o602, 0o610} {
			open := copyOf(t, dir)
			if err := os.Chmod(filepath.Join(open, name), mode); err != nil {
				t.Fatal(err)
			}
			err := start(open)
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "chmod 600") {
				t.Errorf("%s with mode %04o: got %v, want a refusal with the command", name, mode, err)
			}
		}
		empty := copyOf(t, dir)
		replaceFile(t, filepath.Join(empty, name), func([]byte) []byte { return nil })
		if err := start(empty); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("empty %s: got %v, want a refusal that names it", name, err)
		}
	}
}

func TestField3_13_NeverNewUnderAnOldCA(t *testing.T) {
	dir, other := used(t), used(t)
	mixed := copyOf(t, dir)
	for _, name := range []string{"ca.key", "ca.pem"} {
		raw, err := os.ReadFile(filepath.Join(other, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(mixed, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := start(mixed); err == nil || !strings.Contains(err.Error(), "is of the CA") {
		t.Errorf("another CA beside the database: got %v, want a refusal", err)
	}
	for _, gone := range [][]string{{"ca.key"}, {"ca.pem"}, {"ca.key", "ca.pem"}} {
		lost := copyOf(t, dir)
		for _, name := range gone {
			if err := os.Remove(filepath.Join(lost, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := start(lost); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), gone[0]) {
			t.Errorf("without %v: got %v, want a refusal", gone, err)
		}
	}
	// A database that is valid and holds nothing is no less new.
	blank := copyOf(t, dir)
	first := t.TempDir()
	if _, err := manager.New(manager.Options{Dir: first, Fs: failingFs{afero.NewOsFs(), "ca.key"}}); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(first, "manager.db"))
	if err != nil {
		t.Fatal(err)
	}
	replaceFile(t, filepath.Join(blank, "manager.db"), func([]byte) []byte { return raw })
	if err := start(blank); err == nil || !strings.Contains(err.Error(), "manager.db is new") {
		t.Errorf("a new database under an old CA: got %v, want a refusal", err)
	}
	var out, errs bytes.Buffer
	code := manager.Run(t.Context(), "test", []string{"serve", "--data", blank}, strings.NewReader(""), &out, &errs, func(string) string { return "" })
	if code != 1 || out.Len() != 0 || !strings.Contains(errs.String(), "backup") {
		t.Errorf("the program: exit code %d, %q", code, &errs)
	}
}
