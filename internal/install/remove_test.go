package install_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/hosttest"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/statedir"
)

const (
	configText = "# the agent\nserver:\n  port: 12443 # as deployed\n"
	listText   = "# who may call\nentries:\n  - 198.51.100.7\n"
)

// enrolled is a host that enrollment has put everything on.
func enrolled(t *testing.T) (*site, contract.PkiBundle) {
	t.Helper()
	s := newSite(t)
	s.Write(configFile, configText, 0o640)
	s.Write(listFile, listText, 0o644)
	b := s.bundle()
	b.CRLPEM = s.ca.CRL(t)
	s.provision(b, func(p *options.Params) { p.ConfigManagerURL = true })
	s.events = nil
	return s, b
}

// TestRemovalTakesWhatEnrollmentWrote: all of it, the same in check mode, and
// nothing the second time.
func TestRemovalTakesWhatEnrollmentWrote(t *testing.T) {
	s, _ := enrolled(t)
	if !strings.Contains(s.read(configFile), managerURL) || !strings.Contains(s.read(listFile), managerIP) {
		t.Fatalf("got config.yaml %q and whitelist %q, want the manager in both", s.read(configFile), s.read(listFile))
	}
	in := s.installer(nil)
	hosttest.Must(t, in.Disk.SaveToken(statedir.Token{Token: token, ManagerURL: managerURL, Since: time.Now()}))
	s.Write(stateDir+"/rejected.20260101T000000.000000000Z", "a bundle", 0o600)
	was := s.tree()
	check := s.installer(func(p *options.Params) { p.Check = true })
	hosttest.Must(t, check.Remove(context.Background()))
	s.unchanged(was)

	in = s.installer(nil)
	hosttest.Must(t, in.Remove(context.Background()))
	for _, name := range []string{caFile, certFile, keyFile, crlFile, stateDir + "/token", stateDir + "/rejected.20260101T000000.000000000Z"} {
		if s.exists(name) {
			t.Errorf("got %s after the removal, want it gone", name)
		}
	}
	for name, want := range map[string]string{configFile: configText, listFile: listText} {
		if got := s.read(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if keys, err := in.Files.Backups(keyFile); err != nil || len(keys) > 0 {
		t.Errorf("got the key's backups %q, %v; want none", keys, err)
	}
	same(t, "actions in check mode", check.Result.Actions, in.Result.Actions)
	if res := in.Result; !res.Changed || res.State != contract.StateAbsent || !strings.Contains(res.Msg, "removed from this host; the manager still holds the host") {
		t.Errorf("got %q, changed %v: %s; want %q, changed", res.State, res.Changed, res.Msg, contract.StateAbsent)
	}
	if !check.Result.Changed || !strings.Contains(check.Result.Msg, "would be removed") {
		t.Errorf("check mode: got changed %v: %s; want it to be changed", check.Result.Changed, check.Result.Msg)
	}
	if want := []contract.Event{contract.EventWhitelistChanged, contract.EventRemoved}; !slices.Equal(s.events, want) {
		t.Errorf("got the events %q, want %q", s.events, want)
	}
	again := s.installer(nil)
	hosttest.Must(t, again.Remove(context.Background()))
	if again.Result.Changed || len(again.Result.Actions) > 0 || again.Result.Msg != "this host is not enrolled" {
		t.Errorf("again: got changed %v, %q: %s; want nothing", again.Result.Changed, again.Result.Actions, again.Result.Msg)
	}
	if p := again.Disk.Provenance(); p.Removed == nil || len(p.Files) > 0 || len(p.WhitelistEntries) > 0 {
		t.Errorf("got the record %+v, want that it was removed, and no more", p)
	}
}

// TestRemovalLeavesWhatIsNotOurs: byte for byte.
func TestRemovalLeavesWhatIsNotOurs(t *testing.T) {
	for _, c := range []struct {
		name string
		// edit is what someone did since.
		edit func(s *site)
		// stays is left as it is, with a warning; the rest goes.
		stays string
	}{
		{"one byte more", func(s *site) { s.Write(certFile, s.read(certFile)+"\n", 0o644) }, certFile},
		{"another key", func(s *site) { s.Write(keyFile, pkitest.NewCA(s.t).KeyPEM(s.t), 0o600) }, keyFile},
		{"another CA", func(s *site) { s.Write(caFile, pkitest.NewCA(s.t).PEM(), 0o644) }, caFile},
		{"a CRL by hand", func(s *site) { s.Write(crlFile, pkitest.NewCA(s.t).CRL(s.t), 0o644) }, crlFile},
		{"line ends", func(s *site) { s.Write(caFile, strings.ReplaceAll(s.read(caFile), "\n", "\r\n"), 0o644) }, caFile},
		{"an empty file", func(s *site) { s.Write(caFile, "", 0o644) }, caFile},
		{"another mode alone", func(s *site) { hosttest.Must(s.t, os.Chmod(s.Path(certFile), 0o600)) }, ""},
		{"a file gone", func(s *site) { hosttest.Must(s.t, os.Remove(s.Path(crlFile))) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := enrolled(t)
			c.edit(s)
			was := ""
			if c.stays != "" {
				was = s.read(c.stays)
			}
			in := s.installer(nil)
			hosttest.Must(t, in.Remove(context.Background()))
			for _, name := range []string{caFile, certFile, keyFile, crlFile} {
				if got := s.exists(name); got != (name == c.stays) {
					t.Errorf("%s: got it there: %v, want %v", name, got, name == c.stays)
				}
			}
			if c.stays == "" {
				if len(in.Result.Warnings) > 0 {
					t.Errorf("got the warnings %q, want none", in.Result.Warnings)
				}
				return
			}
			if got := s.read(c.stays); got != was {
				t.Errorf("got %q, want %q", got, was)
			}
			warns(t, in.Result, c.stays+" stays: enrollment did not write what is in it")
		})
	}
}

// TestAKeysBackupThatIsNotOnRecordYetGoesToo: the run that made it was killed.
func TestAKeysBackupThatIsNotOnRecordYetGoesToo(t *testing.T) {
	s, first := enrolled(t)
	s.provision(s.bundle(), nil)
	backups, err := s.installer(nil).Files.Backups(keyFile)
	if err != nil || len(backups) != 1 {
		t.Fatalf("got the backups %q, %v; want one", backups, err)
	}
	hosttest.Must(t, s.installer(nil).Disk.Remember(func(p *statedir.Provenance) {
		p.Files = slices.DeleteFunc(slices.Clone(p.Files), func(f statedir.Placed) bool { return f.Path == backups[0] })
		p.Place(keyFile, statedir.Digest([]byte(first.ServerKey)))
	}))
	hosttest.Must(t, s.installer(nil).Remove(context.Background()))
	if s.exists(backups[0]) {
		t.Errorf("got %s after the removal, want it gone", backups[0])
	}
}

func TestRemovalOfAHostThatWasNeverEnrolled(t *testing.T) {
	s := newSite(t)
	s.place(s.bundle())
	s.Write(listFile, "entries: [192.0.2.1]\n", 0o644)
	s.Write(configFile, "enrollment:\n  manager_url: "+managerURL+"\n", 0o640)
	was := s.tree()
	in := s.installer(nil)
	hosttest.Must(t, in.Remove(context.Background()))
	s.unchanged(was)
	if in.Result.Changed || len(s.events) > 0 || in.LeftAnything() {
		t.Errorf("got changed %v with %q, want nothing done", in.Result.Changed, in.Result.Actions)
	}
	warns(t, in.Result, keyFile+" stays")
}

// TestRemovalThatCannotBeDone: it fails before anything is removed, and claims
// nothing.
func TestRemovalThatCannotBeDone(t *testing.T) {
	for _, c := range []struct {
		name  string
		there func(s *site)
		code  contract.Code
		want  string
	}{
		{"the whitelist cannot be read", func(s *site) { s.Write(listFile, "entries: [\n", 0o644) }, contract.CodeWhitelist, listFile},
		{"the whitelist cannot be edited", func(s *site) { s.Write(listFile, "x: &l [192.0.2.1]\nentries: *l\n", 0o644) }, contract.CodeWhitelist, "by hand"},
		{"the whitelist is locked", func(s *site) { s.hold(listFile + ".lock") }, contract.CodeLocked, listFile + ".lock"},
		{"the whitelist is a directory", func(s *site) {
			hosttest.Must(s.t, os.Remove(s.Path(listFile)))
			hosttest.Must(s.t, os.Mkdir(s.Path(listFile), 0o755))
		}, contract.CodeFilesystem, "is a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, b := enrolled(t)
			c.there(s)
			in := s.installer(nil)
			failsWith(t, in.Remove(context.Background()), c.code, c.want)
			s.is(b)
			if in.Result.Changed || len(in.Result.Actions) > 0 || len(in.Result.Diff) > 0 {
				t.Errorf("got changed %v, %q; want nothing claimed", in.Result.Changed, in.Result.Actions)
			}
			if p := s.installer(nil).Disk.Provenance(); len(p.Files) == 0 || len(p.WhitelistEntries) == 0 {
				t.Errorf("got the record %+v, want all that is still to be removed", p)
			}
		})
	}
}

// TestRemovalOfFilesWhereConfigNoLongerPoints: the record says where they are.
func TestRemovalOfFilesWhereConfigNoLongerPoints(t *testing.T) {
	const moved = "tls:\n  ca_cert: /srv/pki/ca.pem\n  server_cert: /srv/pki/server.pem\n  server_key: /srv/pki/server.key.pem\n  crl_path: /srv/pki/crl.pem\n"
	s, _ := enrolled(t)
	s.Write(configFile, moved, 0o640)
	in := s.installer(nil)
	hosttest.Must(t, in.Remove(context.Background()))
	for _, name := range []string{caFile, certFile, keyFile, crlFile} {
		if s.exists(name) {
			t.Errorf("got %s after the removal, want it gone", name)
		}
	}

	s, b := enrolled(t)
	s.Write(configFile, moved, 0o640)
	hosttest.Must(t, os.Chmod(s.Path("/etc/linux_patch_api/certs"), 0o777))
	failsWith(t, s.installer(nil).Remove(context.Background()), contract.CodeFilesystem, "writable by others", "nothing was removed yet")
	s.is(b)

	s, b = enrolled(t)
	s.Write(configFile, moved, 0o640)
	hosttest.Must(t, os.Remove(s.Path(keyFile)))
	hosttest.Must(t, os.Symlink("/etc/shadow", s.Path(keyFile)))
	in = s.installer(nil)
	failsWith(t, in.Remove(context.Background()), contract.CodeFilesystem, keyFile, "is a symbolic link", "nothing was removed yet")
	if s.read(certFile) != b.ServerCrt || in.Result.Changed {
		t.Errorf("got %q, changed %v; want nothing removed", s.read(certFile), in.Result.Changed)
	}
}

// TestAFileReplacedDuringTheRemovalStays: and is not told to be gone.
func TestAFileReplacedDuringTheRemovalStays(t *testing.T) {
	s, _ := enrolled(t)
	other := pkitest.NewCA(t).PEM()
	s.during = func(e contract.Event) {
		if e == contract.EventWhitelistChanged {
			s.Write(caFile, other, 0o644)
		}
	}
	in := s.installer(nil)
	hosttest.Must(t, in.Remove(context.Background()))
	if got := s.read(caFile); got != other {
		t.Errorf("got %q, want %q", got, other)
	}
	if got := strings.Join(in.Result.Actions, "\n"); strings.Contains(got, "remove "+caFile) || !strings.Contains(got, "remove "+certFile) {
		t.Errorf("got the actions %q, want the certificate removed and the CA not", got)
	}
	warns(t, in.Result, caFile+" stays")
}

// TestRemovalOfARequest: the token goes, from config.yaml too, and the message
// says what the manager still holds.
func TestRemovalOfARequest(t *testing.T) {
	s := newSite(t)
	s.Write(configFile, configText, 0o640)
	in := s.installer(nil)
	hosttest.Must(t, in.Disk.SaveToken(statedir.Token{Token: token, ManagerURL: managerURL, Since: time.Now()}))
	hosttest.Must(t, in.MirrorToken(context.Background(), token))
	if !strings.Contains(s.read(configFile), token) {
		t.Fatalf("got %q, want the token in it", s.read(configFile))
	}
	check := s.installer(func(p *options.Params) { p.Check = true })
	hosttest.Must(t, check.Remove(context.Background()))
	in = s.installer(nil)
	if !in.LeftAnything() {
		t.Error("got nothing left, want the token to be removed")
	}
	hosttest.Must(t, in.Remove(context.Background()))
	same(t, "actions in check mode", check.Result.Actions, in.Result.Actions)
	if got := s.read(configFile); got != configText || s.exists(stateDir+"/token") {
		t.Errorf("got config.yaml %q, token there %v; want %q and none", got, s.exists(stateDir+"/token"), configText)
	}
	if !strings.Contains(in.Result.Msg, "the manager still holds the enrollment request") {
		t.Errorf("got %q, want what the manager still holds", in.Result.Msg)
	}
}
