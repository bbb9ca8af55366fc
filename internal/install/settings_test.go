package install_test

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/hosttest"
	"github.com/linux-patch/enroll/internal/install"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/statedir"
)

func url(p *options.Params) { p.ConfigManagerURL = true }

// TestTheManagersURLInConfig: written where none is named, and nowhere else.
func TestTheManagersURLInConfig(t *testing.T) {
	const other = "enrollment:\n  manager_url: https://other.corp.test\n"
	for _, c := range []struct {
		name, text string
		want       string // "" where it stays
		warning    string
		change     func(*options.Params)
	}{
		{name: "no section", text: configText, want: configText + "enrollment: # added by enrollment\n  manager_url: \"" + managerURL + "\" # added by enrollment\n"},
		{name: "an example's", text: "enrollment:\n  manager_url: https://manager.example.com\n", want: "enrollment:\n  manager_url: \"" + managerURL + "\" # added by enrollment; was: https://manager.example.com\n"},
		{name: "another manager's stays", text: other},
		{name: "it is there", text: "enrollment:\n  manager_url: " + managerURL + "\n"},
		{name: "not wanted", text: configText, change: func(p *options.Params) { p.ConfigManagerURL = false }},
		{name: "in a form that is not edited", text: "x: &e {polling_interval_seconds: 5}\nenrollment: *e\n", warning: "enrollment.manager_url was not written to " + configFile},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.Write(configFile, c.text, 0o640)
			set := func(p *options.Params) {
				if url(p); c.change != nil {
					c.change(p)
				}
			}
			b, was := s.bundle(), s.tree()
			check := s.installer(func(p *options.Params) { set(p); p.Check = true })
			hosttest.Must(t, check.Provision(context.Background(), &b, answered()))
			s.unchanged(was)
			res := s.provision(b, set)
			same(t, "actions in check mode", check.Result.Actions, res.Actions)
			got, changed := s.read(configFile), slices.ContainsFunc(res.Actions, func(a string) bool { return strings.Contains(a, configFile) })
			if c.want == "" && (got != c.text || changed) || c.want != "" && (!strings.Contains(got, managerURL) || !changed || s.mode(configFile) != 0o640) {
				t.Errorf("got %q with %q, want %q", got, res.Actions, c.want)
			}
			if warns(t, res, c.warning); c.warning == "" && len(res.Warnings) > 0 {
				t.Errorf("got the warnings %q, want none", res.Warnings)
			}
			// The removal takes back what was written, byte for byte.
			hosttest.Must(t, s.installer(set).Remove(context.Background()))
			if got := s.read(configFile); got != c.text {
				t.Errorf("after the removal: got %q, want %q", got, c.text)
			}
		})
	}
}

func TestNoConfigIsMade(t *testing.T) {
	s := newSite(t)
	s.provision(s.bundle(), url)
	if s.exists(configFile) {
		t.Errorf("got %q, want no config.yaml", s.read(configFile))
	}
}

// TestAURLThatSomeoneChangedSinceStays: also where the file was moved, or cannot
// be read.
func TestAURLThatSomeoneChangedSinceStays(t *testing.T) {
	s := newSite(t)
	s.Write(configFile, configText, 0o640)
	s.provision(s.bundle(), url)
	text := strings.ReplaceAll(s.read(configFile), managerURL, "https://other.corp.test")
	s.Write(configFile, text, 0o640)
	hosttest.Must(t, s.installer(url).Remove(context.Background()))
	if got := s.read(configFile); got != text {
		t.Errorf("got %q, want %q", got, text)
	}

	const moved = "/etc/linux_patch_api/moved.yaml"
	s = newSite(t)
	s.Write(configFile, configText, 0o640)
	s.provision(s.bundle(), url)
	s.Write(moved, configText, 0o640)
	hosttest.Must(t, os.Remove(s.Path(configFile)))
	hosttest.Must(t, os.Mkdir(s.Path(configFile), 0o755))
	in := s.installer(func(p *options.Params) { url(p); p.ConfigPath = moved })
	hosttest.Must(t, in.Remove(context.Background()))
	warns(t, in.Result, "enrollment.manager_url stays in "+configFile)
}

