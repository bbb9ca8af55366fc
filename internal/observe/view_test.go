package observe_test

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/linux-patch/enroll/internal/hostfs/hosttest"
	"github.com/linux-patch/enroll/internal/observe"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/report"
	"github.com/linux-patch/enroll/internal/statedir"
)

const (
	caFile     = contract.DefaultCACertPath
	certFile   = contract.DefaultServerCertPath
	keyFile    = contract.DefaultServerKeyPath
	crlFile    = contract.DefaultCRLPath
	listFile   = contract.DefaultWhitelistPath
	configFile = contract.DefaultConfigPath
	stateDir   = "/var/lib/linux_patch_enroll"
	managerURL = "https://manager.corp.test"
	managerIP  = "192.0.2.1"
	token      = "TokenCanary0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP"
	machineID  = "abababababababababababababababab"
)

// site is a host in a directory of the real file system.
type site struct {
	*hosttest.Dir

	t       testing.TB
	ca      *pkitest.CA
	uid     int
	secrets []string
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{Dir: hosttest.New(t), t: t, ca: pkitest.NewCA(t), uid: os.Geteuid()}
	hosttest.Must(t, os.MkdirAll(s.Path("/etc/linux_patch_api/certs"), 0o755))
	hosttest.Must(t, os.MkdirAll(s.Path(stateDir), 0o700))
	return s
}

// place puts a set there, enrollment not knowing of it.
func (s *site) place(b contract.PkiBundle) {
	s.t.Helper()
	s.Write(caFile, b.CACrt, 0o644)
	s.Write(certFile, b.ServerCrt, 0o644)
	s.Write(keyFile, b.ServerKey, 0o600)
	if b.CRLPEM != "" {
		s.Write(crlFile, b.CRLPEM, 0o644)
	}
}

// view is a run's look at the host that has not looked yet.
func (s *site) view(change func(*options.Params)) *observe.View {
	s.t.Helper()
	p := options.DefaultParams()
	p.ManagerURL = managerURL
	if change != nil {
		change(&p)
	}
	files := hostfs.New(s.Root, hostfs.Options{UID: s.uid, GID: os.Getegid(), Now: time.Now, Random: rand.Reader})
	settings, err := options.Host{Files: files, Accounts: options.HostAccounts{}}.Settle(p)
	hosttest.Must(s.t, err)
	return &observe.View{
		Settings: settings, Files: files, Accounts: options.HostAccounts{}, Now: time.Now, Result: report.New(),
		MachineID: func() (string, error) { return machineID, nil },
		Secret:    func(secret string) { s.secrets = append(s.secrets, secret) },
	}
}

// seen is a view that has looked.
func (s *site) seen(change func(*options.Params)) *observe.View {
	s.t.Helper()
	v := s.view(change)
	hosttest.Must(s.t, v.Observe())
	return v
}

// remember writes the record of what enrollment put on the host.
func (s *site) remember(change func(*statedir.Provenance)) {
	s.t.Helper()
	hosttest.Must(s.t, s.seen(nil).Disk.Remember(change))
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
}

