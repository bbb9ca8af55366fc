package enroll_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

const (
	configFile = "/etc/linux_patch_api/config.yaml"
	listFile   = "/etc/linux_patch_api/whitelist.yaml"
	caFile     = "/etc/linux_patch_api/certs/ca.pem"
)

func (r *rig) chown(path string, uid, gid int) {
	r.t.Helper()
	if os.Geteuid() != 0 {
		r.t.Skip("only root can give files away")
	}
	must(r.t, os.Chown(r.path(path), uid, gid))
}

func (r *rig) mode(path string) fs.FileMode {
	r.t.Helper()
	info, err := os.Stat(r.path(path))
	must(r.t, err)
	return info.Mode().Perm()
}

// Modes default to those of the existing files, as owners do, unless they are
// not safe.
func TestField2_13_ModesOfExistingFilesStay(t *testing.T) {
	for _, c := range []struct {
		path      string
		was, want fs.FileMode
	}{
		{keyFile, 0o400, 0o400}, {keyFile, 0o640, 0o640}, {keyFile, 0o440, 0o440}, {keyFile, 0o600, 0o600},
		{keyFile, 0o644, 0o600}, {keyFile, 0o604, 0o600}, {keyFile, 0o660, 0o640},
		{certFile, 0o600, 0o600}, {certFile, 0o444, 0o444}, {certFile, 0o640, 0o640}, {certFile, 0o666, 0o644}, {certFile, 0o660, 0o640},
	} {
		t.Run(fmt.Sprintf("%s %04o", filepath.Base(c.path), c.was), func(t *testing.T) {
			r := newRig(t)
			if res := r.run(nil, nil); res.Failed {
				t.Fatal(res.Msg)
			}
			must(t, os.Chmod(r.path(c.path), c.was))
			for _, force := range []bool{false, true} {
				res := r.run(nil, func(p *options.Params) { p.Force = force })
				if res.Failed || r.mode(c.path) != c.want {
					t.Errorf("force %v: got %04o, want %04o: %s", force, r.mode(c.path), c.want, res.Msg)
				}
				if !force && res.Changed != (c.was != c.want) {
					t.Errorf("got changed %v", res.Changed)
				}
				r.manager.taken, r.manager.token = false, ""
			}
		})
	}
}

// root takes no config.yaml that someone else may write, directories included.
func TestField3_3_ConfigOfSomebodyElse(t *testing.T) {
	r := newRig(t)
	r.chown(configFile, 0, 0)
	for name, c := range map[string]struct{ open, undo func() }{
		"another user's": {func() { r.chown(configFile, 65534, 0) }, func() { r.chown(configFile, 0, 0) }},
		"a group's": {
			func() { r.chown(configFile, 0, 50); must(t, os.Chmod(r.path(configFile), 0o660)) },
			func() { r.chown(configFile, 0, 0); must(t, os.Chmod(r.path(configFile), 0o640)) },
		},
		"everybody's":              {func() { must(t, os.Chmod(r.path(configFile), 0o646)) }, func() { must(t, os.Chmod(r.path(configFile), 0o640)) }},
		"another user's directory": {func() { r.chown(filepath.Dir(configFile), 65534, 0) }, func() { r.chown(filepath.Dir(configFile), 0, 0) }},
		"everybody's directory":    {func() { must(t, os.Chmod(r.path("/etc"), 0o777)) }, func() { must(t, os.Chmod(r.path("/etc"), 0o755)) }},
	} {
		c.open()
		for _, state := range []string{"enrolled", "registered", "absent"} {
			for _, check := range []bool{false, true} {
				res := r.run(nil, func(p *options.Params) { p.State, p.Check = state, check })
				if !res.Failed || res.Error.Code != contract.CodeConfig || !strings.Contains(res.Msg, "take_ownership") || !strings.Contains(res.Error.Hint, "take_ownership") {
					t.Errorf("%s, %s, check %v: got %+v: %s", name, state, check, res.Error, res.Msg)
				}
			}
		}
		info := r.enroller(nil).Info(context.Background(), options.DefaultInfoParams())
		if info.Failed || !strings.Contains(strings.Join(info.Problems, "\n"), "take_ownership") {
			t.Errorf("%s: enrollment_info has the problems %q: %s", name, info.Problems, info.Msg)
		}
		c.undo()
	}
	if r.manager.posts > 0 {
		t.Errorf("the manager was asked %d times", r.manager.posts)
	}
	if res := r.run(nil, nil); res.Failed {
		t.Error(res.Msg)
	}
}