// TestTheTokensCopyInConfig: only where no one else may read it, and without a
// trace when it is taken out again.
func TestTheTokensCopyInConfig(t *testing.T) {
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		storage    string
		copied     bool
		warning    string
	}{
		{"closed", configText, 0o640, options.TokenInConfig, true, ""},
		{"closed to the group", configText, 0o600, options.TokenInConfig, true, ""},
		{"open to read", configText, 0o644, options.TokenInConfig, false, "others can read that file (mode 0644)"},
		{"in state_dir alone", configText, 0o640, options.TokenInStateDir, false, ""},
		{"in a form that is not edited", "x: &e {polling_interval_seconds: 5}\nenrollment: *e\n", 0o640, options.TokenInConfig, false, "was not copied"},
		{"CRLF", strings.ReplaceAll(configText, "\n", "\r\n"), 0o640, options.TokenInConfig, true, ""},
		{"an empty value", configText + "enrollment:\n  polling_token: \"\"\n", 0o640, options.TokenInConfig, true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.Write(configFile, c.text, c.mode)
			was := s.tree()
			storage := func(p *options.Params) { p.TokenStorage = c.storage }
			foreseen := s.installer(func(p *options.Params) { storage(p); p.Check = true })
			if got := foreseen.ForeseeMirror(); got != c.copied {
				t.Errorf("check mode: got copied %v, want %v", got, c.copied)
			}
			s.unchanged(was)
			in := s.installer(storage)
			hosttest.Must(t, in.MirrorToken(context.Background(), token))
			same(t, "actions in check mode", foreseen.Result.Actions, in.Result.Actions)
			if in.Result.Changed != c.copied || foreseen.Result.Changed != c.copied {
				t.Errorf("got changed %v, in check mode %v; want %v", in.Result.Changed, foreseen.Result.Changed, c.copied)
			}
			if got := strings.Contains(s.read(configFile), token); got != c.copied {
				t.Errorf("got it copied: %v, want %v", got, c.copied)
			}
			if warns(t, in.Result, c.warning); c.warning == "" && len(in.Result.Warnings) > 0 {
				t.Errorf("got the warnings %q, want none", in.Result.Warnings)
			}
			if got := s.mode(configFile); got != c.mode {
				t.Errorf("got mode %04o, want %04o", got, c.mode)
			}
			if backups, err := in.Files.Backups(configFile); err != nil || len(backups) > 0 {
				t.Errorf("got the backups %q, %v; want none of a file with the token", backups, err)
			}
			res := s.provision(s.bundle(), storage)
			if got := s.read(configFile); got != c.text {
				t.Errorf("after the enrollment: got %q, want %q", got, c.text)
			}
			if got := strings.Contains(strings.Join(res.Actions, "\n"), "take the polling token out of "+configFile); got != c.copied {
				t.Errorf("got the actions %q, want the token taken out: %v", res.Actions, c.copied)
			}
		})
	}
}

// TestATokenThatIsTakenOutIsAChange: also where a killed run had put all else in
// place.
func TestATokenThatIsTakenOutIsAChange(t *testing.T) {
	s := newSite(t)
	b := s.bundle()
	s.Write(configFile, configText, 0o640)
	s.provision(b, nil)
	s.Write(configFile, configText+"enrollment:\n  polling_token: "+token+"\n", 0o640)
	for _, check := range []bool{true, false} {
		in := s.installer(func(p *options.Params) { p.Check = check })
		hosttest.Must(t, in.Provision(context.Background(), &b, answered()))
		same(t, "actions", in.Result.Actions, []string{"take the polling token out of " + configFile})
		if !in.Result.Changed {
			t.Errorf("check mode %v: got it unchanged, want changed", check)
		}
	}
	if got := s.read(configFile); strings.Contains(got, token) {
		t.Errorf("got %d bytes with the token, want it taken out", len(got))
	}
}