// TestFilesThatCannotBeRead: each kind, at each path, is an error that names the
// file and what is wrong with it, before anything is judged.
func TestFilesThatCannotBeRead(t *testing.T) {
	large := strings.Repeat("\n", 64<<20+1)
	for _, kind := range []struct {
		name  string
		there func(s *site, name string)
		want  string
	}{
		{"a directory", func(s *site, name string) { hosttest.Must(s.t, os.Mkdir(s.Path(name), 0o755)) }, "is a directory"},
		{"a link", func(s *site, name string) { hosttest.Must(s.t, os.Symlink("/etc/hostname", s.Path(name))) }, "is a symbolic link"},
		{"a dangling link", func(s *site, name string) { hosttest.Must(s.t, os.Symlink("gone", s.Path(name))) }, "is a symbolic link"},
		{"a FIFO", func(s *site, name string) { hosttest.Must(s.t, syscall.Mkfifo(s.Path(name), 0o644)) }, "is a FIFO"},
		{"too large", func(s *site, name string) { s.Write(name, large, 0o600) }, "is larger than"},
	} {
		for _, name := range []string{caFile, certFile, keyFile, crlFile, stateDir + "/token", stateDir + "/provenance.json"} {
			t.Run(kind.name+" at "+filepath.Base(name), func(t *testing.T) {
				s := newSite(t)
				kind.there(s, name)
				v := s.view(nil)
				err := v.Observe()
				if err == nil || contract.CodeOf(err) != contract.CodeFilesystem || !strings.Contains(err.Error(), name+" "+kind.want) {
					t.Errorf("got %v, want %s: %s %s", err, contract.CodeFilesystem, name, kind.want)
				}
				if v.Disk != nil || contract.HintOf(err) == "" {
					t.Errorf("got %+v and the hint %q, want nothing seen and a way out", v.Disk, contract.HintOf(err))
				}
			})
		}
	}
}

func TestAFileThatMayNotBeRead(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Run("as root", func(t *testing.T) {
			s := newSite(t)
			s.place(s.ca.Issue(t).Bundle(t))
			hosttest.Must(t, os.Chmod(s.Path(keyFile), 0))
			if v := s.seen(nil); v.Disk.Unusable != nil {
				t.Errorf("got %v, want root to read a key of mode 0000", v.Disk.Unusable)
			}
		})
	}
	s := newSite(t)
	s.place(s.ca.Issue(t).Bundle(t))
	v := s.view(nil)
	v.Files = hostfs.New(&faultfs.Fs{Inner: s.Root, At: 1, Err: syscall.EACCES, Match: func(o faultfs.Op) bool {
		return o.Name == "open" && o.Path == keyFile
	}}, hostfs.Options{UID: os.Geteuid(), Now: time.Now, Random: rand.Reader})
	err := v.Observe()
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), keyFile) || !strings.Contains(contract.HintOf(err), "run as root") {
		t.Errorf("got %v with the hint %q, want that root can read %s", err, contract.HintOf(err), keyFile)
	}
}

// TestDamagedRecords: an error that names the record and quotes nothing of it.
func TestDamagedRecords(t *testing.T) {
	for _, name := range []string{"token", "provenance.json"} {
		s := newSite(t)
		s.Write(stateDir+"/"+name, `{"token": "`+token, 0o600)
		err := s.view(nil).Observe()
		if err == nil || !strings.Contains(err.Error(), stateDir+"/"+name+" is damaged") || strings.Contains(err.Error(), token) {
			t.Errorf("got %v, want %s damaged, and not the token", err, name)
		}
	}
}

