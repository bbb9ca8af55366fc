package enroll_test

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/linux-patch/enroll/internal/options"
)

// A removal that was killed at its very end left the record of what was ours,
// and the next one, with nothing to remove, did not clear it: a whitelist entry
// that an administrator added later would have been taken for ours.
func TestRemovalKilledAtItsEndForgetsWhatWasOurs(t *testing.T) {
	r := newRig(t)
	if res := r.run(nil, nil); res.Failed {
		t.Fatal(res.Msg)
	}
	absent := func(p *options.Params) { p.State = "absent" }
	res := r.run(&faultfs.Fs{At: 2, Err: syscall.EIO, Match: func(o faultfs.Op) bool {
		return o.Name == "rename" && strings.HasSuffix(o.Path, "/provenance.json")
	}}, absent)
	if !res.Failed || r.read(certFile) != "" {
		t.Fatalf("the fault was not met: %s", res.Msg)
	}
	if res := r.run(nil, absent); res.Failed || res.Changed {
		t.Errorf("the next run: %s", res.Msg)
	}
	r.write("/etc/linux_patch_api/whitelist.yaml", admittedText, 0o644)
	if res := r.run(nil, absent); res.Failed || res.Changed || r.read("/etc/linux_patch_api/whitelist.yaml") != admittedText {
		t.Errorf("an administrator's entry was taken for ours: %s", res.Msg)
	}
}

// moveConfig makes config.yaml name another directory for the certificates.
func (r *rig) moveConfig() {
	r.write("/etc/linux_patch_api/config.yaml", configText+`tls:
  ca_cert: /etc/linux_patch_api/pki/ca.pem
  server_cert: /etc/linux_patch_api/pki/server.pem
  server_key: /etc/linux_patch_api/pki/server.key.pem
  crl_path: /etc/linux_patch_api/pki/crl.pem
`, 0o640)
}

// A removal that fails between two files of a directory that config.yaml no
// longer names is finished, check mode knows that it will be, and what was
// staged there goes too.
func TestRemovalBrokenOffWhereCertificatesWere(t *testing.T) {
	r := newRig(t)
	if res := r.run(nil, nil); res.Failed {
		t.Fatal(res.Msg)
	}
	r.moveConfig()
	const staged = "/etc/linux_patch_api/certs/.server.pem.0123456789abcdef.enroll~tmp"
	r.write(staged, "of a killed run", 0o600)
	absent := func(p *options.Params) { p.State = "absent" }
	res := r.run(&faultfs.Fs{At: 1, Forever: true, Err: syscall.EIO, Match: func(o faultfs.Op) bool {
		return o.Name == "remove" && strings.HasSuffix(o.Path, "/server.key.pem")
	}}, absent)
	if !res.Failed || r.read(certFile) != "" || r.read(keyFile) == "" || r.read("/var/lib/linux_patch_enroll/journal") == "" {
		t.Fatalf("the fault was not met: %s", res.Msg)
	}
	foreseen := r.run(nil, func(p *options.Params) { absent(p); p.Check = true })
	if res := r.run(nil, absent); res.Failed || !slices.Equal(res.Actions, foreseen.Actions) {
		t.Errorf("did %q, foresaw %q: %s", res.Actions, foreseen.Actions, res.Msg)
	}
	for _, path := range []string{keyFile, staged, "/etc/linux_patch_api/certs/ca.pem"} {
		if r.read(path) != "" {
			t.Errorf("left behind: %s", path)
		}
	}
}

// A renewal makes a backup of the key that enrollment had written. A run that
// ends before it notes so does not leave that key for ever: the next run finds
// it, or the removal does.
func TestKeyBackupOfABrokenOffRenewalIsOurs(t *testing.T) {
	absent := func(p *options.Params) { p.State = "absent" }
	for _, c := range []struct {
		name string
		then []func(*options.Params)
	}{
		{"the next run converges", []func(*options.Params){nil, absent}},
		{"it is taken back at once", []func(*options.Params){absent}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			if res := r.run(nil, nil); res.Failed {
				t.Fatal(res.Msg)
			}
			r.manager.forget()
			// The first rename says what is about to be written, the second what stands.
			res := r.run(&faultfs.Fs{At: 2, Forever: true, Err: syscall.EIO, Match: func(o faultfs.Op) bool {
				return o.Name == "rename" && strings.HasSuffix(o.Path, "/provenance.json")
			}}, force)
			if !res.Failed || r.read(keyFile) != r.manager.keys[1] || len(r.keyBackups()) != 1 {
				t.Fatalf("the fault was not met: %s", res.Msg)
			}
			for _, change := range c.then {
				if res := r.run(nil, change); res.Failed {
					t.Fatal(res.Msg)
				}
			}
			if left := r.keyBackups(); len(left) > 0 {
				t.Errorf("left behind: %s", left)
			}
		})
	}
}

func (r *rig) keyBackups() []string {
	found, err := filepath.Glob(r.path(keyFile) + ".*~")
	must(r.t, err)
	return found
}