// TestPreflight: what would make an approved bundle useless is found before, and
// leaves nothing behind; check mode finds it too, and makes no directory.
func TestPreflight(t *testing.T) {
	year := func(y int) func() time.Time {
		return func() time.Time { return time.Date(y, 6, 1, 0, 0, 0, 0, time.UTC) }
	}
	for _, c := range []struct {
		name    string
		there   func(s *site)
		proxied bool
		change  func(*options.Params)
		code    contract.Code
		want    string
	}{
		{name: "a host with nothing", there: func(s *site) { hosttest.Must(s.t, os.RemoveAll(s.Path("/etc/linux_patch_api"))) }},
		{name: "a clock before this program", there: func(s *site) { s.now = year(2024) }, code: contract.CodeIdentity, want: "2024-06-01"},
		{name: "a clock far ahead", there: func(s *site) { s.now = year(2099) }},
		{name: "through a proxy", proxied: true, code: contract.CodeInvalidArgument, want: "manager_ip"},
		{name: "through a proxy, with the address", proxied: true, change: func(p *options.Params) { p.ManagerIP = managerIP }},
		{name: "through a proxy, no whitelist", proxied: true, change: func(p *options.Params) { p.WhitelistManager = false }},
		{name: "a file above", there: func(s *site) {
			hosttest.Must(s.t, os.RemoveAll(s.Path("/etc/linux_patch_api/certs")))
			s.Write("/etc/linux_patch_api/certs", "", 0o644)
		}, code: contract.CodeFilesystem, want: "not a directory"},
		{name: "a directory that others may write", there: func(s *site) { hosttest.Must(s.t, os.Chmod(s.Path("/etc/linux_patch_api/certs"), 0o777)) },
			code: contract.CodeFilesystem, want: "writable by others"},
		{name: "a directory where the spool is to be", there: func(s *site) { hosttest.Must(s.t, os.Mkdir(s.Path(stateDir+"/proof"), 0o700)) },
			code: contract.CodeFilesystem, want: "proof is a directory"},
		{name: "a state directory that others may write", there: func(s *site) { hosttest.Must(s.t, os.Chmod(s.Path(stateDir), 0o777)) },
			code: contract.CodeFilesystem, want: "writable by others"},
		{name: "a repository, and no APT", change: func(p *options.Params) { p.RepoConfigManage = true }},
		{name: "a repository beside a file", there: func(s *site) { s.Write("/etc/apt/keyrings", "", 0o644) },
			change: func(p *options.Params) { p.RepoConfigManage = true }, code: contract.CodeFilesystem, want: "/etc/apt/keyrings"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			var made []string
			in := s.installer(c.change)
			if c.there != nil {
				c.there(s)
			}
			in.Now = s.now
			for _, check := range []bool{true, false} {
				in.Check = check
				was := s.tree()
				err := in.Preflight(context.Background(), c.proxied)
				if c.code == "" {
					hosttest.Must(t, err)
				} else {
					failsWith(t, err, c.code, c.want)
				}
				if check {
					s.unchanged(was)
				}
				for name, now := range s.tree() {
					if _, ok := was[name]; !ok && !strings.HasPrefix(now, "d") {
						made = append(made, name)
					}
				}
			}
			same(t, "files left behind", made, nil)
		})
	}
}

// TestPreflightMirror: the copy of the token is given up where it could not be
// made, and is an error where one has to be taken out at the end.
func TestPreflightMirror(t *testing.T) {
	s := newSite(t)
	s.Write(configFile, configText, 0o640)
	s.hold(configFile + ".lock")
	in := s.installer(nil)
	hosttest.Must(t, in.Preflight(context.Background(), false))
	warns(t, in.Result, "the polling token is not copied to "+configFile)
	hosttest.Must(t, in.MirrorToken(context.Background(), token))
	if got := s.read(configFile); got != configText {
		t.Errorf("got %q, want %q", got, configText)
	}
}

