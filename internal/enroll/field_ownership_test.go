package enroll_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki"
)

// deployed is a host as the deployed installer leaves it, with a set that is
// valid: chown -R linux-patch-api /etc/linux_patch_api.
func deployed(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	if res := r.run(nil, nil); res.Failed {
		t.Fatal(res.Msg)
	}
	r.write("/etc/linux_patch_api/other.conf", "x\n", 0o644)
	r.giveAway()
	return r
}

func (r *rig) giveAway() {
	must(r.t, filepath.WalkDir(r.path("/etc/linux_patch_api"), func(path string, _ fs.DirEntry, err error) error {
		must(r.t, err)
		return os.Lchown(path, 65534, 65534)
	}))
}

func owners(r *rig) (others []string) {
	must(r.t, filepath.WalkDir(r.path("/etc"), func(path string, d fs.DirEntry, err error) error {
		must(r.t, err)
		info, err := d.Info()
		must(r.t, err)
		if info.Sys().(*syscall.Stat_t).Uid != 0 {
			others = append(others, path)
		}
		return nil
	}))
	return others
}

func TestField1_13_TakeOwnership(t *testing.T) {
	r := deployed(t)
	posts := r.manager.posts
	held, err := os.OpenFile(r.path(listFile), os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	defer held.Close()
	take := func(p *options.Params) { p.TakeOwnership = true }
	res := r.run(nil, nil)
	if !res.Failed || !strings.Contains(res.Msg, "take_ownership") {
		t.Fatalf("without the option: got %s", res.Msg)
	}
	before := len(owners(r))
	check := r.run(nil, func(p *options.Params) { take(p); p.Check = true })
	if check.Failed || !check.Changed || len(check.Diff) != before || len(owners(r)) != before {
		t.Fatalf("check mode: got %d diffs, want %d; %q: %s", len(check.Diff), before, check.Actions, check.Msg)
	}
	res = r.run(nil, take)
	if res.Failed || !res.Changed || len(owners(r)) > 0 || r.manager.posts != posts {
		t.Fatalf("got %q, left %q: %s", res.Actions, owners(r), res.Msg)
	}
	if strings.Join(check.Actions, "\n") != strings.Join(res.Actions, "\n") {
		t.Errorf("check mode foresaw %q, done was %q", check.Actions, res.Actions)
	}
	told := strings.Join(res.Warnings, "\n")
	for _, want := range []string{"/etc/linux_patch_api/certs", configFile, "192.0.2.10", pki.Fingerprint(r.manager.ca.Cert.Raw)} {
		if !strings.Contains(told, want) {
			t.Errorf("got the warnings %q, want %q in them", told, want)
		}
	}
	// Who held the old file open writes to nothing.
	_, err = held.WriteString("  - 203.0.113.66\n")
	must(t, err)
	if strings.Contains(r.read(listFile), "203.0.113.66") {
		t.Error("the old file is still in use")
	}
	if again := r.run(nil, take); again.Failed || again.Changed || strings.Contains(strings.Join(again.Warnings, "\n"), "take_ownership") {
		t.Errorf("again: got %q, %q: %s", again.Actions, again.Warnings, again.Msg)
	}
}

func TestField1_13_WhatIsNotTaken(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*rig)
		want    string
	}{
		"a hard link": {func(r *rig) {
			r.write("/victim", "secret", 0o600)
			must(t, os.Link(r.path("/victim"), r.path("/etc/linux_patch_api/certs/extra.pem")))
		}, "hard link"},
		"a link": {func(r *rig) {
			must(t, os.Symlink("/victim", r.path("/etc/linux_patch_api/certs/link.pem")))
		}, "symbolic link"},
		"a FIFO": {func(r *rig) { must(t, syscall.Mkfifo(r.path("/etc/linux_patch_api/fifo"), 0o600)) }, "FIFO"},
		"a path elsewhere": {func(r *rig) {
			r.write(configFile, configText+"tls:\n  server_cert: /etc/cron.d/job\n", 0o640)
		}, "server_cert_path"},
		"a log elsewhere": {func(r *rig) {
			r.write(configFile, configText+"logging:\n  file_path: /etc/cron.d/job\n", 0o640)
		}, "logging.file_path"},
		"a whitelist elsewhere": {func(r *rig) {
			r.write(configFile, configText+"whitelist:\n  path: /etc/passwd\n", 0o640)
		}, "whitelist_path"},
		"a config that is none": {func(r *rig) { r.write(configFile, "tls: [a\n", 0o640) }, "config.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			r := deployed(t)
			c.prepare(r)
			r.giveAway()
			for _, check := range []bool{true, false} {
				res := r.run(nil, func(p *options.Params) { p.TakeOwnership, p.Check = true, check })
				if !res.Failed || !strings.Contains(res.Msg, c.want) {
					t.Errorf("check %v: got %s, want it refused: %s", check, res.Msg, c.want)
				}
			}
			// It stays what root does not use.
			if res := r.run(nil, nil); !res.Failed || !strings.Contains(res.Msg, "config.yaml") {
				t.Errorf("afterwards: got %s", res.Msg)
			}
		})
	}
	// An option that names the same path vouches for it.
	r := deployed(t)
	r.write(configFile, configText+"tls:\n  ca_cert: /srv/pki/ca.pem\n", 0o640)
	r.giveAway()
	res := r.run(nil, func(p *options.Params) { p.TakeOwnership, p.CACertPath = true, "/srv/pki/ca.pem" })
	if res.Failed {
		t.Errorf("with the option: %s", res.Msg)
	}
}

