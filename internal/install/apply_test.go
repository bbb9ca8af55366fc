package install_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/hosttest"
	"github.com/linux-patch/enroll/internal/install"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/statedir"
)

func TestProvisionPutsASetInPlaceAndRemembersIt(t *testing.T) {
	s := newSite(t)
	b := s.bundle()
	b.CRLPEM = s.ca.CRL(t)
	in := s.installer(nil)
	hosttest.Must(t, in.Disk.SaveToken(statedir.Token{Token: token, ManagerURL: managerURL, Since: time.Now()}))
	hosttest.Must(t, in.Provision(context.Background(), &b, answered()))

	s.is(b)
	for name, want := range map[string]os.FileMode{caFile: 0o644, certFile: 0o644, crlFile: 0o644, keyFile: 0o600, listFile: 0o644} {
		if got := s.mode(name); got != want {
			t.Errorf("%s: got mode %04o, want %04o", name, got, want)
		}
	}
	if res := in.Result; res.State != contract.StateEnrolled || !res.Changed || !strings.Contains(res.Msg, "enrolled; the certificate is valid until") {
		t.Errorf("got %q, changed %v: %s; want %q, changed", res.State, res.Changed, res.Msg, contract.StateEnrolled)
	}
	if got := strings.Join(in.Result.Actions, "\n"); !before(got, caFile, crlFile, keyFile, certFile, listFile) {
		t.Errorf("got the actions %q, want the CA first, the certificate next to its key, then the whitelist", got)
	}
	if want := []contract.Event{contract.EventProvisioned, contract.EventWhitelistChanged}; !slices.Equal(s.events, want) {
		t.Errorf("got the events %q, want %q", s.events, want)
	}
	if s.exists(stateDir + "/token") {
		t.Error("got a token after the enrollment, want none")
	}
	p := s.installer(nil).Disk.Provenance()
	for name, content := range map[string]string{caFile: b.CACrt, certFile: b.ServerCrt, keyFile: b.ServerKey, crlFile: b.CRLPEM} {
		if !p.Owns(name, statedir.Digest([]byte(content))) {
			t.Errorf("got a record in which %s is not ours, want it ours: %+v", name, p.Files)
		}
	}
	if p.CAFingerprint != fingerprint(s.ca) || p.ManagerURL != managerURL || p.ManagerIP != managerIP || p.FQDN != pkitest.DefaultFQDN || p.MachineID == "" {
		t.Errorf("got the record %+v, want CA %s, manager %s at %s, and the host", p, fingerprint(s.ca), managerURL, managerIP)
	}
	same(t, "whitelist entries on record", p.WhitelistEntries, []string{managerIP})
}

// before reports whether the texts stand in this order.
func before(all string, texts ...string) bool {
	for _, text := range texts {
		at := strings.Index(all, text+" ")
		if at < 0 {
			return false
		}
		all = all[at:]
	}
	return true
}

