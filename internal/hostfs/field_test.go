package hostfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/spf13/afero"
	"golang.org/x/sys/unix"
)

// setfacl gives a file an ACL, or skips where that can't be done.
func (s sandbox) setfacl(path string, entries ...string) {
	s.Helper()
	for _, entry := range entries {
		if out, err := exec.Command("setfacl", "-m", entry, s.out(path)).CombinedOutput(); err != nil {
			s.Skipf("setfacl: %v: %s; it is in Debian's acl, and needs a file system with ACLs", err, out)
		}
	}
}

func (s sandbox) facl(path string) string {
	s.Helper()
	out, err := exec.Command("getfacl", "-cnE", s.out(path)).CombinedOutput()
	if err != nil {
		s.Skipf("getfacl: %v: %s; it is in Debian's acl", err, out)
	}
	return strings.TrimSpace(string(out))
}

func (s sandbox) xattr(path, name string) string {
	s.Helper()
	value := make([]byte, 256)
	n, err := unix.Lgetxattr(s.out(path), name, value)
	if err != nil {
		return err.Error()
	}
	return string(value[:n])
}

// Whatever replaces a file, what it kept is kept.
func TestField2_2_AttributesAreKept(t *testing.T) {
	writers := map[string]func(*Host, string) error{
		"replace": func(h *Host, path string) error {
			return h.Replace(path, []byte("new"), Attributes{Mode: 0o640, UID: Keep, GID: Keep})
		},
		"edit": func(h *Host, path string) error {
			_, err := h.Edit(context.Background(), path, EditOptions{Backup: true}, func([]byte, bool) ([]byte, error) { return []byte("new"), nil })
			return err
		},
		"commit": func(h *Host, path string) error {
			_, err := h.Commit("/journal", []Change{{Path: path, Content: []byte("new"), Attributes: Attributes{Mode: 0o640, UID: Keep, GID: Keep}, Backup: true}})
			return err
		},
	}
	for name, write := range writers {
		t.Run(name, func(t *testing.T) {
			s := newSandbox(t)
			s.write("/d/f", "old", 0o600)
			s.setfacl("/d/f", "u:65534:r", "g:12345:r", "g::-", "m::r")
			if err := unix.Setxattr(s.out("/d/f"), "user.note", []byte("mine"), 0); err != nil {
				t.Skipf("user attributes can't be set here: %v", err)
			}
			before := s.facl("/d/f")
			if err := write(s.host(), "/d/f"); err != nil {
				t.Fatal(err)
			}
			files, err := filepath.Glob(s.out("/d/f*~"))
			if err != nil || name != "replace" && len(files) != 1 {
				t.Fatalf("backups: got %v, %v, want 1", files, err)
			}
			for _, path := range append(files, s.out("/d/f")) {
				path = strings.TrimPrefix(path, s.dir)
				if after := s.facl(path); after != before {
					t.Errorf("%s: got ACL\n%s\nwant\n%s", path, after, before)
				}
				if got := s.xattr(path, "user.note"); got != "mine" {
					t.Errorf("%s: got user.note %q, want mine", path, got)
				}
			}
			if got := s.read("/d/f"); got != "new" {
				t.Errorf("got %q, want new", got)
			}
		})
	}
}

