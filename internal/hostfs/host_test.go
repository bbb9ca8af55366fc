package hostfs

import (
	"crypto/rand"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/spf13/afero"
)

var clock = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)

func options() Options {
	return Options{
		UID: os.Geteuid(), GID: os.Getegid(),
		Now:    func() time.Time { return clock },
		Random: rand.Reader,
	}
}

// sandbox is a directory of the real file system, as a RootFs: "/x" in it is
// dir+"/x" outside.
type sandbox struct {
	testing.TB
	dir string
	fs  *RootFs
}

func newSandbox(t testing.TB) sandbox {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
		t.Fatal(err)
	}
	root, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return sandbox{t, dir, root}
}

func (s sandbox) host() *Host { return New(s.fs, options()) }

// quick is a host that does not wait for the disk.
func (s sandbox) quick() *Host { return s.faulty(&faultfs.Fs{}) }

func (s sandbox) faulty(f *faultfs.Fs) *Host {
	f.Inner = s.fs
	f.NoSync = true
	return New(f, options())
}

func (s sandbox) out(path string) string { return filepath.Join(s.dir, path) }

func (s sandbox) write(path, content string, mode os.FileMode) {
	s.Helper()
	if err := os.MkdirAll(filepath.Dir(s.out(path)), 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(s.out(path), []byte(content), 0o600); err != nil {
		s.Fatal(err)
	}
	if err := os.Chmod(s.out(path), mode); err != nil {
		s.Fatal(err)
	}
}

func (s sandbox) mkdir(path string, mode os.FileMode) {
	s.Helper()
	if err := os.MkdirAll(s.out(path), 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.Chmod(s.out(path), mode); err != nil {
		s.Fatal(err)
	}
}

func (s sandbox) read(path string) string {
	s.Helper()
	content, err := os.ReadFile(s.out(path))
	if err != nil {
		s.Fatal(err)
	}
	return string(content)
}

// tree maps every file to its mode and content.
func (s sandbox) tree() map[string]string {
	s.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		all[strings.TrimPrefix(path, s.dir)] = fmt.Sprintf("%04o %s", info.Mode().Perm(), content)
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	return all
}

// sameTree compares trees, and says where they differ.
func sameTree(got, want map[string]string) error {
	for path, w := range want {
		if g, ok := got[path]; !ok || g != w {
			return fmt.Errorf("%s is %q, want %q", path, g, w)
		}
	}
	for path, g := range got {
		if _, ok := want[path]; !ok {
			return fmt.Errorf("%s is there: %q", path, g)
		}
	}
	return nil
}

func wantCode(t *testing.T, err error, code contract.Code, inMessage string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", code)
	}
	if got := contract.CodeOf(err); got != code {
		t.Errorf("code is %s, want %s: %v", got, code, err)
	}
	if !strings.Contains(err.Error(), inMessage) {
		t.Errorf("message got %q, want %q in it", err, inMessage)
	}
}

func TestRead(t *testing.T) {
	s := newSandbox(t)
	h := s.host()
	s.write("/a", "text", 0o640)
	file, err := h.Read("/a")
	if err != nil {
		t.Fatal(err)
	}
	if !file.Exists || string(file.Content) != "text" || file.Mode != 0o640 || file.UID != os.Geteuid() {
		t.Errorf("read %+v", file)
	}
	for _, path := range []string{"/missing", "/no/dir/missing"} {
		if file, err := h.Read(path); err != nil || file.Exists || file.Path != path {
			t.Errorf("missing file: %+v, %v", file, err)
		}
	}
	s.write("/big", strings.Repeat("x", MaxFile), 0o600)
	if _, err := h.Read("/big"); err != nil {
		t.Errorf("a file of the largest size: got %v, want no error", err)
	}
	s.write("/big", strings.Repeat("x", MaxFile+1), 0o600)
	_, err = h.Read("/big")
	wantCode(t, err, contract.CodeFilesystem, "/big")
}

func TestErrorsHaveHints(t *testing.T) {
	for _, f := range errnos {
		err := failed(&os.PathError{Op: "write", Path: "/x", Err: f})
		if hint := contract.HintOf(err); hint == contract.CodeFilesystem.Info().Hint {
			t.Errorf("%v: no hint of its own", f)
		}
	}
}

// MemMapFs has no descriptors, owners or links; Host must not need them.
func TestWithoutDescriptors(t *testing.T) {
	h := New(afero.NewMemMapFs(), options())
	if err := h.EnsureDir("/etc/x", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := h.Replace("/etc/x/f", []byte("new"), Attributes{Mode: 0o644, UID: Keep, GID: Keep}); err != nil {
		t.Fatal(err)
	}
	if file, err := h.Read("/etc/x/f"); err != nil || string(file.Content) != "new" {
		t.Errorf(`got %+v, %v, want "new"`, file, err)
	}
}

// The way to a file is refused in words, not with the kernel's.
func TestLinkedDirectoriesAreRefusedInWords(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"absolute": filepath.Join(dir, "real"), "relative": "real"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
		root, err := OpenRoot("/")
		if err != nil {
			t.Fatal(err)
		}
		h := New(root, Options{UID: os.Geteuid(), GID: os.Getegid()})
		_, err = h.Read(filepath.Join(dir, link, "ca.pem"))
		if err == nil {
			_, err = h.List(filepath.Join(dir, link))
		}
		if err == nil || !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf(`%s: got %v, want an error, "symbolic link" in it`, link, err)
		}
		root.Close()
	}
}