func TestOwnersThatWereAskedFor(t *testing.T) {
	needRoot(t)
	s := newSite(t)
	owned := func(p *options.Params) { p.Owner, p.Group = "65534", "65533" }
	b := s.bundle()
	s.provision(b, owned)
	files := s.installer(owned).Files
	for _, name := range []string{caFile, certFile, keyFile} {
		if f, err := files.Stat(name); err != nil || f.UID != 65534 || f.GID != 65533 {
			t.Errorf("%s: got owner %d, group %d, %v; want 65534 and 65533", name, f.UID, f.GID, err)
		}
	}
	// Without the options an owner stays.
	if res := s.provision(b, nil); res.Changed {
		t.Errorf("got %q, want the owners left as they are", res.Actions)
	}
	hosttest.Must(t, os.Chown(s.Path(keyFile), 0, 0))
	in := s.installer(owned)
	hosttest.Must(t, in.Converge(context.Background()))
	want := "set attributes of " + keyFile + ": mode 0600, owner 0, group 0 to mode 0600, owner 65534, group 65533"
	same(t, "repairs", in.Result.Actions, []string{want})
}

// TestConvergeRepairsAroundAGoodSet: what stands around it, and not the set.
func TestConvergeRepairsAroundAGoodSet(t *testing.T) {
	for _, c := range []struct {
		name   string
		wrong  func(s *site)
		change func(*options.Params)
		want   []string
	}{
		{name: "nothing wrong", wrong: func(*site) {}},
		{name: "an open key", wrong: func(s *site) { hosttest.Must(s.t, os.Chmod(s.Path(keyFile), 0o666)) }, want: []string{"set attributes of " + keyFile}},
		{name: "a key that its group may read stays so", wrong: func(s *site) { hosttest.Must(s.t, os.Chmod(s.Path(keyFile), 0o640)) }},
		{name: "an open certificate", wrong: func(s *site) { hosttest.Must(s.t, os.Chmod(s.Path(certFile), 0o666)) }, want: []string{"set attributes of " + certFile}},
		{name: "the whitelist is gone", wrong: func(s *site) { hosttest.Must(s.t, os.Remove(s.Path(listFile))) }, want: []string{"create " + listFile}},
		{name: "the whitelist is empty", wrong: func(s *site) { s.Write(listFile, "entries: []\n", 0o644) }, want: []string{"replace " + listFile}},
		{name: "the whitelist, registering alone", wrong: func(s *site) { s.Write(listFile, "entries: []\n", 0o644) },
			change: func(p *options.Params) { p.State = "registered" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			b := s.bundle()
			s.provision(b, nil)
			c.wrong(s)
			was := s.tree()
			check := s.installer(func(p *options.Params) {
				if p.Check = true; c.change != nil {
					c.change(p)
				}
			})
			hosttest.Must(t, check.Converge(context.Background()))
			s.unchanged(was)
			in := s.installer(c.change)
			hosttest.Must(t, in.Converge(context.Background()))
			same(t, "actions in check mode", check.Result.Actions, in.Result.Actions)
			if len(in.Result.Actions) != len(c.want) || len(c.want) > 0 && !strings.HasPrefix(in.Result.Actions[0], c.want[0]) || in.Result.Changed != (len(c.want) > 0) {
				t.Errorf("got %q, changed %v; want %q", in.Result.Actions, in.Result.Changed, c.want)
			}
			s.is(b)
			if !strings.HasPrefix(in.Result.Msg, "this host is enrolled; its certificate is valid until ") {
				t.Errorf("got %q, want until when the certificate is valid", in.Result.Msg)
			}
			again := s.installer(c.change)
			hosttest.Must(t, again.Converge(context.Background()))
			if again.Result.Changed {
				t.Errorf("again: got %q, want nothing", again.Result.Actions)
			}
		})
	}
}

// TestASetThatVanishesWhileItsSurroundingsAreRepaired ends no run in a panic.
func TestASetThatVanishesWhileItsSurroundingsAreRepaired(t *testing.T) {
	s := newSite(t)
	s.provision(s.bundle(), nil)
	hosttest.Must(t, os.Remove(s.Path(listFile)))
	s.during = func(contract.Event) { hosttest.Must(t, os.Remove(s.Path(certFile))) }
	in := s.installer(nil)
	hosttest.Must(t, in.Converge(context.Background()))
	if !in.Result.Changed || in.Disk.Set != nil {
		t.Errorf("got changed %v, a set %v; want the whitelist repaired and no set seen", in.Result.Changed, in.Disk.Set)
	}
}