// A mode that is asked for holds against the ACL that is kept.
func TestField2_2_ModeBoundsTheACL(t *testing.T) {
	s := newSandbox(t)
	s.write("/key", "old", 0o600)
	s.setfacl("/key", "u:65534:r")
	_, err := s.host().Commit("/journal", []Change{{
		Path: "/key", Content: []byte("new"), Attributes: Attributes{Mode: 0o600, UID: Keep, GID: Keep}, Backup: true, KeepOneBackup: true,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.facl("/key"); !strings.Contains(got, "mask::---") {
		t.Errorf("got ACL\n%s\nwant the mask ---", got)
	}
	backups, err := filepath.Glob(s.out("/key.*~"))
	if err != nil || len(backups) != 1 {
		t.Fatalf("got %v, %v, want one backup", backups, err)
	}
	if got := s.facl(strings.TrimPrefix(backups[0], s.dir)); strings.Contains(got, "65534") {
		t.Errorf("the key's backup: got ACL\n%s\nwant none: it is for its owner alone", got)
	}
}

// What its directory gives to new files is not for one that takes an old one's
// place.
func TestField2_2_DefaultACLOfTheDirectory(t *testing.T) {
	s := newSandbox(t)
	s.write("/d/f", "old", 0o640)
	s.setfacl("/d", "d:u:65534:rw")
	before := s.facl("/d/f")
	if err := s.host().Replace("/d/f", []byte("new"), Attributes{Mode: 0o640, UID: Keep, GID: Keep}); err != nil {
		t.Fatal(err)
	}
	if after := s.facl("/d/f"); after != before {
		t.Errorf("got ACL\n%s\nwant\n%s", after, before)
	}
}

// Something to keep that can't be kept stops the change, the file untouched.
func TestField2_2_FailsBeforeTheRename(t *testing.T) {
	s := newSandbox(t)
	s.write("/f", "old", 0o600)
	temp, err := s.host().stageWith("/f", whole([]byte("new")), Attributes{Mode: 0o600, UID: Keep, GID: Keep}, map[string][]byte{aclAccess: []byte("no ACL")})
	if err == nil {
		t.Fatalf("staged %s without what it was to keep, want an error", temp)
	}
	if !strings.Contains(err.Error(), "/f") {
		t.Errorf("got %v, want the file's name in it", err)
	}
	if err := sameTree(s.tree(), map[string]string{"/f": "0600 old"}); err != nil {
		t.Error(err)
	}
}

func TestField3_3_AnACLEntryThatMayWriteCounts(t *testing.T) {
	s := newSandbox(t)
	s.write("/d/f", "x", 0o644)
	h := s.host()
	for entry, want := range map[string]string{"u:65534:rw": "user 65534", "g:12345:rw": "group 12345", "u:65533:r": ""} {
		s.setfacl("/d/f", entry)
		f, err := h.Stat("/d/f")
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Access(f).String(); got != want && !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", entry, got, want)
		}
		if err := h.Foreign(f); (err == nil) != (want == "") || err != nil && !strings.Contains(contract.HintOf(err), "take_ownership") {
			t.Errorf("%s: got %v", entry, err)
		}
		if out, err := exec.Command("setfacl", "-b", s.out("/d/f")).CombinedOutput(); err != nil {
			t.Fatalf("%v: got %s, want no error", err, out)
		}
		if err := os.Chmod(s.out("/d/f"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.setfacl("/d", "u:65534:rwx")
	wantCode(t, h.CheckPath("/d/f"), contract.CodeFilesystem, "user 65534")
}

func TestField2_17_Resolve(t *testing.T) {
	s := newSandbox(t)
	s.mkdir("/opt/lpa/certs", 0o755)
	s.mkdir("/etc", 0o755)
	for link, target := range map[string]string{
		"/etc/lpa": "/opt/lpa", "/etc/relative": "../opt/./lpa", "/etc/twice": "relative/certs", "/opt/lpa/last": "certs",
		"/etc/circle": "circle", "/etc/gone": "/nowhere",
	} {
		if err := os.Symlink(target, s.out(link)); err != nil {
			t.Fatal(err)
		}
	}
	h := s.host()
	for path, want := range map[string]string{
		"/etc/lpa/certs/ca.pem":         "/opt/lpa/certs/ca.pem",
		"/etc//lpa/./certs/ca.pem/":     "/opt/lpa/certs/ca.pem",
		"/etc/relative/certs/ca.pem":    "/opt/lpa/certs/ca.pem",
		"/etc/twice/ca.pem":             "/opt/lpa/certs/ca.pem",
		"/etc/lpa/last":                 "/opt/lpa/last",
		"/etc/missing//dir/./x":         "/etc/missing/dir/x",
		"/etc/gone/x":                   "/nowhere/x",
		"/opt/lpa/certs/ca.pem":         "/opt/lpa/certs/ca.pem",
		"/f":                            "/f",
		"/etc/lpa/../lpa/ca.pem":        "",
		"/etc/circle/x":                 "",
		"etc/x":                         "",
		"/":                             "",
		"":                              "",
		"/..":                           "",
		"/etc/lpa/certs/..":             "",
		"/etc/lpa/certs/ca.pem/../../x": "",
	} {
		got, links, err := h.Resolve(path)
		if want == "" {
			if err == nil {
				t.Errorf("%q: got %q, want it refused", path, got)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", path, got, err, want)
		}
		if linked := strings.HasPrefix(path, "/etc/") && !strings.Contains(path, "missing"); linked != (len(links) > 0) {
			t.Errorf("%q: got links %v", path, links)
		}
	}
	if err := h.CheckPath("/opt/lpa/last"); err == nil {
		t.Error("the last element may be a link")
	}
	dir, links, err := h.ResolveDir("/etc/lpa")
	if err != nil || dir != "/opt/lpa" || len(links) != 1 || links[0] != (Link{"/etc/lpa", "/opt/lpa"}) {
		t.Errorf("a directory: got %q, %v, %v", dir, links, err)
	}
}

func TestField2_17_LinksOfOthersAreNotFollowed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a link of somebody else")
	}
	s := newSandbox(t)
	s.mkdir("/real", 0o755)
	if err := os.Symlink("real", s.out("/link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(s.out("/link"), 65534, 65534); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.host().Resolve("/link/f")
	wantCode(t, err, contract.CodeFilesystem, "/link is a symbolic link of user 65534")
	// A link of root's, where others may put another.
	s.mkdir("/open", 0o777)
	if err := os.Symlink("../real", s.out("/open/link")); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.host().Resolve("/open/link/f")
	wantCode(t, err, contract.CodeFilesystem, "/open is writable by others")
}

func TestField3_10_FilesOfTheKernel(t *testing.T) {
	root, err := OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	h := New(root, options())
	for _, path := range []string{"/proc/self/status", "/proc/kmsg", "/proc/version", "/proc/no-such-file", "/sys/kernel/notes", "/sys/no/such/file", "/dev/pts/ptmx"} {
		if _, err := os.Stat(filepath.Dir(path)); err != nil && !strings.Contains(path, "no") {
			continue
		}
		path, _, err := h.Resolve(path)
		if err == nil {
			err = h.CheckPath(path)
		}
		if err == nil || contract.CodeOf(err) != contract.CodeFilesystem {
			t.Errorf("CheckPath(%s): got %v, want it refused", path, err)
		}
		if _, err := os.Lstat(path); err != nil {
			continue
		}
		if _, err := h.Read(path); err == nil {
			t.Errorf("Read(%s): got no error, want an error", path)
		}
		if _, _, err := ReadGiven(afero.NewOsFs(), path, MaxFile); err == nil {
			t.Errorf("ReadGiven(%s): got no error, want an error", path)
		}
	}
	for _, path := range []string{"/dev/zero", "/dev/null", "/dev/tty"} {
		if _, _, err := ReadGiven(afero.NewOsFs(), path, MaxFile); err == nil {
			t.Errorf("ReadGiven(%s): got no error, want an error", path)
		}
	}
}

func TestField3_10_GivenFilesNeverWait(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadGiven(afero.NewOsFs(), path, 10); err == nil || !strings.Contains(err.Error(), "FIFO") {
		t.Errorf("a FIFO: got %v", err)
	}
	file := filepath.Join(dir, "file")
	for content, ok := range map[string]bool{"0123456789": true, "0123456789a": false} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadGiven(afero.NewOsFs(), file, 10); (err == nil) != ok {
			t.Errorf("%d bytes: got %v, want %v", len(content), err, ok)
		}
	}
}

func TestField3_9_LockFilesAreClosed(t *testing.T) {
	s := newSandbox(t)
	h := s.host()
	for _, mode := range []os.FileMode{0o644, 0o666, 0o660, 0o600} {
		s.write("/lock", "", mode)
		lock, err := h.Lock(context.Background(), "/lock", false, true)
		if err != nil {
			t.Fatal(err)
		}
		lock.Unlock()
		if f, err := h.Stat("/lock"); err != nil || f.Mode != 0o600 {
			t.Errorf("%04o: got %04o, %v, want 0600", mode, f.Mode, err)
		}
	}
	// Check mode changes nothing.
	s.write("/lock", "", 0o644)
	lock, err := h.Lock(context.Background(), "/lock", true, false)
	if err != nil {
		t.Fatal(err)
	}
	lock.Unlock()
	if f, err := h.Stat("/lock"); err != nil || f.Mode != 0o644 {
		t.Errorf("shared: got %04o, %v, want 0644", f.Mode, err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(s.out("/lock"), 65534, -1); err != nil {
			t.Fatal(err)
		}
		_, err := h.Lock(context.Background(), "/lock", false, true)
		wantCode(t, err, contract.CodeFilesystem, "user 65534")
	}
}

func TestField2_18_EditClosesAnOpenFile(t *testing.T) {
	s := newSandbox(t)
	s.write("/f", "text", 0o666)
	held, err := os.OpenFile(s.out("/f"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	same := func(old []byte, _ bool) ([]byte, error) { return old, nil }
	r, err := s.host().Edit(context.Background(), "/f", EditOptions{Close: true}, same)
	if err != nil || !r.Changed {
		t.Fatalf("got %+v, %v", r, err)
	}
	if _, err := held.WriteString("evil"); err != nil {
		t.Fatal(err)
	}
	if f, err := s.host().Read("/f"); err != nil || f.Mode != 0o644 || string(f.Content) != "text" {
		t.Errorf("got %04o %q, %v, want 0644 and the old text: somebody held the file open", f.Mode, f.Content, err)
	}
	if r, err := s.host().Edit(context.Background(), "/f", EditOptions{Close: true}, same); err != nil || r.Changed {
		t.Errorf("again: got %+v, %v, want no change", r, err)
	}
}

func TestField3_3_LogIsOpenedAsEveryFile(t *testing.T) {
	link := func(target string) func(sandbox, string) {
		return func(s sandbox, path string) {
			if err := os.Symlink(target, s.out(path)); err != nil {
				s.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name    string
		prepare func(sandbox)
		refused string
	}{
		{"missing", func(sandbox) {}, ""},
		{"there", func(s sandbox) { s.write("/var/log/lpa/audit.log", "line\n", 0o640) }, ""},
		{"open to others: closed", func(s sandbox) { s.write("/var/log/lpa/audit.log", "line\n", 0o666) }, ""},
		{"a link", func(s sandbox) {
			s.write("/victim", "", 0o600)
			s.mkdir("/var/log/lpa", 0o755)
			link("/victim")(s, "/var/log/lpa/audit.log")
		}, "audit.log"},
		{"two names", func(s sandbox) {
			s.write("/victim", "", 0o600)
			s.mkdir("/var/log/lpa", 0o755)
			if err := os.Link(s.out("/victim"), s.out("/var/log/lpa/audit.log")); err != nil {
				s.Fatal(err)
			}
		}, "2 names"},
		{"a FIFO", func(s sandbox) {
			s.mkdir("/var/log/lpa", 0o755)
			if err := syscall.Mkfifo(s.out("/var/log/lpa/audit.log"), 0o600); err != nil {
				s.Fatal(err)
			}
		}, "audit.log"},
		{"a directory", func(s sandbox) { s.mkdir("/var/log/lpa/audit.log", 0o755) }, "audit.log"},
		{"a directory of everybody", func(s sandbox) { s.mkdir("/var/log/lpa", 0o777) }, "/var/log/lpa is writable by others"},
		{"a directory of everybody above", func(s sandbox) { s.mkdir("/var/log/lpa", 0o755); s.mkdir("/var/log", 0o777) }, "/var/log is writable by others"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSandbox(t)
			c.prepare(s)
			checkLog(t, s, c.refused)
		})
	}
}

func checkLog(t *testing.T, s sandbox, refused string) {
	t.Helper()
	f, err := s.host().OpenLog("/var/log/lpa/audit.log")
	if err == nil {
		_, err = io.WriteString(f, "more\n")
		f.Close()
	}
	if victim, missing := os.ReadFile(s.out("/victim")); missing == nil && len(victim) > 0 {
		t.Errorf("another file was written: %q", victim)
	}
	if refused != "" {
		if err == nil || !strings.Contains(err.Error(), refused) {
			t.Fatalf("got %v, want it refused: %s", err, refused)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.out("/var/log/lpa/audit.log"))
	if err != nil || info.Mode().Perm()&^0o644 != 0 || !strings.HasSuffix(s.read("/var/log/lpa/audit.log"), "more\n") {
		t.Errorf(`got %v, %v, want 0, "more\n" last`, info.Mode(), err)
	}
}

// Ubuntu's /var/log is root:syslog, 0775.
func TestField3_3_LogBelowASystemGroupsDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory to a group")
	}
	for _, c := range []struct {
		dir      string
		uid, gid int
		refused  string
	}{
		{"/var/log", 0, 104, ""},
		{"/var/log", 0, 1000, "/var/log is writable by others"},
		{"/var/log", 104, 104, "/var/log belongs to user 104"},
		{"/var/log/lpa", 0, 104, "/var/log/lpa is writable by others"},
		{"/var/log/lpa", 104, 0, "/var/log/lpa belongs to user 104"},
	} {
		s := newSandbox(t)
		s.mkdir("/var/log/lpa", 0o755)
		s.mkdir(c.dir, 0o775)
		if err := os.Chown(s.out(c.dir), c.uid, c.gid); err != nil {
			t.Fatal(err)
		}
		t.Run(fmt.Sprint(c.dir, c.uid, c.gid), func(t *testing.T) { checkLog(t, s, c.refused) })
		if err := s.host().CheckPath("/var/log/lpa/f"); err == nil {
			t.Errorf("%+v: accepted for another file than the log, want an error", c)
		}
	}
}

func TestField2_7_Rehearse(t *testing.T) {
	s := newSandbox(t)
	s.write("/f", "old", 0o644)
	before := s.tree()
	if err := s.host().Rehearse("/f", Attributes{Mode: 0o640, UID: Keep, GID: Keep}); err != nil {
		t.Error(err)
	}
	if err := sameTree(s.tree(), before); err != nil {
		t.Errorf("something is left: got %v, want no error", err)
	}
	if os.Geteuid() != 0 {
		err := s.host().Rehearse("/f", Attributes{Mode: 0o640, UID: Keep, GID: 0})
		if !errors.Is(err, os.ErrPermission) {
			t.Errorf("root's group: got %v, want a refusal", err)
		}
	}
	if err := sameTree(s.tree(), before); err != nil {
		t.Errorf("something is left: got %v, want no error", err)
	}
}
