package torture_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/manager"
	"github.com/linux-patch/enroll/internal/torture/tally"
)

const (
	foreign     = 12345 // a user whom this host does not have
	fsImmutable = 0x10  // FS_IMMUTABLE_FL
)

// hostility is something in the way of a file of ours.
type hostility struct {
	name string
	root bool // only root can make it
	make func(t *testing.T, path, victim string) (undo func())
}

func nothing() {}

var hostilities = []hostility{
	{"symbolic link to a file", false, func(t *testing.T, path, victim string) func() {
		must(t, os.Symlink(victim, path))
		return nothing
	}},
	{"dangling link", false, func(t *testing.T, path, victim string) func() {
		must(t, os.Symlink(victim+".new", path))
		return nothing
	}},
	{"directory", false, func(t *testing.T, path, _ string) func() {
		must(t, os.Mkdir(path, 0o755))
		return nothing
	}},
	{"FIFO", false, func(t *testing.T, path, _ string) func() {
		must(t, unix.Mkfifo(path, 0o600))
		return nothing
	}},
	{"immutable file", true, func(t *testing.T, path, _ string) func() {
		must(t, os.WriteFile(path, []byte("old"), 0o600))
		if err := setFlags(path, fsImmutable); err != nil {
			t.Skipf("no immutable files here: %v", err)
		}
		return func() { _ = setFlags(path, 0) }
	}},
}

// setFlags is chattr(1).
func setFlags(path string, flags int) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
}

// TestHostileFiles puts something in the way of each file that the program
// writes: it refuses before it asks the manager, and touches nothing of it.
func TestHostileFiles(t *testing.T) {
	l := newLab(t, manager.Options{})
	for _, target := range []string{
		"certs/ca.pem", "certs/server.pem", "certs/server.key.pem", "certs/crl.pem", "etc/whitelist.yaml",
		"etc/config.yaml", "state/token", "state/request", "state/spool", "state/journal", "state/lock", "state/provenance.json",
	} {
		for _, bad := range hostilities {
			t.Run(target+" as "+bad.name, func(t *testing.T) {
				if bad.root && os.Geteuid() != 0 {
					t.Skip("only root can make one")
				}
				h := newHost(t)
				victim := filepath.Join(t.TempDir(), "victim")
				must(t, os.WriteFile(victim, []byte("mine"), 0o600))
				path := h.path(target)
				must(t, os.MkdirAll(filepath.Dir(path), 0o700))
				if filepath.Base(filepath.Dir(path)) == "certs" {
					must(t, os.Chmod(filepath.Dir(path), 0o755))
				}
				must(t, os.RemoveAll(path))
				cmd := h.command(l, nil)
				undo := bad.make(t, path, victim)
				defer undo()
				before, _, _ := l.counts()
				r := h.run(cmd)
				after, _, _ := l.counts()
				if bad.name == "immutable file" && strings.HasPrefix(target, "state/") && !r.Failed {
					t.Fatalf("enrolled over an immutable file: %s", r.raw)
				}
				refused(t, r, after-before)
				for _, file := range []string{victim + ".new"} {
					if _, err := os.Lstat(file); err == nil {
						t.Errorf("%s was made through the link, want an error", file)
					}
				}
				if raw, err := os.ReadFile(victim); err != nil || string(raw) != "mine" {
					t.Errorf(`the victim is %q, want "mine"`, raw)
				}
				for _, name := range []string{"certs/server.pem", "certs/server.key.pem"} {
					if _, err := os.Lstat(h.path(name)); err == nil && name != target {
						t.Errorf("got %s, want no file there", name)
					}
				}
			})
		}
	}
}

