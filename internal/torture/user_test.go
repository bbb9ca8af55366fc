package torture_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/manager"
)

// newUsersHost is a host whose files are those of a user who is not root, and
// who runs the program.
func newUsersHost(t *testing.T) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files to a group of others")
	}
	h := newHost(t)
	h.as = &syscall.Credential{Uid: foreign, Gid: foreign}
	must(t, os.MkdirAll(h.path("certs"), 0o755))
	for _, dir := range []string{h.dir, h.args} {
		must(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			must(t, err)
			return os.Lchown(path, foreign, foreign)
		}))
	}
	// The test's own directories are closed.
	for _, dir := range []string{filepath.Dir(h.args), bin.Dir()} {
		must(t, os.Chmod(dir, 0o755))
	}
	return h
}

// users runs the program as that user.
func (h *host) users(l *lab, more options) result {
	h.t.Helper()
	cmd := h.command(l, more)
	must(h.t, os.Lchown(cmd.Args[0], foreign, foreign))
	return h.run(cmd)
}

const strangers = 54321 // a group that the user is not in

// TestField2_7_FilesOfAForeignGroup: what a user who is not root could not put
// back as it is, they learn before the manager is asked for anything.
func TestField2_7_FilesOfAForeignGroup(t *testing.T) {
	l := newLab(t, manager.Options{})
	must(t, os.Chmod(filepath.Dir(filepath.Dir(l.caPath)), 0o755))
	for name, prepare := range map[string]func(t *testing.T, h *host){
		"whitelist of a foreign group": func(t *testing.T, h *host) { must(t, os.Chown(h.path("etc/whitelist.yaml"), foreign, strangers)) },
		"whitelist of root":            func(t *testing.T, h *host) { must(t, os.Chown(h.path("etc/whitelist.yaml"), 0, 0)) },
		"whitelist in root's directory": func(t *testing.T, h *host) {
			must(t, os.Chown(h.path("etc"), 0, 0))
		},
		"lock of root": func(t *testing.T, h *host) { must(t, os.WriteFile(h.path("etc/whitelist.yaml.lock"), nil, 0o600)) },
		"CA of a foreign group": func(t *testing.T, h *host) {
			must(t, os.WriteFile(h.path("certs/ca.pem"), nil, 0o644))
			must(t, os.Chown(h.path("certs/ca.pem"), foreign, strangers))
		},
		"certificates in root's directory": func(t *testing.T, h *host) { must(t, os.Chown(h.path("certs"), 0, 0)) },
		"a token of theirs in a config.yaml of a foreign group": func(t *testing.T, h *host) {
			text := strings.Replace(h.config, "enrollment:\n", "enrollment:\n  polling_token: "+strings.Repeat("a", 64)+"\n", 1)
			must(t, os.WriteFile(h.path("etc/config.yaml"), []byte(text), 0o640))
			must(t, os.Chown(h.path("etc/config.yaml"), foreign, strangers))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newUsersHost(t)
			prepare(t, h)
			for _, more := range []options{{"_ansible_check_mode": true}, {}} {
				before, _, _ := l.counts()
				r := h.users(l, more)
				after, _, _ := l.counts()
				refused(t, r, after-before)
				if !strings.Contains(r.Msg, h.path("")) {
					t.Errorf("got %s, want the file named", r.Msg)
				}
			}
		})
	}
}

// TestField2_7_ConfigOfAForeignGroup: what is written to config.yaml can be done
// without, and a run that can't write it says so and enrolls.
func TestField2_7_ConfigOfAForeignGroup(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, h *host){
		"a foreign group":  func(t *testing.T, h *host) { must(t, os.Chown(h.path("etc/config.yaml"), foreign, strangers)) },
		"root's":           func(t *testing.T, h *host) { must(t, os.Chown(h.path("etc/config.yaml"), 0, foreign)) },
		"a lock of root's": func(t *testing.T, h *host) { must(t, os.WriteFile(h.path("etc/config.yaml.lock"), nil, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			l, h := newLab(t, manager.Options{}), newUsersHost(t)
			prepare(t, h)
			for _, want := range []bool{true, false} {
				r := h.users(l, options{"config_manager_url": nil, "lock_timeout": 0})
				if r.Failed || r.State != "enrolled" || r.Changed != want || !strings.Contains(strings.Join(r.Warnings, "\n"), "config.yaml") {
					t.Errorf("got changed %v, want %v and a warning: %.1500s", r.Changed, want, r.raw)
				}
			}
			if posts, _, _ := l.counts(); posts != 1 {
				t.Errorf("got %d registrations, want 1", posts)
			}
		})
	}
}