// TestWhetherASetCanServe: why not, by the error that the decision hangs on.
func TestWhetherASetCanServe(t *testing.T) {
	now := time.Now()
	hour := time.Hour
	other := pkitest.NewCA(t)
	for _, c := range []struct {
		name  string
		there func(s *site)
		// want is why it cannot serve; nil where it can.
		want error
		set  bool
		crl  bool // the CRL is a problem of its own
	}{
		{"nothing", func(*site) {}, nil, false, false},
		{"a good set", func(s *site) { s.place(s.ca.Issue(t).Bundle(t)) }, nil, true, false},
		{"CRLF", func(s *site) {
			b := s.ca.Issue(t).Bundle(t)
			b.ServerCrt = strings.ReplaceAll(b.ServerCrt, "\n", "\r\n")
			s.place(b)
		}, nil, true, false},
		{"mixed line ends, text around", func(s *site) {
			b := s.ca.Issue(t).Bundle(t)
			b.CACrt, b.ServerKey = "Bag Attributes\r\n"+strings.Replace(b.CACrt, "\n", "\r\n", 2), b.ServerKey+"\ntrailing\n"
			s.place(b)
		}, nil, true, false},
		{"no PEM", func(s *site) { b := s.ca.Issue(t).Bundle(t); b.ServerCrt = "no PEM\n"; s.place(b) }, pki.ErrMalformed, false, false},
		{"an empty certificate", func(s *site) { b := s.ca.Issue(t).Bundle(t); b.ServerCrt = ""; s.place(b) }, pki.ErrMalformed, false, false},
		{"cut off", func(s *site) { b := s.ca.Issue(t).Bundle(t); b.ServerCrt = b.ServerCrt[:300]; s.place(b) }, pki.ErrMalformed, false, false},
		{"another's key", func(s *site) { b := s.ca.Issue(t).Bundle(t); b.ServerKey = s.ca.KeyPEM(t); s.place(b) }, pki.ErrKeyMismatch, false, false},
		{"another CA", func(s *site) { b := s.ca.Issue(t).Bundle(t); b.CACrt = other.PEM(); s.place(b) }, pki.ErrUntrusted, true, false},
		{"expired", func(s *site) { s.place(s.ca.Issue(t, pkitest.Valid(now.Add(-2*hour), now.Add(-hour))).Bundle(t)) }, pki.ErrExpired, true, false},
		{"not valid yet", func(s *site) { s.place(s.ca.Issue(t, pkitest.Valid(now.Add(hour), now.Add(2*hour))).Bundle(t)) }, pki.ErrNotYetValid, true, false},
		{"another host's", func(s *site) { s.place(s.ca.Issue(t, pkitest.DNS("other.test")).Bundle(t)) }, nil, true, false},
		{"revoked", func(s *site) {
			leaf := s.ca.Issue(t)
			b := leaf.Bundle(t)
			b.CRLPEM = s.ca.CRL(t, leaf.Cert)
			s.place(b)
		}, pki.ErrRevoked, true, false},
		{"a CRL that is none", func(s *site) { b := s.ca.Issue(t).Bundle(t); b.CRLPEM = "no PEM\n"; s.place(b) }, nil, true, true},
		{"another CA's CRL", func(s *site) { b := s.ca.Issue(t).Bundle(t); b.CRLPEM = other.CRL(t); s.place(b) }, nil, true, true},
		{"an expired set beside a CRL that is none", func(s *site) {
			b := s.ca.Issue(t, pkitest.Valid(now.Add(-2*hour), now.Add(-hour))).Bundle(t)
			b.CRLPEM = "no PEM\n"
			s.place(b)
		}, pki.ErrExpired, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			c.there(s)
			o := s.seen(nil).Disk
			if c.name == "nothing" {
				if o.Begun() || o.Unusable == nil || o.Usable(now, 0) {
					t.Errorf("got begun %v, unusable %v; want no set, and nothing begun", o.Begun(), o.Unusable)
				}
				return
			}
			if !errors.Is(o.Unusable, c.want) || (o.Unusable == nil) != (c.want == nil) {
				t.Errorf("got %v, want %v", o.Unusable, c.want)
			}
			if (o.Set != nil) != c.set || o.Usable(now, 0) != (c.want == nil) || !o.Begun() {
				t.Errorf("got a set %v, usable %v, begun %v; want %v, %v, true", o.Set != nil, o.Usable(now, 0), o.Begun(), c.set, c.want == nil)
			}
			if (o.CRLProblem != nil) != c.crl {
				t.Errorf("got the CRL's problem %v, want one: %v", o.CRLProblem, c.crl)
			}
		})
	}
}

// TestHalfASet is none, and still something that was begun.
func TestHalfASet(t *testing.T) {
	for _, gone := range []string{caFile, certFile, keyFile} {
		s := newSite(t)
		s.place(s.ca.Issue(t).Bundle(t))
		hosttest.Must(t, os.Remove(s.Path(gone)))
		o := s.seen(nil).Disk
		if o.Set != nil || o.Unusable == nil || !o.Begun() || !strings.Contains(o.Unusable.Error(), "missing") {
			t.Errorf("without %s: got a set %v, %v; want none, one missing", gone, o.Set != nil, o.Unusable)
		}
	}
}