// TestFilesOfAnotherUser: what stands under our names and belongs to someone
// else, as after a careless chown -R, gets no secret of the state directory.
// Certificates, key, lists and config.yaml of another user are refused as they
// are, with the way out.
func TestFilesOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	c := scenarios()[1]
	s := newSite(t, c)
	for _, target := range []string{
		"certs/ca.pem", "certs/server.pem", "certs/server.key.pem", "certs/crl.pem", "etc/whitelist.yaml", "etc/config.yaml",
		"state/token", "state/request", "state/spool", "state/journal", "state/lock", "state/provenance.json",
	} {
		t.Run(target, func(t *testing.T) {
			s.prepare(c)
			path := s.path(target)
			ours := filepath.Dir(target) == "state"
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			if ours {
				must(t, os.Chmod(filepath.Dir(path), 0o700))
			}
			if _, err := os.Stat(path); err != nil {
				must(t, os.WriteFile(path, nil, 0o640))
			}
			must(t, os.Chown(path, foreign, foreign))
			r := s.run(s.commandOf(c))
			if !ours && (!r.Failed || !strings.Contains(r.Msg+r.Error.Hint, "take_ownership")) || r.Failed && r.Error.Hint == "" {
				t.Errorf("%s", r.raw)
			}
			for name := range s.image() {
				info, err := os.Lstat(s.path(name))
				must(t, err)
				st := info.Sys().(*syscall.Stat_t)
				if name == target && !ours && st.Uid != foreign {
					t.Errorf("%s: got the owner %d, want the one as before", name, st.Uid)
				}
				if st.Uid != foreign || !info.Mode().IsRegular() {
					continue
				}
				raw, err := os.ReadFile(s.path(name))
				must(t, err)
				for _, secret := range s.lab.canaries() {
					if strings.Contains(string(raw), secret) && name != "certs/server.key.pem" {
						counted.add("hostile files", func(r *tally.Row) { r.Leaks++ })
						t.Errorf("a secret stands in %s, which is another user's", name)
					}
				}
			}
		})
	}
}

// TestPlantedTempFiles: things that are named like our temporary files, made
// by no one knows whom, hold up no run and are not followed.
func TestPlantedTempFiles(t *testing.T) {
	c := scenarios()[0]
	for _, bad := range hostilities {
		t.Run(bad.name, func(t *testing.T) {
			if bad.root && os.Geteuid() != 0 {
				t.Skip("only root can make one")
			}
			s := newSite(t, c)
			s.prepare(c)
			must(t, os.MkdirAll(s.path("certs"), 0o755))
			must(t, os.MkdirAll(s.path("state"), 0o700))
			victim := filepath.Join(t.TempDir(), "victim")
			must(t, os.WriteFile(victim, []byte("mine"), 0o600))
			var planted []string
			for _, near := range []string{"certs/.server.key.pem", "certs/.ca.pem", "etc/.whitelist.yaml", "state/.token", "state/.journal"} {
				path := s.path(near + ".0123456789abcdef.enroll~tmp")
				planted = append(planted, path)
				defer bad.make(t, path, victim)()
			}
			r := s.run(s.commandOf(c))
			if bad.name == "immutable file" {
				refused(t, r, 0)
			} else if r.State != "enrolled" || r.Failed {
				t.Errorf("%s", r.raw)
			}
			for _, path := range planted {
				if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
					continue
				}
				if raw, err := os.ReadFile(path); err == nil && len(raw) > 0 && string(raw) != "mine" && string(raw) != "old" {
					t.Errorf("%s: got another content, want it as it was", path)
				}
			}
			if raw, err := os.ReadFile(victim); err != nil || string(raw) != "mine" {
				t.Errorf(`the victim is %q, want "mine"`, raw)
			}
			if _, err := os.Lstat(victim + ".new"); err == nil {
				t.Error("got a file that was made through the link, want none")
			}
			counted.add("hostile files", func(r *tally.Row) { r.Points++; r.All++; r.Runs++ })
		})
	}
}

