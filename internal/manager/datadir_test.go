package manager_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/manager"
)

func openAndClose(t *testing.T, opt manager.Options) string {
	t.Helper()
	s, err := manager.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	ca := string(s.CAPEM())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestDataDirectoryModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	l := newLab(t, manager.Options{Dir: dir})
	l.stop()
	for name, want := range map[string]os.FileMode{
		".": 0o700, "ca.key": 0o600, "https.key": 0o600, "admin.token": 0o600, "manager.db": 0o600,
		"ca.pem": 0o644, "https.pem": 0o644, "crl.pem": 0o644,
	} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 7 {
		t.Errorf("%d files, want 7 (%v)", len(files), err)
	}
}

func TestWorldWritableDataDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := manager.New(manager.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v", err)
	}
}

func TestSecondManagerOnOneDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	l := newLab(t, manager.Options{Dir: dir})
	if _, err := manager.New(manager.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "manager.db") {
		t.Errorf("%v", err)
	}
	l.enroll(0)
}

func TestStartThatWasCutShortIsMadeGood(t *testing.T) {
	for _, lost := range []string{"ca.key", "ca.pem", "admin.token", "crl.pem"} {
		dir := t.TempDir()
		if _, err := manager.New(manager.Options{Dir: dir, Fs: failingFs{afero.NewOsFs(), lost}}); !errors.Is(err, errDisk) {
			t.Fatalf("%s: got %v, want the failure of the disk", lost, err)
		}
		openAndClose(t, manager.Options{Dir: dir})
	}
	for _, lost := range []string{"admin.token", "crl.pem"} {
		dir := t.TempDir()
		openAndClose(t, manager.Options{Dir: dir})
		if err := os.Remove(filepath.Join(dir, lost)); err != nil {
			t.Fatal(err)
		}
		openAndClose(t, manager.Options{Dir: dir})
		if _, err := os.Stat(filepath.Join(dir, lost)); err != nil {
			t.Error(err)
		}
	}
}

func TestBrokenDataDirectoryIsNamed(t *testing.T) {
	other := t.TempDir()
	openAndClose(t, manager.Options{Dir: other})
	otherKey, err := os.ReadFile(filepath.Join(other, "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		file string
		data []byte
	}{
		"another CA's key":  {"ca.key", otherKey},
		"no key":            {"ca.key", []byte("x")},
		"no certificate":    {"ca.pem", []byte("x")},
		"empty certificate": {"ca.pem", nil},
		"short admin token": {"admin.token", []byte("abc\n")},
		"empty admin token": {"admin.token", nil},
		"no database":       {"manager.db", []byte(strings.Repeat("x", 8192))},
		"empty key":         {"ca.key", nil},
	} {
		dir := t.TempDir()
		openAndClose(t, manager.Options{Dir: dir})
		if err := os.WriteFile(filepath.Join(dir, tc.file), tc.data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := manager.New(manager.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), tc.file) {
			t.Errorf("%s: %v, want an error that names %s", name, err, tc.file)
		}
	}
	dir := t.TempDir()
	openAndClose(t, manager.Options{Dir: dir})
	if err := os.Remove(filepath.Join(dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := manager.New(manager.Options{Dir: dir}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("lost CA key: got %v; a new one must not take its place, want %v", err, os.ErrNotExist)
	}
}

// failingFs fails renames, as a full or read-only disk would.
type failingFs struct {
	afero.Fs
	name string
}

var errDisk = errors.New("disk failure")

func (f failingFs) Rename(from, to string) error {
	if filepath.Base(to) == f.name {
		return errDisk
	}
	return f.Fs.Rename(from, to)
}

func TestFailedWriteLeavesNoFile(t *testing.T) {
	dir := t.TempDir()
	_, err := manager.New(manager.Options{Dir: dir, Fs: failingFs{afero.NewOsFs(), "ca.key"}})
	if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "ca.key") {
		t.Errorf("%v", err)
	}
	files, readErr := os.ReadDir(dir)
	if readErr != nil || len(files) != 1 || files[0].Name() != "manager.db" {
		t.Errorf("left behind: %v", files)
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	for name, opt := range map[string]manager.Options{
		"no directory":  {},
		"dialect":       {Dir: "x", Dialect: 3},
		"newer bundle":  {Dir: "x", NewerBundle: "perhaps"},
		"FQDN pattern":  {Dir: "x", AutoApproveFQDN: "[a"},
		"hand-out time": {Dir: "x", Handout: -1},
	} {
		if _, err := manager.New(opt); err == nil {
			t.Errorf("%s: accepted, want an error", name)
		}
	}
	if _, err := os.Stat("x"); !errors.Is(err, os.ErrNotExist) {
		t.Error("a refused manager made its directory")
	}
}
