package observe_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/hosttest"
	"github.com/linux-patch/enroll/internal/observe"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/statedir"
	"github.com/linux-patch/enroll/internal/whitelist"
)

func fingerprint(ca *pkitest.CA) string { return pki.Fingerprint(ca.Cert.Raw) }

// TestWhoseASetIs: what makes a valid set that stands there this host's
// enrollment, and what does not.
func TestWhoseASetIs(t *testing.T) {
	b := func(s *site) contract.PkiBundle { return s.ca.Issue(s.t).Bundle(s.t) }
	for _, c := range []struct {
		name   string
		there  func(s *site)
		change func(*options.Params)
		caNot  bool // name the CA's fingerprint by option
		want   string
	}{
		{name: "none", there: func(*site) {}},
		{name: "placed by hand", there: func(s *site) { s.place(b(s)) }, want: "was not put there by enrollment"},
		{name: "one that cannot serve", there: func(s *site) { x := b(s); x.ServerKey = s.ca.KeyPEM(s.t); s.place(x) }},
		{name: "the record knows its CA", there: func(s *site) {
			s.place(b(s))
			s.remember(func(p *statedir.Provenance) { p.CAFingerprint = fingerprint(s.ca) })
		}},
		{name: "the record knows another CA", there: func(s *site) {
			s.place(b(s))
			s.remember(func(p *statedir.Provenance) { p.CAFingerprint = strings.Repeat("0", 64) })
		}, want: "was not put there by enrollment"},
		{name: "the record knows the certificate", there: func(s *site) {
			x := b(s)
			s.place(x)
			s.remember(func(p *statedir.Provenance) { p.Place(certFile, statedir.Digest([]byte(x.ServerCrt))) })
		}},
		{name: "the record knows that certificate at another path", there: func(s *site) {
			x := b(s)
			s.place(x)
			s.remember(func(p *statedir.Provenance) { p.Place("/srv/server.pem", statedir.Digest([]byte(x.ServerCrt))) })
		}, want: "was not put there by enrollment"},
		{name: "an option names its CA", there: func(s *site) { s.place(b(s)) }, caNot: true},
		{name: "an option names another CA", there: func(s *site) { s.place(b(s)) },
			change: func(p *options.Params) { p.BundleCAFingerprint = strings.Repeat("0", 64) }, want: "CA SHA-256"},
		{name: "the whitelist has the manager's address", there: func(s *site) {
			s.place(b(s))
			s.Write(listFile, "entries: ["+managerIP+"]\n", 0o644)
		}, change: func(p *options.Params) { p.ManagerIP = managerIP }},
		{name: "a network of the whitelist covers it", there: func(s *site) {
			s.place(b(s))
			s.Write(listFile, "entries: [192.0.2.0/24]\n", 0o644)
		}, change: func(p *options.Params) { p.ManagerIP = managerIP }, want: "was not put there by enrollment"},
		{name: "the whitelist cannot be read", there: func(s *site) {
			s.place(b(s))
			s.Write(listFile, "entries: [\n", 0o644)
		}, change: func(p *options.Params) { p.ManagerIP = managerIP }, want: "was not put there by enrollment"},
		{name: "of the host that this one was copied from", there: func(s *site) {
			s.place(b(s))
			s.remember(func(p *statedir.Provenance) {
				p.CAFingerprint, p.MachineID = fingerprint(s.ca), strings.Repeat("cd", 16)
			})
		}, want: "machine-id changed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			c.there(s)
			v := s.seen(func(p *options.Params) {
				if c.caNot {
					// As people copy it.
					p.BundleCAFingerprint = "SHA256:" + strings.ToUpper(fingerprint(s.ca))
				}
				if c.change != nil {
					c.change(p)
				}
			})
			got := v.Foreign()
			if !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if got == "" {
				return
			}
			hint := fingerprint(s.ca)
			if strings.Contains(c.want, "machine-id") {
				hint = "by its own machine-id"
			}
			if all := v.TakeOverHint(); !strings.Contains(all, hint) || !strings.Contains(all, "force") {
				t.Errorf("got the hint %q, want %q and force in it", all, hint)
			}
		})
	}
}

