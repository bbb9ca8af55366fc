package hostfs

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRootFsStaysInside(t *testing.T) {
	s := newSandbox(t)
	outside := t.TempDir() + "/secret"
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"/absolute": outside, "/relative": "../../../../../../../../.." + outside} {
		if err := os.Symlink(target, s.out(link)); err != nil {
			t.Fatal(err)
		}
		if f, err := s.fs.Open(link); err == nil {
			f.Close()
			t.Errorf("%s led out of the root, want an error", link)
		}
		if _, err := s.fs.Stat(link); err == nil {
			t.Errorf("%s: stat led out of the root, want an error", link)
		}
	}
	for _, path := range []string{"relative", "", "/a/../b", "/..", "/../" + outside} {
		if _, err := s.fs.Stat(path); !errors.Is(err, errNotClean) {
			t.Errorf("%q: %v, want %v", path, err, errNotClean)
		}
	}
}

// os.Root drops O_NOFOLLOW for links that stay inside; RootFs must not.
func TestRootFsNoFollow(t *testing.T) {
	s := newSandbox(t)
	s.write("/file", "content", 0o644)
	for link, target := range map[string]string{"/link": "file", "/dangling": "made"} {
		if err := os.Symlink(target, s.out(link)); err != nil {
			t.Fatal(err)
		}
		for _, flag := range []int{os.O_RDONLY, os.O_RDWR | os.O_CREATE, os.O_WRONLY | os.O_TRUNC} {
			f, err := s.fs.OpenFile(link, flag|unix.O_NOFOLLOW, 0o600)
			if err == nil {
				f.Close()
			}
			if !errors.Is(err, syscall.ELOOP) {
				t.Errorf("%s with flags %#x: %v, want ELOOP", link, flag, err)
			}
		}
	}
	if got := s.read("/file"); got != "content" {
		t.Errorf(`the file was written through the link: got %q, want "content"`, got)
	}
	if _, err := os.Lstat(s.out("/made")); err == nil {
		t.Error("a file was made through a dangling link")
	}
	if f, err := s.fs.Open("/link"); err != nil {
		t.Errorf("without O_NOFOLLOW a link inside is followed: got %v, want no error", err)
	} else {
		f.Close()
	}
	if err := s.fs.Chmod("/link", 0o600); err == nil {
		t.Error("chmod followed a link")
	}
}

func TestRootFsErrorsNamePaths(t *testing.T) {
	s := newSandbox(t)
	s.mkdir("/dir/full", 0o755)
	s.write("/dir/full/x", "", 0o600)
	_, openErr := s.fs.Open("/dir/missing")
	_, statErr := s.fs.Stat("/dir/missing")
	for _, err := range []error{openErr, statErr,
		s.fs.Remove("/dir/missing"), s.fs.Rename("/dir/full/x", "/dir/missing/y"),
		s.fs.Mkdir("/dir/missing/z", 0o755), s.fs.Chmod("/dir/missing", 0o600), s.fs.Chown("/dir/missing", 1, 1)} {
		if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), " /dir/missing") {
			t.Errorf("%v: want a missing file named /dir/missing…", err)
		}
		if strings.Contains(err.Error(), "openat ") || strings.Contains(err.Error(), "statat ") {
			t.Errorf("%v: names a system call of os.Root", err)
		}
	}
}
