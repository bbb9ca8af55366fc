package hostfs

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"golang.org/x/sys/unix"
)

func TestCheckPath(t *testing.T) {
	link := func(target, at string) func(sandbox) {
		return func(s sandbox) {
			s.mkdir("/real", 0o755)
			if err := os.Symlink(target, s.out(at)); err != nil {
				s.Fatal(err)
			}
		}
	}
	dir := func(path string, mode os.FileMode) func(sandbox) {
		return func(s sandbox) { s.mkdir(path, mode) }
	}
	for _, c := range []struct {
		name, path string
		make       func(sandbox)
		refused    string // in the message; empty: accepted
	}{
		{"missing file", "/d/f", dir("/d", 0o755), ""},
		{"missing directories", "/a/b/c/f", func(sandbox) {}, ""},
		{"regular file", "/d/f", func(s sandbox) { s.write("/d/f", "x", 0o600) }, ""},
		{"closed directory", "/d/f", dir("/d", 0o700), ""},
		{"relative", "d/f", dir("/d", 0o755), "absolute"},
		{"dots", "/d/../d/f", dir("/d", 0o755), "clean"},
		{"trailing slash", "/d/", dir("/d", 0o755), "clean"},
		{"empty", "", func(sandbox) {}, "absolute"},
		{"the root", "/", func(sandbox) {}, "absolute"},
		{"link above", "/l/f", link("real", "/l"), "/l is a symbolic link"},
		{"link far above", "/l/a/b/f", link("real", "/l"), "/l is a symbolic link"},
		{"link out above", "/l/f", link("/tmp", "/l"), "/l is a symbolic link"},
		{"link as target", "/real/l", link("../real/x", "/real/l"), "/real/l is a symbolic link"},
		{"directory as target", "/d/f", dir("/d/f", 0o755), "/d/f is a directory"},
		{"file as directory", "/d/f", func(s sandbox) { s.write("/d", "x", 0o600) }, "/d is a file, not a directory"},
		{"FIFO as target", "/d/f", func(s sandbox) {
			s.mkdir("/d", 0o755)
			if err := syscall.Mkfifo(s.out("/d/f"), 0o600); err != nil {
				s.Fatal(err)
			}
		}, "/d/f is a FIFO"},
		{"writable by all", "/d/f", dir("/d", 0o777), "/d is writable by others"},
		{"writable by others", "/d/f", dir("/d", 0o757), "/d is writable by others"},
		{"writable by all above", "/d/e/f", func(s sandbox) { s.mkdir("/d/e", 0o755); s.mkdir("/d", 0o777) }, "/d is writable by others"},
		{"sticky", "/d/f", dir("/d", 0o777|os.ModeSticky), "/d is writable by others"},
		{"sticky above", "/d/e/f", func(s sandbox) { s.mkdir("/d/e", 0o755); s.mkdir("/d", 0o777|os.ModeSticky) }, ""},
		{"sticky above a missing one", "/d/e/f", dir("/d", 0o777|os.ModeSticky), ""},
		{"sticky above an open one", "/d/e/f", func(s sandbox) { s.mkdir("/d/e", 0o777); s.mkdir("/d", 0o777|os.ModeSticky) }, "/d/e is writable by others"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSandbox(t)
			c.make(s)
			err := s.host().CheckPath(c.path)
			if c.refused == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			wantCode(t, err, contract.CodeFilesystem, c.refused)
			if contract.HintOf(err) == contract.CodeFilesystem.Info().Hint {
				t.Errorf("%v: names no cure", err)
			}
		})
	}
}

func TestCheckPathOwners(t *testing.T) {
	uid, gid := os.Geteuid(), os.Getegid()
	s := newSandbox(t)
	s.mkdir("/d", 0o775)
	s.mkdir("/closed", 0o755)
	check := func(path string, o Options) error { return New(s.fs, o).CheckPath(path) }
	if err := check("/d/f", options()); (err == nil) != (uid != 0 && uid == gid) {
		t.Errorf("group-writable, uid %d, gid %d: %v", uid, gid, err)
	}
	other := options()
	if uid == 0 {
		// Root's own view of another user's directories.
		for _, d := range []string{"/d", "/closed"} {
			if err := os.Chown(s.out(d), 12345, 12345); err != nil {
				t.Fatal(err)
			}
		}
		wantCode(t, check("/closed/f", other), contract.CodeFilesystem, "belongs to user 12345")
		// That user's view: root's directories above, a private group.
		other.UID, other.GID = 12345, 12345
		for _, path := range []string{"/d/f", "/closed/f", "/f"} {
			if err := check(path, other); err != nil {
				t.Error(err)
			}
		}
		other.GID = 100
		wantCode(t, check("/d/f", other), contract.CodeFilesystem, "/d is writable by others")
		return
	}
	other.UID = uid + 1
	wantCode(t, check("/closed/f", other), contract.CodeFilesystem, "belongs to user")
}

func TestImmutable(t *testing.T) {
	for _, flag := range []int{unix.STATX_ATTR_IMMUTABLE, unix.STATX_ATTR_APPEND} {
		for _, path := range []string{"/d/f", "/d"} {
			s := newSandbox(t)
			s.write("/d/f", "old", 0o600)
			f, err := os.Open(s.out(path))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			was, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
			if err == nil {
				// Its bits and those of statx are the same.
				err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, was|flag)
			}
			if err != nil {
				t.Skipf("file flags can't be set here: %v", err)
			}
			err = s.host().CheckPath("/d/f")
			if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, was); err != nil {
				t.Fatal(err)
			}
			wantCode(t, err, contract.CodeFilesystem, path+" is immutable or append-only")
		}
	}
}

func TestMountPoint(t *testing.T) {
	s := newSandbox(t)
	s.write("/d/f", "old", 0o600)
	withMounts(t, func() {
		if err := unix.Mount(s.out("/d/f"), s.out("/d/f"), "", unix.MS_BIND, ""); err != nil {
			t.Error(err)
			return
		}
		// Opened here: the root above belongs to the other mount namespace.
		root, err := OpenRoot(s.dir)
		if err != nil {
			t.Error(err)
			return
		}
		defer root.Close()
		err = New(root, options()).CheckPath("/d/f")
		if err == nil || !strings.Contains(err.Error(), "/d/f is a mount point") {
			t.Errorf("a bind-mounted target: %v", err)
		}
		if err := os.Rename(s.out("/d/f"), s.out("/d/g")); !errors.Is(err, syscall.EBUSY) {
			t.Errorf("the reason for the check, EBUSY, is gone: got %v, want %v", err, syscall.EBUSY)
		}
	})
}

func TestMountinfo(t *testing.T) {
	const table = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
36 22 254:0 /x /etc/a\040b/c\134d rw,relatime shared:1 - ext4 /dev/vda rw
37 22 254:0 /y
`
	for path, want := range map[string]bool{"/": true, `/etc/a b/c\d`: true, "/etc": false, "/x": false, "/y": false} {
		if got := mountPoint(table, path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

func FuzzUnescape(f *testing.F) {
	f.Add("/a b\\c\td\ne")
	f.Add(`/\04`)
	f.Add("/\\")
	f.Fuzz(func(t *testing.T, path string) {
		escaped := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(path)
		if got := unescape(escaped); got != path {
			t.Errorf("%q came back as %q, want %v", path, got, path)
		}
	})
}