func TestField1_13_SharedDirectoriesAndStateAreNotTaken(t *testing.T) {
	r := deployed(t)
	must(t, os.Chown(r.path("/var/lib/linux_patch_enroll"), 65534, 65534))
	res := r.run(nil, func(p *options.Params) { p.TakeOwnership = true })
	if !res.Failed || !strings.Contains(res.Msg, "state_dir") || len(owners(r)) == 0 {
		t.Errorf("got %s", res.Msg)
	}
	must(t, os.Chown(r.path("/var/lib/linux_patch_enroll"), 0, 0))
	must(t, os.Chmod(r.path("/etc"), 0o777))
	if res := r.run(nil, func(p *options.Params) { p.TakeOwnership = true }); !res.Failed || !strings.Contains(res.Msg, "/etc is writable") {
		t.Errorf("got %s", res.Msg)
	}
}

// No other run may put files in place meanwhile, and what became trusted stands
// in the audit log.
func TestField1_13_TakenUnderTheRunLockAndAudited(t *testing.T) {
	r := deployed(t)
	take := func(p *options.Params) { p.TakeOwnership, p.LockTimeout = true, 0 }
	f, err := os.Open(r.path("/var/lib/linux_patch_enroll/lock"))
	must(t, err)
	defer f.Close()
	must(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	before := len(owners(r))
	if res := r.run(nil, take); !res.Failed || res.Error.Code != contract.CodeLocked || len(owners(r)) != before {
		t.Errorf("beside another run: got %d left of %d, %+v: %s", len(owners(r)), before, res.Error, res.Msg)
	}
	must(t, f.Close())
	if res := r.run(nil, take); res.Failed {
		t.Fatal(res.Msg)
	}
	if got := r.audit[len(r.audit)-1]; got != contract.EventOwnershipTaken {
		t.Fatalf("got the event %s, want %s", got, contract.EventOwnershipTaken)
	}
	for field, want := range map[string]string{
		"paths": listFile, "whitelist_entries": "192.0.2.10", "ca_sha256": pki.Fingerprint(r.manager.ca.Cert.Raw),
	} {
		if !strings.Contains(r.audited[field], want) {
			t.Errorf("got %s %q, want %s in it", field, r.audited[field], want)
		}
	}
}