// TestTheManagersAddress: who names it first.
func TestTheManagersAddress(t *testing.T) {
	for _, c := range []struct {
		name, option, record, url, want string
	}{
		{"the option", "192.0.2.5", "192.0.2.6", "https://192.0.2.7", "192.0.2.5"},
		{"the record", "", "192.0.2.6", "https://192.0.2.7", "192.0.2.6"},
		{"the URL", "", "", "https://192.0.2.7:8443", "192.0.2.7"},
		{"an IPv6 URL", "", "", "https://[2001:db8::7]", "2001:db8::7"},
		{"IPv4 in an IPv6 URL", "", "", "https://[::ffff:192.0.2.7]", "192.0.2.7"},
		{"a name says nothing", "", "", managerURL, "invalid IP"},
		{"a record that is none", "", "x", managerURL, "invalid IP"},
		{"nothing", "", "", "", "invalid IP"},
	} {
		s := newSite(t)
		s.remember(func(p *statedir.Provenance) { p.ManagerIP = c.record })
		v := s.seen(func(p *options.Params) { p.ManagerIP, p.ManagerURL = c.option, c.url })
		if got := v.KnownManagerIP().String(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestTheKnownCA(t *testing.T) {
	s := newSite(t)
	other := pkitest.NewCA(t)
	if got := s.seen(nil).KnownCA(); got != "" {
		t.Errorf("got %q, want none known", got)
	}
	s.Write(caFile, s.ca.PEM(), 0o644)
	if got, want := s.seen(nil).KnownCA(), fingerprint(s.ca); got != want {
		t.Errorf("of a file: got %q, want %q", got, want)
	}
	s.remember(func(p *statedir.Provenance) { p.CAFingerprint = fingerprint(other) })
	if got, want := s.seen(nil).KnownCA(), fingerprint(other); got != want {
		t.Errorf("of the record: got %q, want %q", got, want)
	}
	s.place(s.ca.Issue(t).Bundle(t))
	if got, want := s.seen(nil).KnownCA(), fingerprint(s.ca); got != want {
		t.Errorf("of the set: got %q, want %q", got, want)
	}
	s.Write(caFile, "no PEM", 0o644)
	if got := s.seen(nil).InstalledCAs(); got != nil {
		t.Errorf("of what is none: got %q, want none", got)
	}
}

// TestWhatTheManagerKnows is asked of the record alone.
func TestWhatTheManagerKnows(t *testing.T) {
	for _, c := range []struct {
		name   string
		record func(p *statedir.Provenance)
		want   bool
	}{
		{"nothing on record", func(*statedir.Provenance) {}, false},
		{"its CA", func(p *statedir.Provenance) { p.CAFingerprint, p.ManagerURL = "ab", managerURL }, true},
		{"a CA, and no manager", func(p *statedir.Provenance) { p.CAFingerprint = "ab" }, true},
		{"another manager's", func(p *statedir.Provenance) { p.CAFingerprint, p.ManagerURL = "ab", "https://other.test" }, false},
		{"of another host", func(p *statedir.Provenance) { p.CAFingerprint, p.MachineID = "ab", "cd" }, false},
	} {
		s := newSite(t)
		s.remember(c.record)
		if got := s.seen(nil).ManagerKnows(); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// TestFilesThatNoOneCanJudge stop a run before a manager is asked.
func TestFilesThatNoOneCanJudge(t *testing.T) {
	negative := func(s *site) contract.PkiBundle {
		b := s.ca.Issue(s.t).Bundle(s.t)
		b.CACrt = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
		return b
	}
	for _, c := range []struct {
		name   string
		there  func(s *site)
		change func(*options.Params)
		stops  bool
	}{
		{"nothing", func(*site) {}, nil, false},
		{"a CA that cannot be read", func(s *site) { s.place(negative(s)) }, nil, true},
		{"force", func(s *site) { s.place(negative(s)) }, func(p *options.Params) { p.Force = true }, false},
		{"allow_ca_change", func(s *site) { s.place(negative(s)) }, func(p *options.Params) { p.AllowCAChange = true }, false},
		{"of enrollment", func(s *site) {
			s.place(negative(s))
			s.remember(func(p *statedir.Provenance) { p.CAFingerprint = "ab" })
		}, nil, false},
		{"an empty CA", func(s *site) { s.Write(caFile, " \n", 0o644) }, nil, false},
		{"a CA that can be read, and a broken set", func(s *site) {
			b := s.ca.Issue(t).Bundle(t)
			b.ServerCrt = "no PEM"
			s.place(b)
		}, nil, false},
	} {
		s := newSite(t)
		c.there(s)
		err := s.seen(c.change).CannotJudge()
		if (err != nil) != c.stops {
			t.Errorf("%s: got %v, want it stopped: %v", c.name, err, c.stops)
		}
		if err != nil && (contract.CodeOf(err) != contract.CodeFilesystem || !strings.Contains(err.Error(), caFile)) {
			t.Errorf("%s: got %v, want %s and %s", c.name, err, contract.CodeFilesystem, caFile)
		}
	}
}

// TestATokenOfADeployedAgent: which token of config.yaml this host goes on with.
func TestATokenOfADeployedAgent(t *testing.T) {
	for _, c := range []struct {
		name, url, text string
		there           func(s *site)
		want            bool
	}{
		{"of this manager", managerURL, token, nil, true},
		{"of no manager", "", token, nil, true},
		{"of another manager", "https://other.test", token, nil, false},
		{"none", managerURL, "", nil, false},
		{"an example's", managerURL, "your-polling-token-here", nil, false},
		{"no token at all", managerURL, "a b", nil, false},
		{"beside a set", managerURL, token, func(s *site) { s.place(s.ca.Issue(s.t).Bundle(s.t)) }, false},
		{"the one that is known", managerURL, token, func(s *site) {
			hosttest.Must(s.t, s.seen(nil).Disk.SaveToken(statedir.Token{Token: token, ManagerURL: managerURL, Since: time.Now(), Dead: contract.StateDenied}))
		}, false},
		{"another than the one that is known", managerURL, token, func(s *site) {
			hosttest.Must(s.t, s.seen(nil).Disk.SaveToken(statedir.Token{Token: "other", ManagerURL: managerURL, Since: time.Now(), Dead: contract.StateDenied}))
		}, true},
	} {
		s := newSite(t)
		s.Write(configFile, "enrollment:\n  manager_url: \""+c.url+"\"\n  polling_token: \""+c.text+"\"\n", 0o600)
		if c.there != nil {
			c.there(s)
		}
		if got := s.seen(nil).Adoptable(); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestPlaceholders(t *testing.T) {
	for text, want := range map[string]bool{
		"your-polling-token": true, "CHANGEME": true, "change_me": true, "<token>": false, "token": true, "null": true, "xxxxxxxx": true,
		"polling.token": true, "PollingTokenHere": true, token: false, "k7vQ2m9RtY4wZx": false, "": false,
		// Long enough to be real, whatever is in it.
		strings.Repeat("example", 7): false,
	} {
		if got := observe.IsPlaceholder(text); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

// TestWhatARunDoesNotRelyOn: who else may write what it would go by. As root
// other users are real; else this host's files are another user's.
func TestWhatARunDoesNotRelyOn(t *testing.T) {
	needRoot(t)
	give := func(name string) func(s *site) {
		return func(s *site) { hosttest.Must(s.t, os.Chown(s.Path(name), 65534, 65534)) }
	}
	mode := func(name string, m os.FileMode) func(s *site) {
		return func(s *site) { hosttest.Must(s.t, os.Chmod(s.Path(name), m)) }
	}
	for _, c := range []struct {
		name   string
		there  func(s *site)
		change func(*options.Params)
		want   string // "" where it is relied on
		told   string // what a report says; want where it is empty
	}{
		{name: "all root's", there: func(*site) {}},
		{name: "another's certificate", there: give(certFile), want: certFile + " may be written by user 65534"},
		{name: "another's key", there: give(keyFile), want: keyFile + " may be written by user 65534"},
		{name: "another's CRL", there: give(crlFile), want: crlFile},
		{name: "another's directory", there: give("/etc/linux_patch_api/certs"), want: "/etc/linux_patch_api/certs belongs to user 65534"},
		{name: "a directory that others may write", there: mode("/etc/linux_patch_api/certs", 0o777), want: "/etc/linux_patch_api/certs is writable by others"},
		{name: "another's whitelist", there: give(listFile), want: listFile + " may be written by user 65534"},
		{name: "another's whitelist that is not used", there: give(listFile),
			change: func(p *options.Params) { p.WhitelistManager = false }, told: listFile},
		{name: "the owner that was asked for", there: func(s *site) { give(certFile)(s); give(keyFile)(s) },
			change: func(p *options.Params) { p.Owner = "65534" }},
		{name: "another than was asked for", there: give(certFile), change: func(p *options.Params) { p.Owner = "65533" }, want: certFile},
		{name: "owners that a playbook gave", there: give(certFile), change: func(p *options.Params) { p.KeepOwners = true }},
		{name: "an open certificate is repaired", there: mode(certFile, 0o666)},
		{name: "an open whitelist is repaired", there: mode(listFile, 0o666), told: listFile + " may be written by everybody"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			b := s.ca.Issue(t).Bundle(t)
			b.CRLPEM = s.ca.CRL(t)
			s.place(b)
			s.Write(listFile, "entries: []\n", 0o644)
			c.there(s)
			v := s.seen(c.change)
			err := v.RefuseForeign()
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && (contract.CodeOf(err) != contract.CodeFilesystem || !strings.Contains(contract.HintOf(err), "take_ownership")) {
				t.Errorf("got the code %s and the hint %q, want %s and take_ownership", contract.CodeOf(err), contract.HintOf(err), contract.CodeFilesystem)
			}
			told := c.told
			if told == "" {
				told = c.want
			}
			all := v.Distrusted()
			if (len(all) > 0) != (told != "") || len(all) > 0 && !strings.Contains(all[0].Error(), told) || len(all) > 1 {
				t.Errorf("got %v told, want one: %q", all, told)
			}
		})
	}
}

// TestWhatOthersCouldWrite is shown with what is in it, and a key without.
func TestWhatOthersCouldWrite(t *testing.T) {
	s := newSite(t)
	b := s.ca.Issue(t).Bundle(t)
	s.place(b)
	v := s.seen(nil)
	v.WarnOpenSet()
	if len(v.Result.Warnings) > 0 {
		t.Errorf("got %q, want no warning", v.Result.Warnings)
	}
	hosttest.Must(t, os.Chmod(s.Path(keyFile), 0o606))
	hosttest.Must(t, os.Chmod(s.Path(caFile), 0o646))
	v = s.seen(nil)
	v.WarnOpenSet()
	all := strings.Join(v.Result.Warnings, "\n")
	for _, want := range []string{keyFile + " could be written by everybody (mode 0606)", caFile + " could be written by everybody (mode 0646)", fingerprint(s.ca)} {
		if !strings.Contains(all, want) {
			t.Errorf("got %q, want %q in it", all, want)
		}
	}
	if strings.Contains(all, "PRIVATE KEY") || len(v.Result.Warnings) != 2 {
		t.Errorf("got %d warnings, want two, and no key", len(v.Result.Warnings))
	}
	v = s.seen(nil)
	s.Write(listFile, "entries: [192.0.2.66]\n", 0o666)
	file, err := v.Files.Read(listFile)
	hosttest.Must(t, err)
	v.WarnOpen(file, whitelist.Describe)
	if got := strings.Join(v.Result.Warnings, ""); !strings.Contains(got, "192.0.2.66") {
		t.Errorf("got %q, want the entries in it", got)
	}
}

// TestWhatIsSaidOfAGoodSet: the manager and the name that it is not of.
func TestWhatIsSaidOfAGoodSet(t *testing.T) {
	for _, c := range []struct {
		name    string
		record  func(p *statedir.Provenance)
		change  func(*options.Params)
		warning string
		code    contract.Code
	}{
		{name: "nothing"},
		{name: "this manager", record: func(p *statedir.Provenance) { p.ManagerURL = managerURL }},
		{name: "another manager", record: func(p *statedir.Provenance) { p.ManagerURL = "https://other.test" }, warning: "this host is enrolled with https://other.test"},
		{name: "another manager, from a file", record: func(p *statedir.Provenance) { p.ManagerURL = "https://other.test" },
			change: func(p *options.Params) { p.BundlePath = "/tmp/bundle.json" }},
		{name: "the certificate's name", change: func(p *options.Params) { p.FQDN = "Host.Example.Test." }},
		{name: "another name", change: func(p *options.Params) { p.FQDN = "other.test" }, warning: "fqdn is other.test, but this host is enrolled as " + pkitest.DefaultFQDN},
		{name: "another name, strictly", change: func(p *options.Params) { p.FQDN, p.StrictIdentity = "other.test", true }, code: contract.CodeIdentity},
		{name: "the record's name", record: func(p *statedir.Provenance) { p.FQDN = "renamed.test" }, change: func(p *options.Params) { p.FQDN = "renamed.test" }},
		{name: "the certificate's name, and the record has another", record: func(p *statedir.Provenance) { p.FQDN = "renamed.test" },
			change: func(p *options.Params) { p.FQDN = pkitest.DefaultFQDN }, warning: "but this host is enrolled as renamed.test"},
	} {
		s := newSite(t)
		s.place(s.ca.Issue(t).Bundle(t))
		if c.record != nil {
			s.remember(c.record)
		}
		v := s.seen(c.change)
		err := v.Confirm()
		if got := contract.CodeOf(err); err != nil && got != c.code || err == nil && c.code != "" {
			t.Errorf("%s: got %v, want %q", c.name, err, c.code)
		}
		if got := strings.Join(v.Result.Warnings, "\n"); !strings.Contains(got, c.warning) || (got == "") != (c.warning == "") {
			t.Errorf("%s: got the warnings %q, want %q", c.name, got, c.warning)
		}
		if v.Result.State != contract.StateEnrolled {
			t.Errorf("%s: got %q, want %q", c.name, v.Result.State, contract.StateEnrolled)
		}
	}
	s := newSite(t)
	b := s.ca.Issue(t).Bundle(t)
	b.CRLPEM = "no PEM"
	s.place(b)
	v := s.seen(nil)
	hosttest.Must(t, v.Confirm())
	if got := strings.Join(v.Result.Warnings, ""); !strings.Contains(got, crlFile+" cannot be used") {
		t.Errorf("got %q, want what is wrong with the CRL", got)
	}
}