// Files that the run relies on, converged or not.
func TestField2_18_FilesOfAnotherUserAreRefused(t *testing.T) {
	for _, path := range []string{listFile, caFile, certFile, keyFile} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			r := newRig(t)
			if res := r.run(nil, nil); res.Failed {
				t.Fatal(res.Msg)
			}
			r.chown(path, 65534, 65534)
			res := r.run(nil, nil)
			if !res.Failed || !strings.Contains(res.Msg, path) || !strings.Contains(res.Msg, "user 65534") || !strings.Contains(res.Msg, "take_ownership") {
				t.Errorf("got %s", res.Msg)
			}
			info := r.enroller(nil).Info(context.Background(), options.DefaultInfoParams())
			if !strings.Contains(strings.Join(info.Problems, "\n"), path) {
				t.Errorf("got the problems %q", info.Problems)
			}
			// The option that makes it so accepts it.
			res = r.run(nil, func(p *options.Params) { p.Owner = "65534" })
			if res.Failed {
				t.Errorf("with owner: %s", res.Msg)
			}
		})
	}
}

func TestField2_18_OpenWhitelistIsClosed(t *testing.T) {
	for _, enrolled := range []bool{true, false} {
		for _, mode := range []fs.FileMode{0o666, 0o646} {
			r := newRig(t)
			if enrolled {
				if res := r.run(nil, nil); res.Failed {
					t.Fatal(res.Msg)
				}
			}
			must(t, os.Chmod(r.path(listFile), mode))
			info := r.enroller(nil).Info(context.Background(), options.DefaultInfoParams())
			if enrolled && !strings.Contains(strings.Join(info.Problems, "\n"), listFile) {
				t.Errorf("got the problems %q", info.Problems)
			}
			check := r.run(nil, func(p *options.Params) { p.Check = true })
			if check.Failed || !check.Changed || r.mode(listFile) != mode {
				t.Errorf("check mode: got changed %v, %s", check.Changed, check.Msg)
			}
			res := r.run(nil, nil)
			if res.Failed || !res.Changed || r.mode(listFile) != 0o644 {
				t.Errorf("got %04o, want 0644: %s", r.mode(listFile), res.Msg)
			}
			if told := strings.Join(res.Warnings, "\n"); !strings.Contains(told, "192.0.2.10") {
				t.Errorf("got the warnings %q, want the entries in them", told)
			}
			if again := r.run(nil, nil); again.Changed || again.Failed {
				t.Errorf("again: got %q: %s", again.Actions, again.Msg)
			}
			// The entry that enrollment added is still known as its own.
			if res := r.run(nil, func(p *options.Params) { p.State = "absent" }); res.Failed || strings.Contains(r.read(listFile), "192.0.2.1\n") {
				t.Errorf("got %q: %s", r.read(listFile), res.Msg)
			}
		}
	}
}