// refused checks a run that must not have asked the manager anything.
func refused(t *testing.T, r result, posts int) {
	t.Helper()
	counted.add("hostile files", func(r *tally.Row) { r.Points++; r.All++; r.Runs++ })
	switch r.code() {
	case "ENROLL_FILESYSTEM", "ENROLL_CONFIG", "ENROLL_INVALID_ARGUMENT", "ENROLL_WHITELIST":
	default:
		t.Errorf("%s", r.raw)
	}
	if posts != 0 {
		t.Errorf("got %d registrations, and then: %s, want 0", posts, r.Msg)
	}
	if r.Error != nil && r.Error.Hint == "" {
		t.Errorf("got no hint, want one: %s", r.Msg)
	}
}

// TestHostileDirectories does the same to the directories above.
func TestHostileDirectories(t *testing.T) {
	l := newLab(t, manager.Options{})
	for _, dir := range []string{"certs", "state", "etc"} {
		for _, bad := range []struct {
			name string
			root bool
			make func(t *testing.T, h *host, path string)
		}{
			{"world-writable", false, func(t *testing.T, h *host, path string) { must(t, os.Chmod(path, 0o777)) }},
			{"sticky and world-writable", false, func(t *testing.T, h *host, path string) { must(t, os.Chmod(path, 0o777|os.ModeSticky)) }},
			{"another user's link", true, func(t *testing.T, h *host, path string) {
				must(t, os.Rename(path, path+".real"))
				must(t, os.Symlink(path+".real", path))
				must(t, os.Lchown(path, foreign, foreign))
			}},
			{"a file", false, func(t *testing.T, h *host, path string) {
				must(t, os.RemoveAll(path))
				must(t, os.WriteFile(path, nil, 0o644))
			}},
			{"another user's", true, func(t *testing.T, h *host, path string) { must(t, os.Chown(path, foreign, foreign)) }},
			{"beneath another user's", true, func(t *testing.T, h *host, path string) { must(t, os.Chown(h.dir, foreign, foreign)) }},
			{"beneath a world-writable one", false, func(t *testing.T, h *host, path string) { must(t, os.Chmod(h.dir, 0o777)) }},
		} {
			t.Run(dir+" "+bad.name, func(t *testing.T) {
				if bad.root && os.Geteuid() != 0 {
					t.Skip("only root can make one")
				}
				h := newHost(t)
				must(t, os.MkdirAll(h.path(dir), 0o755))
				cmd := h.command(l, nil)
				bad.make(t, h, h.path(dir))
				before, _, _ := l.counts()
				r := h.run(cmd)
				after, _, _ := l.counts()
				refused(t, r, after-before)
			})
		}
	}
}

// TestHostileConfig: paths that config.yaml gives are held to the same.
func TestHostileConfig(t *testing.T) {
	l := newLab(t, manager.Options{})
	for _, name := range []string{"certs/ca.pem", "certs/server.pem", "certs/server.key.pem", "certs/crl.pem", "etc/whitelist.yaml"} {
		for _, bad := range []string{"/certs/../../../etc/shadow", "/certs/..", "/certs/../certs/x.pem"} {
			t.Run(name+" "+bad, func(t *testing.T) {
				h := newHost(t)
				text := strings.Replace(h.config, h.dir+"/"+name, h.dir+bad, 1)
				must(t, os.WriteFile(h.path("etc/config.yaml"), []byte(text), 0o640))
				before, _, _ := l.counts()
				r := h.run(h.command(l, nil))
				after, _, _ := l.counts()
				refused(t, r, after-before)
			})
		}
	}
}

// TestHostilePaths: names that lead elsewhere are refused or mean what they say.
func TestHostilePaths(t *testing.T) {
	l := newLab(t, manager.Options{})
	for _, option := range []string{"state_dir", "config_path"} {
		for _, bad := range []string{"/../etc/shadow", "/state/../../x", "/..", "/"} {
			t.Run(option+" "+bad, func(t *testing.T) {
				h := newHost(t)
				path := h.dir + bad
				if bad == "/" {
					path = "/"
				}
				before, _, _ := l.counts()
				r := h.run(h.command(l, options{option: path}))
				after, _, _ := l.counts()
				refused(t, r, after-before)
			})
		}
	}
}