// TestWhenASetIsToBeRenewed: also one that never was valid for so long.
func TestWhenASetIsToBeRenewed(t *testing.T) {
	now, day := time.Now(), 24*time.Hour
	for _, c := range []struct {
		name                 string
		began, ends, renewed time.Duration
		usable               bool
		warning              string
	}{
		{"long before its end", -day, 100 * day, 7 * day, true, ""},
		{"in the time of renewal", -100 * day, 6 * day, 7 * day, false, ""},
		{"just before that time", -100 * day, 8 * day, 7 * day, true, ""},
		{"a short life, in its first two thirds", -day, 5 * day, 7 * day, true, "renew_before (7d) is not shorter than the certificate's whole life (6d): it is renewed in the last third, 2d before its end"},
		{"a short life, in its last third", -5 * day, day, 7 * day, false, "the last third"},
		{"never renewed", -100 * day, day, 0, true, ""},
	} {
		s := newSite(t)
		s.place(s.ca.Issue(t, pkitest.Valid(now.Add(c.began), now.Add(c.ends))).Bundle(t))
		v := s.seen(func(p *options.Params) { span := options.Span(c.renewed); p.RenewBefore = &span })
		if got := v.Disk.Usable(now, c.renewed); got != c.usable {
			t.Errorf("%s: got usable %v, want %v", c.name, got, c.usable)
		}
		if got := strings.Join(v.WarnRenewBefore(), ""); !strings.Contains(got, c.warning) || (got == "") != (c.warning == "") {
			t.Errorf("%s: got the warning %q, want %q", c.name, got, c.warning)
		}
	}
	if got := newSite(t).seen(nil).WarnRenewBefore(); got != nil {
		t.Errorf("without a set: got %q, want no warning", got)
	}
}

// TestATokenInConfigIsASecret, and no token of this host where an image brought it.
func TestATokenInConfigIsASecret(t *testing.T) {
	s := newSite(t)
	s.Write(configFile, "enrollment:\n  polling_token: "+token+"\n", 0o600)
	if v := s.seen(nil); v.Disk.ConfigToken != token || !slices.Contains(s.secrets, token) {
		t.Errorf("got the token %v, told as a secret %v; want both", v.Disk.ConfigToken == token, slices.Contains(s.secrets, token))
	}
	hosttest.Must(t, s.seen(nil).Disk.SaveToken(statedir.Token{Token: token, ManagerURL: managerURL, MachineID: strings.Repeat("cd", 16), Since: time.Now()}))
	v := s.seen(nil)
	if v.Disk.ConfigToken != "" || v.LiveToken() != nil || !v.Disk.Cloned() {
		t.Errorf("got a token in config %v, alive %v, cloned %v; want none, and another host's set aside", v.Disk.ConfigToken != "", v.LiveToken() != nil, v.Disk.Cloned())
	}
}

// TestStaleFilesAreFound where this run may have left them, and nowhere else.
func TestStaleFilesAreFound(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"/etc/linux_patch_api/certs/.server.pem.0123456789abcdef.enroll~tmp", "/elsewhere/.x.0123456789abcdef.enroll~tmp"} {
		s.Write(name, "", 0o600)
	}
	want := []string{"/etc/linux_patch_api/certs/.server.pem.0123456789abcdef.enroll~tmp"}
	if got := s.seen(nil).Disk.Stale; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestAJournalIsForeseen: what a killed commit ends as, before it is ended.