// TestWhatASetChanges: from what stands to the steps that a bundle takes, the same
// in check mode, which changes nothing, and for real.
func TestWhatASetChanges(t *testing.T) {
	old, fresh := pkitest.NewKey(t, pkitest.P256), pkitest.NewKey(t, pkitest.P256)
	for _, c := range []struct {
		name string
		// stands is placed beforehand; none where it is nil.
		stands func(s *site) contract.PkiBundle
		then   func(s *site, b *contract.PkiBundle)
		change func(*options.Params)
		want   []string
	}{
		{name: "nothing there", want: []string{"create " + caFile, "create " + keyFile, "create " + certFile}},
		{
			name: "a CRL comes along", then: func(s *site, b *contract.PkiBundle) { b.CRLPEM = s.ca.CRL(s.t) },
			want: []string{"create " + caFile, "create " + crlFile, "create " + keyFile, "create " + certFile},
		},
		{
			name: "a renewal", stands: func(s *site) contract.PkiBundle { return s.bundle(pkitest.WithKey(old)) },
			want: []string{"replace " + keyFile, "replace " + certFile},
		},
		{
			name: "a renewal of the same key", stands: func(s *site) contract.PkiBundle { return s.bundle(pkitest.WithKey(fresh)) },
			want: []string{"replace " + certFile},
		},
		{
			name: "the CA's CRL stays", want: []string{"replace " + keyFile, "replace " + certFile},
			stands: func(s *site) contract.PkiBundle {
				b := s.bundle(pkitest.WithKey(old))
				b.CRLPEM = s.ca.CRL(s.t)
				return b
			},
		},
		{
			name: "another CA's CRL goes", want: []string{"remove " + crlFile, "replace " + keyFile, "replace " + certFile},
			stands: func(s *site) contract.PkiBundle {
				b := s.bundle(pkitest.WithKey(old))
				b.CRLPEM = pkitest.NewCA(s.t).CRL(s.t)
				return b
			},
		},
		{
			name: "what is no CRL stays", want: []string{"replace " + keyFile, "replace " + certFile},
			stands: func(s *site) contract.PkiBundle {
				b := s.bundle(pkitest.WithKey(old))
				b.CRLPEM = "no PEM\n"
				return b
			},
		},
		{
			name: "the set is there", stands: func(s *site) contract.PkiBundle { return s.bundle(pkitest.WithKey(fresh)) },
			then: func(s *site, b *contract.PkiBundle) { b.ServerCrt = s.read(certFile) },
		},
		{
			name: "the set is there, and its key is open", stands: func(s *site) contract.PkiBundle { return s.bundle(pkitest.WithKey(fresh)) },
			then: func(s *site, b *contract.PkiBundle) {
				b.ServerCrt = s.read(certFile)
				hosttest.Must(s.t, os.Chmod(s.Path(keyFile), 0o644))
			},
			want: []string{"set attributes of " + keyFile},
		},
		{
			name: "modes that were asked for", then: func(s *site, b *contract.PkiBundle) {},
			change: func(p *options.Params) {
				cert, key := os.FileMode(0o640), os.FileMode(0o440)
				p.CertMode, p.KeyMode = &cert, &key
			},
			want: []string{"create " + caFile + " (mode 0640", "create " + keyFile + " (mode 0440", "create " + certFile + " (mode 0640"},
		},
		{
			name:   "a text that OpenSSL reads differently encoded",
			stands: func(s *site) contract.PkiBundle { return s.bundle(pkitest.WithKey(fresh)) },
			then: func(s *site, b *contract.PkiBundle) {
				b.ServerCrt = s.read(certFile)
				s.Write(certFile, strings.ReplaceAll(s.read(certFile), "\n", "\r\n"), 0o644)
			},
			want: []string{"replace " + certFile},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.Write(listFile, "entries:\n  - "+managerIP+"\n", 0o644)
			if c.stands != nil {
				s.place(c.stands(s))
			}
			b := s.bundle(pkitest.WithKey(fresh))
			if c.then != nil {
				c.then(s, &b)
			}
			was := s.tree()
			check := s.installer(func(p *options.Params) {
				p.Check = true
				if c.change != nil {
					c.change(p)
				}
			})
			hosttest.Must(t, check.Provision(context.Background(), &b, answered()))
			s.unchanged(was)
			if len(s.events) > 0 {
				t.Errorf("got the events %q in check mode, want none", s.events)
			}
			res := s.provision(b, c.change)
			same(t, "actions in check mode", check.Result.Actions, res.Actions)
			if res.Changed != (len(c.want) > 0) || check.Result.Changed != res.Changed || len(res.Diff) != len(c.want) {
				t.Errorf("got changed %v, in check mode %v, with %d diffs; want %v and %d", res.Changed, check.Result.Changed, len(res.Diff), len(c.want) > 0, len(c.want))
			}
			for i, want := range c.want {
				if i >= len(res.Actions) || !strings.HasPrefix(res.Actions[i], want) {
					t.Errorf("got the actions %q, want %q", res.Actions, c.want)
					break
				}
			}
			if len(res.Actions) != len(c.want) {
				t.Errorf("got the actions %q, want %q", res.Actions, c.want)
			}
			// Again there is nothing to do.
			if again := s.provision(b, c.change); again.Changed || len(again.Actions) > 0 {
				t.Errorf("again: got %q, changed %v; want nothing", again.Actions, again.Changed)
			}
		})
	}
}