// A lock that someone holds for ever is found while there is nothing to lose.
func TestField3_9_HeldLockIsFoundBeforeAnyRequest(t *testing.T) {
	r := newRig(t)
	r.write(listFile+".lock", "", 0o644)
	f, err := os.Open(r.path(listFile + ".lock"))
	must(t, err)
	defer f.Close()
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_SH))
	res := r.run(nil, func(p *options.Params) { p.LockTimeout = 0 })
	if !res.Failed || res.Error.Code != contract.CodeLocked || !strings.Contains(res.Error.Hint, "lslocks") || r.manager.posts > 0 {
		t.Errorf("got %d registrations, %+v: %s", r.manager.posts, res.Error, res.Msg)
	}
	must(t, f.Close())
	if res := r.run(nil, nil); res.Failed || r.mode(listFile+".lock") != 0o600 {
		t.Errorf("got the lock file %04o, want 0600: %s", r.mode(listFile+".lock"), res.Msg)
	}
}

// A copy of the token that could not be made is given up before, not a failure
// after.
func TestField3_9_HeldLockOfTheConfig(t *testing.T) {
	r := newRig(t)
	r.write(configFile+".lock", "", 0o644)
	f, err := os.Open(r.path(configFile + ".lock"))
	must(t, err)
	defer f.Close()
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_SH))
	res := r.run(nil, func(p *options.Params) { p.LockTimeout = 0 })
	if res.Failed || res.State != contract.StateEnrolled || !strings.Contains(strings.Join(res.Warnings, "\n"), configFile) {
		t.Errorf("got %s, %q: %s", res.State, res.Warnings, res.Msg)
	}
	// A token that stands there must go again.
	r = newRig(t)
	r.write(configFile, configText+"enrollment:\n  polling_token: "+canary+"\n", 0o640)
	r.write(configFile+".lock", "", 0o644)
	g, err := os.Open(r.path(configFile + ".lock"))
	must(t, err)
	defer g.Close()
	must(t, unix.Flock(int(g.Fd()), unix.LOCK_SH))
	res = r.run(nil, func(p *options.Params) { p.LockTimeout = 0 })
	if !res.Failed || res.Error.Code != contract.CodeLocked || r.manager.polls > 0 {
		t.Errorf("got %d polls: %s", r.manager.polls, res.Msg)
	}
}

// Ancestors that are links of root's are followed, for each path.
func TestField2_17_LinksOfRootAreFollowed(t *testing.T) {
	r := newRig(t)
	must(t, os.MkdirAll(r.path("/opt"), 0o755))
	must(t, os.Rename(r.path("/etc/linux_patch_api"), r.path("/opt/lpa")))
	must(t, os.Symlink("../opt/lpa", r.path("/etc/linux_patch_api")))
	must(t, os.MkdirAll(r.path("/srv"), 0o700))
	must(t, os.MkdirAll(r.path("/var"), 0o755))
	must(t, os.Symlink("../srv", r.path("/var/lib")))
	more := func(p *options.Params) {
		p.ConfigPath = "/etc//linux_patch_api/./config.yaml"
		p.CACertPath, p.StateDir = "/etc/linux_patch_api/certs//ca.pem", "/var/lib/linux_patch_enroll/"
	}
	res := r.run(nil, more)
	if res.Failed || res.Certificates == nil || res.Certificates.CA.Path != "/opt/lpa/certs/ca.pem" {
		t.Fatalf("got %+v: %s", res.Certificates, res.Msg)
	}
	for _, link := range []string{"/etc/linux_patch_api is a symbolic link to ../opt/lpa", "/var/lib is a symbolic link to ../srv"} {
		if !strings.Contains(strings.Join(res.Warnings, "\n"), link) {
			t.Errorf("got the warnings %q, want %q", res.Warnings, link)
		}
	}
	if again := r.run(nil, more); again.Failed || again.Changed {
		t.Errorf("again: got %q: %s", again.Actions, again.Msg)
	}
	if res := r.run(nil, func(p *options.Params) { more(p); p.State = "absent" }); res.Failed || !res.Changed || r.read("/opt/lpa/certs/server.pem") != "" {
		t.Errorf("removal: got %q, %s", res.Actions, res.Msg)
	}
}