func TestAJournalIsForeseen(t *testing.T) {
	s := newSite(t)
	b := s.ca.Issue(t).Bundle(t)
	v := s.seen(nil)
	hosttest.Must(t, v.ForeseeJournal())
	if v.Result.Changed {
		t.Fatalf("without a journal: got %q, want nothing", v.Result.Actions)
	}
	dead := hostfs.New(&faultfs.Fs{Inner: s.Root, At: 3, Forever: true, Err: syscall.EIO, Match: func(o faultfs.Op) bool {
		return o.Name == "rename" && strings.HasSuffix(o.Path, ".pem")
	}}, hostfs.Options{UID: os.Geteuid(), GID: os.Getegid(), Now: time.Now, Random: rand.Reader})
	own := hostfs.Attributes{Mode: 0o600, UID: os.Geteuid(), GID: os.Getegid()}
	_, err := dead.Commit(stateDir+"/journal", []hostfs.Change{
		{Path: caFile, Content: []byte(b.CACrt), Attributes: own}, {Path: keyFile, Content: []byte(b.ServerKey), Attributes: own}, {Path: certFile, Content: []byte(b.ServerCrt), Attributes: own},
	})
	if !errors.Is(err, hostfs.ErrCommitUnfinished) {
		t.Fatalf("got %v, want a commit that is not finished", err)
	}
	v = s.seen(nil)
	if v.Disk.Set != nil {
		t.Fatal("got a set, want it without its certificate")
	}
	hosttest.Must(t, v.ForeseeJournal())
	if v.Disk.Set == nil || v.Disk.Unusable != nil || !v.Result.Changed || len(v.Result.Actions) != 1 {
		t.Errorf("got a set %v (%v), %q; want the set that the journal leads to", v.Disk.Set != nil, v.Disk.Unusable, v.Result.Actions)
	}
	if _, err := os.Stat(s.Path(certFile)); !os.IsNotExist(err) {
		t.Errorf("got %v, want the certificate not there yet", err)
	}
}

// TestObserveAgainOnlyAfterAChange, and never in check mode.
func TestObserveAgainOnlyAfterAChange(t *testing.T) {
	for _, c := range []struct{ changed, check, looks bool }{{true, false, true}, {true, true, false}, {false, false, false}} {
		s := newSite(t)
		v := s.seen(func(p *options.Params) { p.Check = c.check })
		s.place(s.ca.Issue(t).Bundle(t))
		v.Result.Changed = c.changed
		hosttest.Must(t, v.ObserveAgain())
		if got := v.Disk.Set != nil; got != c.looks {
			t.Errorf("changed %v, check mode %v: got it looked at again: %v, want %v", c.changed, c.check, got, c.looks)
		}
	}
}

// TestTheListInForceJudgesInPlaceOfTheFile: in a report of the agent's.
func TestTheListInForceJudgesInPlaceOfTheFile(t *testing.T) {
	s := newSite(t)
	leaf := s.ca.Issue(t)
	b := leaf.Bundle(t)
	b.CRLPEM = s.ca.CRL(t)
	s.place(b)
	inForce, err := pki.ReadCRL("CRL", strings.NewReader(s.ca.CRL(t, leaf.Cert)))
	hosttest.Must(t, err)
	inForce.Forget()
	v := s.view(func(p *options.Params) { p.Report = true })
	v.InForce = func(ca []byte) *pki.CRL {
		if string(ca) != b.CACrt {
			t.Errorf("got the CA %q, want the installed one", ca)
		}
		return inForce
	}
	hosttest.Must(t, v.Observe())
	if !errors.Is(v.Disk.Unusable, pki.ErrRevoked) || v.Disk.CRL.Content != nil {
		t.Errorf("got %v, with %d bytes of the file; want it revoked, and none", v.Disk.Unusable, len(v.Disk.CRL.Content))
	}
	// A run that is no report reads the file.
	v.Report = false
	hosttest.Must(t, v.Observe())
	if v.Disk.Unusable != nil {
		t.Errorf("got %v, want the file's list", v.Disk.Unusable)
	}
}