// TestWhatAnApprovalWouldChange: all of it, and the files that only the manager
// knows as such.
func TestWhatAnApprovalWouldChange(t *testing.T) {
	for _, c := range []struct {
		name   string
		there  func(s *site)
		change func(*options.Params)
		state  contract.State
		want   []string
	}{
		{"a new host", func(*site) {}, nil, contract.StatePending,
			[]string{"create " + caFile, "create " + keyFile, "create " + certFile, "let the manager in: " + listFile}},
		{"a set is there", func(s *site) { s.place(s.bundle()) }, func(p *options.Params) { p.ManagerIP = managerIP }, contract.StatePending,
			[]string{"replace " + caFile, "replace " + keyFile, "replace " + certFile, "create " + listFile}},
		{"registering alone", func(s *site) { s.Write(configFile, configText, 0o640) }, func(p *options.Params) { p.State = "registered" }, contract.StateRegistered,
			[]string{"copy the polling token to " + configFile}},
		{"config.yaml", func(s *site) { s.Write(configFile, configText, 0o640) }, func(p *options.Params) { url(p); p.WhitelistManager = false }, contract.StatePending,
			[]string{"copy the polling token to " + configFile, "create " + caFile, "create " + keyFile, "create " + certFile, "replace " + configFile, "take the polling token out of " + configFile}},
		{"the manager is let in", func(s *site) { s.Write(listFile, "entries: [192.0.2.1]\n", 0o644) }, func(p *options.Params) { p.ManagerIP = managerIP }, contract.StatePending,
			[]string{"create " + caFile, "create " + keyFile, "create " + certFile}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			c.there(s)
			was := s.tree()
			in := s.installer(func(p *options.Params) {
				if p.Check = true; c.change != nil {
					c.change(p)
				}
			})
			hosttest.Must(t, in.ForeseeApproval(context.Background()))
			s.unchanged(was)
			if !in.Result.Changed || in.Result.State != c.state {
				t.Errorf("got changed %v, %q; want %q", in.Result.Changed, in.Result.State, c.state)
			}
			for i, want := range c.want {
				if len(in.Result.Actions) != len(c.want) || !strings.HasPrefix(in.Result.Actions[i], want) {
					t.Errorf("got the actions %q, want %q", in.Result.Actions, c.want)
					break
				}
			}
			for _, d := range in.Result.Diff {
				if strings.HasSuffix(d.AfterHeader, ".pem") && !strings.Contains(d.After, "to be issued by https://") {
					t.Errorf("got the diff %q, want who is to issue %s", d.After, d.AfterHeader)
				}
			}
		})
	}
}

// TestAnotherManagerIsForeseen: what the record says is of the one before it.
func TestAnotherManagerIsForeseen(t *testing.T) {
	const next = "https://next.corp.test"
	s := newSite(t)
	s.Write(configFile, configText, 0o640)
	s.Write(listFile, "x: &l [198.51.100.1]\nentries: *l\n", 0o644)
	old := s.bundle()
	hosttest.Must(t, s.installer(nil).Provision(context.Background(), &old, install.SourceOf(statedir.Answer{URL: managerURL, PeerIP: "198.51.100.1"})))
	asked := func(p *options.Params) { p.ManagerURL, p.ConfigManagerURL, p.Force, p.Check = next, true, true, true }
	in := s.installer(asked)
	hosttest.Must(t, in.ForeseeApproval(context.Background()))
	warns(t, in.Result, "the line that would be added to "+listFile+" is not known")
	if got := in.Result.Diff[len(in.Result.Diff)-1].After; !strings.Contains(got, next) {
		t.Errorf("got %q, want %s in it", got, next)
	}
	// The old manager's address being covered says nothing of the next one's.
	in = s.installer(func(p *options.Params) { asked(p); p.Check = false })
	in.LookupIP = func(context.Context, string, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("192.0.2.2")}, nil
	}
	failsWith(t, in.Preflight(context.Background(), false), contract.CodeWhitelist, listFile, "by hand")

	// Check mode and the run tell the same of a bundle of the next one's, whose
	// address is not known: that of the one before it is not taken for it.
	s.Write(listFile, "entries: [198.51.100.1]\n", 0o644)
	b, from := s.bundle(), install.SourceOf(statedir.Answer{URL: next})
	check := s.installer(asked)
	hosttest.Must(t, check.Provision(context.Background(), &b, from))
	in = s.installer(func(p *options.Params) { asked(p); p.Check = false })
	hosttest.Must(t, in.Provision(context.Background(), &b, from))
	same(t, "actions in check mode", check.Result.Actions, in.Result.Actions)
	if got, want := in.Result.Diff[len(in.Result.Diff)-1], check.Result.Diff[len(check.Result.Diff)-1]; got != want || !strings.Contains(got.After, next) {
		t.Errorf("got the diff %q, want that of check mode, %q, with %s", got.After, want.After, next)
	}
	if p := s.installer(nil).Disk.Provenance(); p.ManagerURL != next || p.ManagerIP != "" {
		t.Errorf("got the manager %s at %q on record, want %s and no address", p.ManagerURL, p.ManagerIP, next)
	}
}