// A host whose directory becomes a link later is still known.
func TestField2_17_DirectoryThatBecameALink(t *testing.T) {
	r := newRig(t)
	if res := r.run(nil, nil); res.Failed {
		t.Fatal(res.Msg)
	}
	must(t, os.Rename(r.path("/etc/linux_patch_api"), r.path("/opt")))
	must(t, os.Symlink("/opt", r.path("/etc/linux_patch_api")))
	if res := r.run(nil, nil); res.Failed || res.Changed {
		t.Errorf("got %q: %s", res.Actions, res.Msg)
	}
	res := r.run(nil, func(p *options.Params) { p.State = "absent" })
	if res.Failed || r.read("/opt/certs/server.pem") != "" || strings.Contains(strings.Join(res.Warnings, "\n"), "stays") {
		t.Errorf("removal: got %q, %q: %s", res.Actions, res.Warnings, res.Msg)
	}
}

func TestField3_12_LatestRejectedBundlesAreKept(t *testing.T) {
	r := newRig(t)
	must(t, os.MkdirAll(r.path("/var/lib/linux_patch_enroll"), 0o700))
	must(t, os.Chmod(r.path("/var/lib/linux_patch_enroll"), 0o700))
	for i := range 5 {
		r.write(fmt.Sprintf("/var/lib/linux_patch_enroll/rejected.2026010%dT000000.000000000Z", i+1), "{}", 0o600)
	}
	r.manager.who = append(r.manager.who, pkitest.Key(pkitest.RSA1024))
	if res := r.run(nil, nil); !res.Failed || res.Error.Code != contract.CodeBundleInvalid {
		t.Fatalf("the bundle was to be refused: %s", res.Msg)
	}
	left, err := filepath.Glob(r.path("/var/lib/linux_patch_enroll/rejected.*"))
	if err != nil || len(left) != 3 || !strings.HasSuffix(left[0], "rejected.20260104T000000.000000000Z") {
		t.Errorf("got %q, %v, want the latest three", left, err)
	}
}

// A CRL that can't be judged costs no certificate: another can be had at any
// time.
func TestField2_1_CRLThatCannotBeJudged(t *testing.T) {
	const crlFile = "/etc/linux_patch_api/certs/crl.pem"
	for name, list := range map[string]string{
		"empty": "", "rubbish": "x\n", "half a PEM block": "-----BEGIN X509 CRL-----\nAAAA\n",
		"no list": "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "another CA's": pkitest.NewCA(t).CRL(t),
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if res := r.run(nil, nil); res.Failed {
				t.Fatal(res.Msg)
			}
			r.write(crlFile, list, 0o644)
			posts, cert := r.manager.posts, r.read(certFile)
			for _, check := range []bool{true, false} {
				res := r.run(nil, func(p *options.Params) { p.Check = check })
				if res.Failed || res.Changed || res.State != contract.StateEnrolled || !strings.Contains(strings.Join(res.Warnings, "\n"), crlFile+" cannot be used") {
					t.Errorf("check %v: got %s, changed %v, %q: %s", check, res.State, res.Changed, res.Warnings, res.Msg)
				}
			}
			if r.manager.posts != posts || r.read(certFile) != cert || r.read(crlFile) != list {
				t.Errorf("got %d requests, want none and the files as they were", r.manager.posts-posts)
			}
			info := r.enroller(nil).Info(context.Background(), options.DefaultInfoParams())
			if info.Failed || info.State != contract.StateEnrolled || !strings.Contains(strings.Join(info.Problems, "\n"), crlFile+" cannot be used") {
				t.Errorf("enrollment_info: got %s, %q: %s", info.State, info.Problems, info.Msg)
			}
			// What is wrong with the set itself still counts.
			must(t, os.Remove(r.path(keyFile)))
			r.manager.forget()
			if res := r.run(nil, nil); res.Failed || r.manager.posts != posts+1 {
				t.Errorf("without its key: got %d requests, want 1: %s", r.manager.posts-posts, res.Msg)
			}
		})
	}
}
