package hostfs

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"golang.org/x/sys/unix"
)

func TestReplace(t *testing.T) {
	s := newSandbox(t)
	h := s.host()
	for _, content := range []string{"first", "second"} {
		if err := h.Replace("/f", []byte(content), Attributes{0o640, os.Geteuid(), os.Getegid()}); err != nil {
			t.Fatal(err)
		}
		if err := sameTree(s.tree(), map[string]string{"/f": "0640 " + content}); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		if err := h.Remove("/f"); err != nil {
			t.Error(err)
		}
	}
	if tree := s.tree(); len(tree) > 0 {
		t.Errorf("left: got %v, want none", tree)
	}
	s.mkdir("/d", 0o755)
	wantCode(t, h.Remove("/d"), contract.CodeFilesystem, "/d is a directory")
	wantCode(t, h.Replace("/d", nil, Attributes{0o600, Keep, Keep}), contract.CodeFilesystem, "/d is a directory")
}

// A staged file that is dropped, or could not be written, is gone; the one at
// its path stays.
func TestStage(t *testing.T) {
	a := Attributes{0o640, os.Geteuid(), os.Getegid()}
	parts := func(to io.Writer) error {
		_, err := io.WriteString(to, "n")
		return errors.Join(err, whole([]byte("ew"))(to))
	}
	s := newSandbox(t)
	h := s.host()
	s.write("/f", "old", 0o600)
	for _, c := range []struct {
		end  func(*Staged) error
		want string
	}{{(*Staged).Drop, "0600 old"}, {(*Staged).Place, "0640 new"}} {
		staged, err := h.Stage("/f", parts, a)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(s.tree()); got != 2 {
			t.Errorf("got %d files, want the staged one beside the old", got)
		}
		if err := c.end(staged); err != nil {
			t.Error(err)
		}
		if err := sameTree(s.tree(), map[string]string{"/f": c.want}); err != nil {
			t.Error(err)
		}
	}
	_, err := h.Stage("/f", func(to io.Writer) error { return errors.Join(parts(to), syscall.ENOSPC) }, a)
	wantCode(t, err, contract.CodeFilesystem, "no space left")
	if err := sameTree(s.tree(), map[string]string{"/f": "0640 new"}); err != nil {
		t.Error(err)
	}
}

func TestReplaceFaults(t *testing.T) {
	a := Attributes{0o640, Keep, Keep}
	eachFault(t, func(f *faultfs.Fs) {
		s := newSandbox(t)
		s.write("/f", "old", 0o600)
		if err := s.faulty(f).Replace("/f", []byte("new"), a); err != nil {
			t.Fatal(err)
		}
	}, func(name string, fault *faultfs.Fs) {
		s := newSandbox(t)
		s.write("/f", "old", 0o600)
		err := s.faulty(fault).Replace("/f", []byte("new"), a)
		got := s.tree()
		if !slices.Contains([]string{"0600 old", "0640 new"}, got["/f"]) || err == nil && got["/f"] != "0640 new" {
			t.Errorf("%s: %q, %v", name, got["/f"], err)
		}
		if !fault.Forever && len(got) != 1 {
			t.Errorf("%s: left %v", name, got)
		}
		if err := s.quick().Replace("/f", []byte("new"), a); err != nil {
			t.Errorf("%s: once more: got %v, want no error", name, err)
		}
		if _, err := s.quick().SweepTemps([]string{"/"}, nil); err != nil {
			t.Errorf("%s: got %v, want no error", name, err)
		}
		if err := sameTree(s.tree(), map[string]string{"/f": "0640 new"}); err != nil {
			t.Errorf("%s: once more: got %v, want no error", name, err)
		}
	})
}

func TestRename(t *testing.T) {
	s := newSandbox(t)
	h := s.host()
	s.write("/a", "a", 0o600)
	s.write("/b", "b", 0o640)
	s.mkdir("/d", 0o755)
	if err := h.Rename("/a", "/b"); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{{"/b", "/d/b"}, {"/b", "/d"}, {"/missing", "/b"}, {"/d", "/c"}} {
		if err := h.Rename(c[0], c[1]); contract.CodeOf(err) != contract.CodeFilesystem {
			t.Errorf("%v: got %v, want %v", c, err, contract.CodeFilesystem)
		}
	}
	if err := sameTree(s.tree(), map[string]string{"/b": "0600 a"}); err != nil {
		t.Error(err)
	}
}

// A temp file is closed to all others from its first moment.
func TestTempFilesAreClosed(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	s := newSandbox(t)
	seen := 0
	f := &faultfs.Fs{}
	f.Before = func(op faultfs.Op) {
		if !strings.HasSuffix(op.Path, ".enroll~tmp") || op.Name == "open" {
			return
		}
		info, err := os.Lstat(s.out(op.Path))
		if err != nil || op.Name == "sync" || op.Name == "close" {
			return // owner and mode are in place
		}
		if seen++; info.Mode().Perm() != 0o600 {
			t.Errorf("before %s: mode %v, want 0o600", op.Name, info.Mode())
		}
	}
	if err := s.faulty(f).Replace("/f", []byte("x"), Attributes{0o666, Keep, Keep}); err != nil {
		t.Fatal(err)
	}
	if seen < 2 {
		t.Errorf("the temp file was seen %d times, want 2 at least", seen)
	}
}