// TestReplacedFilesAreBackedUp: a backup of each, and of the key the last alone.
func TestReplacedFilesAreBackedUp(t *testing.T) {
	s := newSite(t)
	at := time.Now()
	s.now = func() time.Time { return at }
	first, second := s.bundle(), s.bundle()
	s.provision(first, nil)
	if res := s.provision(second, nil); len(res.BackupFiles) != 2 {
		t.Fatalf("got the backups %q, want one of the key and one of the certificate", res.BackupFiles)
	}
	at = at.Add(time.Minute)
	res := s.provision(s.bundle(), nil)
	keys, err := s.installer(nil).Files.Backups(keyFile)
	hosttest.Must(t, err)
	if len(keys) != 1 || s.read(keys[0]) != second.ServerKey || s.mode(keys[0]) != 0o600 || !slices.Contains(res.BackupFiles, keys[0]) {
		t.Errorf("got the key's backups %q of %q, want one, of the last key", keys, res.BackupFiles)
	}
	certs, err := s.installer(nil).Files.Backups(certFile)
	hosttest.Must(t, err)
	if len(certs) != 2 {
		t.Errorf("got the certificate's backups %q, want two", certs)
	}
	if p := s.installer(nil).Disk.Provenance(); !p.Owns(keys[0], statedir.Digest([]byte(second.ServerKey))) {
		t.Errorf("got a record in which the key's backup is not ours, want it ours: %+v", p.Files)
	}
	if res := s.provision(s.bundle(), func(p *options.Params) { p.Backup = false }); len(res.BackupFiles) > 0 {
		t.Errorf("without backup: got %q, want none", res.BackupFiles)
	}
}

// TestASetThatMovedMeanwhile: what was planned is looked at again under the lock.
func TestASetThatMovedMeanwhile(t *testing.T) {
	for _, c := range []struct {
		name      string
		meanwhile func(s *site)
		code      contract.Code
		want      string
	}{
		{"another CA's set came", func(s *site) { s.place(pkitest.NewCA(s.t).Issue(s.t).Bundle(s.t)) }, contract.CodeBundleInvalid, "the bundle brings another CA"},
		{"a directory stands there", func(s *site) { hosttest.Must(s.t, os.Mkdir(s.Path(keyFile), 0o755)) }, contract.CodeFilesystem, keyFile + " is a directory"},
		{"a link stands there", func(s *site) { hosttest.Must(s.t, os.Symlink("/etc/shadow", s.Path(certFile))) }, contract.CodeFilesystem, certFile + " is a symbolic link"},
		{"a FIFO stands there", func(s *site) { hosttest.Must(s.t, syscall.Mkfifo(s.Path(caFile), 0o644)) }, contract.CodeFilesystem, caFile + " is a FIFO"},
		{"the directory was opened to all", func(s *site) { hosttest.Must(s.t, os.Chmod(s.Path("/etc/linux_patch_api/certs"), 0o777)) }, contract.CodeFilesystem, "writable by others"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			in, b := s.installer(nil), s.bundle()
			c.meanwhile(s)
			certs := s.tree()
			err := in.Provision(context.Background(), &b, answered())
			failsWith(t, err, c.code, c.want)
			for name, was := range certs {
				if now := s.tree()[name]; strings.HasPrefix(name, "/etc/linux_patch_api/certs/") && now != was {
					t.Errorf("%s: got it changed (%d bytes), want it unchanged (%d bytes)", name, len(now), len(was))
				}
			}
			if in.Result.Changed || len(in.Result.Actions) > 0 || s.exists(listFile) {
				t.Errorf("got changed %v, %q; want nothing claimed, and no one let in", in.Result.Changed, in.Result.Actions)
			}
			if errors.Is(err, install.ErrKeep) && in.Disk.Provenance().CAFingerprint != "" {
				t.Errorf("got the record %+v, want it as it was: nothing was written", in.Disk.Provenance())
			}
		})
	}
}

func TestAdoptSet(t *testing.T) {
	s := newSite(t)
	b := s.bundle()
	s.place(b)
	in := s.installer(nil)
	hosttest.Must(t, in.Disk.SaveToken(statedir.Token{Token: token, ManagerURL: managerURL, Since: time.Now()}))
	hosttest.Must(t, in.AdoptSet(context.Background(), answered().IP))
	s.is(b)
	p := s.installer(nil).Disk.Provenance()
	if p.CAFingerprint != fingerprint(s.ca) || p.ManagerIP != managerIP || !p.Owns(certFile, statedir.Digest([]byte(b.ServerCrt))) || p.Owns(crlFile, "") {
		t.Errorf("got the record %+v, want the set of %s ours", p, fingerprint(s.ca))
	}
	if !in.Result.Changed || in.Result.State != contract.StateEnrolled || s.exists(stateDir+"/token") || !strings.Contains(s.read(listFile), managerIP) {
		t.Errorf("got %q, changed %v, whitelist %q; want the host enrolled, its token gone and the manager let in", in.Result.State, in.Result.Changed, s.read(listFile))
	}
}