// TestAPendingRequestIsForeseen with what an approver compares.
func TestAPendingRequestIsForeseen(t *testing.T) {
	s := newSite(t)
	in := s.installer(func(p *options.Params) { p.Check = true })
	hosttest.Must(t, in.Disk.SaveToken(statedir.Token{Token: token, ManagerURL: managerURL, MachineID: "other", FQDN: pkitest.DefaultFQDN, Since: s.now().Add(-21 * time.Hour)}))
	hosttest.Must(t, in.ForeseeApproval(context.Background()))
	if in.Result.PendingSince == "" || in.Result.MachineID != "other" {
		t.Errorf("got pending since %q of %q, want the request's", in.Result.PendingSince, in.Result.MachineID)
	}
	warns(t, in.Result, "managers forget a request after 24 h")
}

// TestTheRepositoryOfABundle: put in place where it is wanted and good, else a
// warning; the certificates are put in place either way.
func TestTheRepositoryOfABundle(t *testing.T) {
	raw, err := os.ReadFile("../aptrepo/testdata/key.asc")
	hosttest.Must(t, err)
	const keyring, sources = "/etc/apt/keyrings/linux-patch-enroll.gpg", "/etc/apt/sources.list.d/linux-patch-enroll.sources"
	good := contract.RepoConfig{GPGPublicKey: string(raw), SourcesConfig: "deb https://repo.example.com/apt bookworm main\n"}
	with := func(change func(*contract.RepoConfig)) *contract.RepoConfig { r := good; change(&r); return &r }
	wanted := func(p *options.Params) {
		p.RepoConfigManage, p.RepoKeyFingerprint = true, "139008F917E42A8DCB91D29E4BAD340C21DC7652"
	}
	for _, c := range []struct {
		name    string
		repo    *contract.RepoConfig
		noAPT   bool
		change  func(*options.Params)
		put     bool
		warning string
	}{
		{"good", &good, false, wanted, true, ""},
		{"an option of it left out", with(func(r *contract.RepoConfig) {
			r.SourcesConfig = "deb [trusted=yes] https://repo.example.com/apt bookworm main\n"
		}), false, wanted, true, "left out of the package repository that the bundle names: trusted"},
		{"not wanted", &good, false, nil, false, "is not installed here"},
		{"none comes", nil, false, wanted, false, "the bundle names no package repository"},
		{"another key", &good, false, func(p *options.Params) { wanted(p); p.RepoKeyFingerprint = strings.Repeat("ab", 20) }, false, "gpg_public_key"},
		{"no key", with(func(r *contract.RepoConfig) { r.GPGPublicKey = "" }), false, wanted, false, "gpg_public_key"},
		{"http", with(func(r *contract.RepoConfig) { r.SourcesConfig = "deb http://repo.example.com/apt bookworm main\n" }), false, wanted, false, "sources_config"},
		{"no APT", &good, true, wanted, false, "this host seems to have no APT"},
		{"a directory that APT cannot read", &good, false, func(p *options.Params) { wanted(p); p.RepoDirectory = "/etc/apt [x]" }, false, "characters that APT cannot read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			if !c.noAPT {
				s.Write("/etc/apt/sources.list", "", 0o644)
				s.Write("/etc/apt [x]/sources.list", "", 0o644)
			}
			b := s.bundle()
			b.Repo = c.repo
			was := s.tree()
			check := s.installer(func(p *options.Params) {
				if p.Check = true; c.change != nil {
					c.change(p)
				}
			})
			hosttest.Must(t, check.Provision(context.Background(), &b, answered()))
			s.unchanged(was)
			res := s.provision(b, c.change)
			same(t, "actions in check mode", check.Result.Actions, res.Actions)
			if warns(t, res, c.warning); c.warning == "" && len(res.Warnings) > 0 {
				t.Errorf("got the warnings %q, want none", res.Warnings)
			}
			if s.exists(keyring) != c.put || s.exists(sources) != c.put || !s.exists(certFile) {
				t.Errorf("got the keyring %v, the sources %v, the certificate %v; want %v, %v, true", s.exists(keyring), s.exists(sources), s.exists(certFile), c.put, c.put)
			}
			if again := s.provision(b, c.change); again.Changed {
				t.Errorf("again: got %q, want nothing", again.Actions)
			}
			if c.put && !strings.Contains(s.read(sources), "Signed-By: "+keyring) {
				t.Errorf("got %q, want it signed by %s", s.read(sources), keyring)
			}
			hosttest.Must(t, s.installer(c.change).Remove(context.Background()))
			if s.exists(keyring) || s.exists(sources) {
				t.Error("got the repository after the removal, want it gone")
			}
		})
	}
}