// Names that are taken, and a source of randomness that ends.
func TestTempNames(t *testing.T) {
	s := newSandbox(t)
	a := Attributes{0o600, Keep, Keep}
	const taken = "/.f.0000000000000000.enroll~tmp"
	s.write(taken, "theirs", 0o600)
	o := options()
	o.Random = bytes.NewReader(make([]byte, 8*4))
	if err := New(s.fs, o).Replace("/f", nil, a); !errors.Is(err, os.ErrExist) {
		t.Errorf("four names that are taken: got %v, want %v", err, os.ErrExist)
	}
	o.Random = bytes.NewReader(append(make([]byte, 8*3), 1, 2, 3, 4, 5, 6, 7, 8))
	if err := New(s.fs, o).Replace("/f", []byte("x"), a); err != nil {
		t.Errorf("the fourth name is free: got %v, want no error", err)
	}
	o.Random = bytes.NewReader(nil)
	wantCode(t, New(s.fs, o).Replace("/f", nil, a), contract.CodeFilesystem, "/f")
	if err := sameTree(s.tree(), map[string]string{"/f": "0600 x", taken: "0600 theirs"}); err != nil {
		t.Error(err)
	}
}

func TestSweepTemps(t *testing.T) {
	s := newSandbox(t)
	const name = "/d/.f.0123456789abcdef.enroll~tmp"
	others := []string{"/d/f", "/d/.f.enroll~tmp", "/d/.f.0123456789ABCDEF.enroll~tmp", "/d/f.0123456789abcdef.enroll~tmp", "/d/.f.0123456789abcdef.enroll~tmp2"}
	for _, path := range append([]string{name}, others...) {
		s.write(path, "", 0o600)
	}
	s.mkdir("/d/.dir.0123456789abcdef.enroll~tmp", 0o755)
	if err := os.Symlink("f", s.out("/d/.link.0123456789abcdef.enroll~tmp")); err != nil {
		t.Fatal(err)
	}
	dirs := []string{"/d", "/missing", "/d"}
	if stale, err := s.host().StaleTemps(dirs); err != nil || !slices.Equal(stale, []string{name}) {
		t.Errorf("stale: %v, %v", stale, err)
	}
	keep := &Journal{Steps: []step{{Action: doWrite, Path: "/d/f", Temp: name[3:]}}}
	if removed, err := s.host().SweepTemps(dirs, keep); err != nil || removed != 0 {
		t.Errorf("with a journal: got %d, %v, want 0", removed, err)
	}
	if removed, err := s.host().SweepTemps(dirs, nil); err != nil || removed != 1 {
		t.Errorf("got %d, %v, want 1", removed, err)
	}
	for _, path := range others {
		if _, err := os.Lstat(s.out(path)); err != nil {
			t.Error(err)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make another user's file")
	}
	s.write(name, "", 0o600)
	if err := os.Chown(s.out(name), 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if stale, err := s.host().StaleTemps(dirs); err != nil || len(stale) > 0 {
		t.Errorf("another user's: got %v, %v, want none", stale, err)
	}
}

func TestSetAttributes(t *testing.T) {
	s := newSandbox(t)
	s.write("/f", "x", 0o644)
	f := &faultfs.Fs{}
	h := s.faulty(f)
	if err := h.SetAttributes("/f", Attributes{0o600, Keep, os.Getegid()}); err != nil {
		t.Fatal(err)
	}
	if err := sameTree(s.tree(), map[string]string{"/f": "0600 x"}); err != nil {
		t.Error(err)
	}
	before := len(f.Ops())
	if err := h.SetAttributes("/f", Attributes{0o600, os.Geteuid(), Keep}); err != nil {
		t.Fatal(err)
	}
	for _, op := range f.Ops()[before:] {
		if op.Name == "chmod" || op.Name == "chown" || op.Name == "sync" {
			t.Errorf("nothing to do, but %s", op.Name)
		}
	}
	wantCode(t, h.SetAttributes("/missing", Attributes{0o600, Keep, Keep}), contract.CodeFilesystem, "/missing")
	if err := os.Symlink("f", s.out("/l")); err != nil {
		t.Fatal(err)
	}
	wantCode(t, h.SetAttributes("/l", Attributes{0o666, Keep, Keep}), contract.CodeFilesystem, "/l is a symbolic link")
}

// While a file changes owner and mode, no one sees it who may not see it
// before and after.
func TestSetAttributesOrder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	for _, c := range []struct{ from, to os.FileMode }{{0o640, 0o600}, {0o600, 0o640}, {0o644, 0o440}} {
		s := newSandbox(t)
		s.write("/f", "x", c.from)
		f := &faultfs.Fs{}
		f.Before = func(op faultfs.Op) {
			var st unix.Stat_t
			if err := unix.Stat(s.out("/f"), &st); err != nil {
				t.Fatal(err)
			}
			mode := os.FileMode(st.Mode & 0o777)
			if st.Uid == 0 && mode&^c.from != 0 || st.Uid != 0 && mode&^c.to != 0 {
				t.Errorf("%o to %o: user %d has mode %o", c.from, c.to, st.Uid, mode)
			}
		}
		if err := s.faulty(f).SetAttributes("/f", Attributes{c.to, 12345, 12345}); err != nil {
			t.Fatal(err)
		}
		file, err := s.host().Stat("/f")
		if err != nil || file.UID != 12345 || file.GID != 12345 || file.Mode != c.to {
			t.Errorf("%+v, %v", file, err)
		}
	}
}