// TestFilesOfAnotherUser: where they are not to be changed, a run says so before
// the manager is asked.
func TestFilesOfAnotherUser(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Run("as root the owner stays", func(t *testing.T) {
			s := newSite(t)
			s.provision(s.bundle(), nil)
			hosttest.Must(t, os.Chown(s.Path(certFile), 65534, 65534))
			b := s.bundle()
			hosttest.Must(t, s.installer(nil).Provision(context.Background(), &b, answered()))
			if f, err := s.installer(nil).Files.Stat(certFile); err != nil || f.UID != 65534 {
				t.Errorf("got owner %d, %v; want 65534", f.UID, err)
			}
		})
	}
	s := newSite(t)
	in := s.installer(func(p *options.Params) { p.Check = true })
	in.Accounts, in.UID = ordinary{}, 0
	failsWith(t, in.PreflightFiles(), contract.CodeFilesystem, "cannot give files", "run with become")
}

// ordinary is a user who is not root.
type ordinary struct{ options.HostAccounts }

func (ordinary) Self() (uid, gid int) { return 4711, 4711 }

func (ordinary) MayGive(int, int) error {
	return contract.Errorf(contract.CodeFilesystem, "user 4711 cannot give files to user 0")
}

var _ options.Accounts = ordinary{}

// TestNoKeyInAResult: neither a diff nor a message holds one.
func TestNoKeyInAResult(t *testing.T) {
	s := newSite(t)
	s.Write(configFile, "enrollment:\n  polling_token: "+token+"\n", 0o600)
	first, second := s.bundle(), s.bundle()
	for _, b := range []contract.PkiBundle{first, second} {
		res := s.provision(b, url)
		var all strings.Builder
		for _, d := range res.Diff {
			all.WriteString(d.Before + d.After + d.BeforeHeader + d.AfterHeader)
		}
		all.WriteString(strings.Join(slices.Concat(res.Actions, res.Warnings, []string{res.Msg}), "\n"))
		key := strings.Split(first.ServerKey, "\n")[1]
		for name, secret := range map[string]string{"a key": key, "a key's PEM": "PRIVATE KEY-----", "the token": token} {
			if strings.Contains(all.String(), secret) {
				t.Errorf("got %s in the result, want none", name)
			}
		}
	}
}
