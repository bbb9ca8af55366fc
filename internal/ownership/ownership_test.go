package ownership_test

import (
	"context"
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

	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/audit"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/linux-patch/enroll/internal/hostfs/hosttest"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/ownership"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/report"
)

const (
	home       = "/etc/linux_patch_api"
	caFile     = contract.DefaultCACertPath
	certFile   = contract.DefaultServerCertPath
	keyFile    = contract.DefaultServerKeyPath
	listFile   = contract.DefaultWhitelistPath
	configFile = contract.DefaultConfigPath
	auditFile  = contract.DefaultAuditLogPath
	stateDir   = "/var/lib/linux_patch_enroll"
	nobody     = 65534
)

// site is a host as the deployed installer leaves it, where root runs: all of
// /etc/linux_patch_api is someone else's.
type site struct {
	*hosttest.Dir

	t  testing.TB
	ca *pkitest.CA
	// before, where it is set, is called before each operation on a file.
	before func(faultfs.Op)
	// logged are the fields of the last event; failing makes the log fail.
	event   contract.Event
	logged  map[string]string
	failing error
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{Dir: hosttest.New(t), t: t, ca: pkitest.NewCA(t)}
	b := s.ca.Issue(t).Bundle(t)
	s.Write(caFile, b.CACrt, 0o644)
	s.Write(certFile, b.ServerCrt, 0o644)
	s.Write(keyFile, b.ServerKey, 0o600)
	s.Write(listFile, "entries:\n  - 192.0.2.10\n", 0o664)
	s.Write(configFile, "enrollment:\n  manager_url: https://manager.corp.test\n", 0o640)
	s.Write(home+"/other.conf", "x\n", 0o644)
	return s
}

// givenAway is a host whose files are another user's.
func givenAway(t testing.TB) *site {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	s := newSite(t)
	s.giveAway(home)
	return s
}

func (s *site) giveAway(name string) {
	s.t.Helper()
	hosttest.Must(s.t, filepath.WalkDir(s.Path(name), func(path string, _ fs.DirEntry, err error) error {
		hosttest.Must(s.t, err)
		return os.Lchown(path, nobody, nobody)
	}))
}

// Record is the audit log.
func (s *site) Record(event contract.Event, fields map[string]string) error {
	s.event, s.logged = event, fields
	return s.failing
}

// take runs it with files of this user's: 0 is root.
func (s *site) take(change func(*options.Params)) (*report.Result, *hostfs.Host, error) {
	s.t.Helper()
	p := options.DefaultParams()
	p.TakeOwnership, p.LockTimeout = true, 0
	if change != nil {
		change(&p)
	}
	files := hostfs.New(&faultfs.Fs{Inner: s.Root, NoSync: true, Before: s.before}, hostfs.Options{UID: os.Geteuid(), GID: os.Getegid(), Now: time.Now, Random: rand.Reader})
	res := report.New()
	host, err := ownership.Taker{Files: files, Accounts: root{}, Audit: func(string) audit.Recorder { return s }}.Take(context.Background(), p, res)
	return res, host, err
}

func check(p *options.Params) { p.Check = true }

// tree is each path with its owner and mode, and the content of files.
func (s *site) tree() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	hosttest.Must(s.t, filepath.WalkDir(s.Path(""), func(path string, d fs.DirEntry, err error) error {
		hosttest.Must(s.t, err)
		info, err := d.Info()
		hosttest.Must(s.t, err)
		content := ""
		if info.Mode().IsRegular() {
			raw, err := os.ReadFile(path)
			hosttest.Must(s.t, err)
			content = string(raw)
		}
		st := info.Sys().(*syscall.Stat_t)
		all[strings.TrimPrefix(path, s.Path(""))] = strings.Join([]string{owner(st), info.Mode().String(), content}, "\n")
		return nil
	}))
	return all
}

func owner(st *syscall.Stat_t) string {
	if st.Uid == 0 {
		return "root"
	}
	return "another"
}

// untouched fails the test where the host is not what it was.
func (s *site) untouched(before map[string]string) {
	s.t.Helper()
	after := s.tree()
	for name, was := range before {
		if after[name] != was {
			s.t.Errorf("%s: got it changed, want it as it was", name)
		}
	}
	for name := range after {
		// A run that is refused under the lock has made the state directory.
		if _, ok := before[name]; !ok && !strings.HasPrefix(name, "/var") {
			s.t.Errorf("got a new file %s, want none", name)
		}
	}
}

// others lists what is not root's yet.
func (s *site) others(under string) (all []string) {
	for name, is := range s.tree() {
		if strings.HasPrefix(name, under) && strings.HasPrefix(is, "another") {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// refused fails the test unless err has the code, and all texts are in it.
func refused(t testing.TB, err error, code contract.Code, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want %s", code)
	}
	if got := contract.CodeOf(err); got != code {
		t.Errorf("got the code %s (%v), want %s", got, err, code)
	}
	for _, want := range texts {
		if all := err.Error() + " | " + contract.HintOf(err); !strings.Contains(all, want) {
			t.Errorf("got %q, want %q in it", all, want)
		}
	}
}

// TestAHostOfTheDeployedInstaller: all becomes root's, nothing changes its
// content, what others may write is closed, and check mode tells the same.
func TestAHostOfTheDeployedInstaller(t *testing.T) {
	s := givenAway(t)
	was := s.tree()
	foreseen, host, err := s.take(check)
	hosttest.Must(t, err)
	s.untouched(was)
	if f, err := host.Stat(configFile); err != nil || f.UID != 0 || host.Foreign(f) != nil {
		t.Errorf("check mode goes on with owner %d, %v; want a host for which all is root's", f.UID, err)
	}
	res, _, err := s.take(nil)
	hosttest.Must(t, err)
	if left := s.others(home); len(left) > 0 {
		t.Errorf("got %q left, want all root's", left)
	}
	for name, before := range was {
		now, content := s.tree()[name], strings.SplitN(before, "\n", 3)[2]
		if got := strings.SplitN(now, "\n", 3)[2]; got != content {
			t.Errorf("%s: got %d bytes, want the content to stay", name, len(got))
		}
	}
	if got, want := strings.Split(s.tree()[listFile], "\n")[1], "-rw-r--r--"; got != want {
		t.Errorf("%s: got %s, want %s", listFile, got, want)
	}
	if got, want := strings.Split(s.tree()[keyFile], "\n")[1], "-rw-------"; got != want {
		t.Errorf("%s: got %s, want %s", keyFile, got, want)
	}
	if !slices.Equal(res.Actions, foreseen.Actions) || !slices.Equal(res.Warnings, foreseen.Warnings) || !res.Changed || !foreseen.Changed {
		t.Errorf("got %q, %q; want what check mode told: %q, %q", res.Actions, res.Warnings, foreseen.Actions, foreseen.Warnings)
	}
	if len(res.Actions) != 8 || !strings.HasPrefix(res.Actions[0], "take ownership of "+home+": ") || !strings.HasPrefix(res.Actions[7], "take ownership of "+configFile+":") {
		t.Errorf("got the actions %q, want eight, the directory first and config.yaml last", res.Actions)
	}
	for field, want := range map[string]string{
		"paths": certFile, "manager": "https://manager.corp.test", "ca_sha256": pki.Fingerprint(s.ca.Cert.Raw), "whitelist_entries": "192.0.2.10",
	} {
		if got := s.logged[field]; s.event != contract.EventOwnershipTaken || !strings.Contains(got, want) {
			t.Errorf("got the event %s with %s %q, want %s in it", s.event, field, got, want)
		}
		if got := strings.Join(res.Warnings, "\n"); !strings.Contains(got, want) {
			t.Errorf("got the warnings %q, want %s in them", got, want)
		}
	}
	again, _, err := s.take(nil)
	hosttest.Must(t, err)
	if again.Changed || len(again.Actions) > 0 || len(again.Warnings) > 0 {
		t.Errorf("again: got %q, %q; want nothing", again.Actions, again.Warnings)
	}
}

// TestAHostWithNothingToTake is left alone: not even a lock file is made.
func TestAHostWithNothingToTake(t *testing.T) {
	for name, there := range map[string]func(s *site){
		"all root's":     func(s *site) { hosttest.Must(s.t, os.Chmod(s.Path(listFile), 0o644)) },
		"no config.yaml": func(s *site) { hosttest.Must(s.t, os.RemoveAll(s.Path("/etc"))) },
		"nothing but one": func(s *site) {
			hosttest.Must(s.t, os.RemoveAll(s.Path(home+"/certs")))
			hosttest.Must(s.t, os.Remove(s.Path(listFile)))
		},
	} {
		s := newSite(t)
		there(s)
		was := s.tree()
		for _, change := range []func(*options.Params){check, nil} {
			res, _, err := s.take(change)
			if err != nil || res.Changed || s.event != "" {
				t.Errorf("%s: got %q, %v; want nothing", name, res.Actions, err)
			}
		}
		s.untouched(was)
		if _, ok := s.tree()[stateDir]; ok {
			t.Errorf("%s: got %s, want no state directory made", name, stateDir)
		}
	}
}

// TestWhatIsTakenAndWhatIsNot: by a table of who owns what.
func TestWhatIsTakenAndWhatIsNot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	for _, c := range []struct {
		name  string
		there func(s *site)
		// taken is in the order of the actions.
		taken  []string
		change func(*options.Params)
	}{
		{name: "a file of a directory that is root's", there: func(s *site) { s.giveAway(certFile) }, taken: []string{certFile}},
		{name: "another's file beside ours", there: func(s *site) { s.giveAway(home + "/other.conf") }},
		{name: "a directory, and all that is in it", there: func(s *site) { hosttest.Must(s.t, os.Chown(s.Path(home+"/certs"), nobody, 0)); s.giveAway(keyFile) },
			taken: []string{home + "/certs", keyFile}},
		{name: "an open directory", there: func(s *site) { hosttest.Must(s.t, os.Chmod(s.Path(home+"/certs"), 0o777)) }, taken: []string{home + "/certs"}},
		{name: "an open whitelist", there: func(s *site) { hosttest.Must(s.t, os.Chmod(s.Path(listFile), 0o666)) }, taken: []string{listFile}},
		{name: "an open config.yaml, last", there: func(s *site) { hosttest.Must(s.t, os.Chmod(s.Path(configFile), 0o666)); s.giveAway(certFile) }, taken: []string{certFile, configFile}},
		{name: "its lock file", there: func(s *site) { s.Write(listFile+".lock", "", 0o600); s.giveAway(listFile + ".lock") }, taken: []string{listFile + ".lock"}},
		{name: "the log", there: func(s *site) { s.Write(auditFile, "{}\n", 0o640); s.giveAway(auditFile) }, taken: []string{auditFile}},
		{name: "the log's directory", there: func(s *site) { s.Write(auditFile, "{}\n", 0o640); s.giveAway(filepath.Dir(auditFile)) },
			taken: []string{filepath.Dir(auditFile), auditFile}},
		{name: "the owner that was asked for", there: func(s *site) { s.giveAway(certFile) }, change: func(p *options.Params) { p.Owner = "65534" }},
		{name: "another than was asked for", there: func(s *site) { s.giveAway(certFile) }, change: func(p *options.Params) { p.Owner = "65533" }, taken: []string{certFile}},
		{name: "the owner that was asked for, and others", there: func(s *site) { s.giveAway(certFile); hosttest.Must(s.t, os.Chmod(s.Path(certFile), 0o646)) },
			change: func(p *options.Params) { p.Owner = "65534" }, taken: []string{certFile}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			hosttest.Must(t, os.Chmod(s.Path(listFile), 0o644))
			c.there(s)
			foreseen, _, err := s.take(func(p *options.Params) {
				if check(p); c.change != nil {
					c.change(p)
				}
			})
			hosttest.Must(t, err)
			res, _, err := s.take(c.change)
			hosttest.Must(t, err)
			var got []string
			for _, action := range res.Actions {
				path, _, _ := strings.Cut(strings.TrimPrefix(action, "take ownership of "), ":")
				got = append(got, path)
			}
			if !slices.Equal(got, c.taken) || !slices.Equal(res.Actions, foreseen.Actions) || res.Changed != (len(c.taken) > 0) {
				t.Errorf("got %q, changed %v, in check mode %q; want %q", res.Actions, res.Changed, foreseen.Actions, c.taken)
			}
			for _, name := range c.taken {
				if is := s.tree()[name]; strings.HasPrefix(is, "another") || strings.Contains(strings.Split(is, "\n")[1][4:], "w") {
					t.Errorf("%s: got %q, want it root's alone", name, is)
				}
			}
		})
	}
}

// TestWhatIsRefused: before anything is taken, in check mode as well.
func TestWhatIsRefused(t *testing.T) {
	config := func(text string) func(s *site) {
		return func(s *site) { s.Write(configFile, text, 0o640) }
	}
	for _, c := range []struct {
		name   string
		there  func(s *site)
		change func(*options.Params)
		code   contract.Code
		want   string
	}{
		{"a hard link among the files", func(s *site) {
			s.Write("/victim", "secret", 0o600)
			hosttest.Must(s.t, os.Link(s.Path("/victim"), s.Path(home+"/certs/extra.pem")))
		}, nil, contract.CodeFilesystem, "2 names"},
		{"a hard link for config.yaml", func(s *site) { hosttest.Must(s.t, os.Link(s.Path(configFile), s.Path("/elsewhere"))) }, nil, contract.CodeFilesystem, "2 names"},
		{"a link among the files", func(s *site) { hosttest.Must(s.t, os.Symlink("/victim", s.Path(home+"/certs/link.pem"))) }, nil, contract.CodeFilesystem, "is a symbolic link"},
		{"a link for config.yaml", func(s *site) {
			hosttest.Must(s.t, os.Remove(s.Path(configFile)))
			hosttest.Must(s.t, os.Symlink("/victim", s.Path(configFile)))
		}, nil, contract.CodeFilesystem, "is a symbolic link"},
		{"a FIFO", func(s *site) { hosttest.Must(s.t, syscall.Mkfifo(s.Path(home+"/fifo"), 0o600)) }, nil, contract.CodeFilesystem, "is a FIFO"},
		{"a directory for config.yaml", func(s *site) {
			hosttest.Must(s.t, os.Remove(s.Path(configFile)))
			hosttest.Must(s.t, os.Mkdir(s.Path(configFile), 0o755))
		}, nil, contract.CodeFilesystem, "is a directory"},
		{"a file for the directory", func(s *site) {
			hosttest.Must(s.t, os.RemoveAll(s.Path(home+"/certs")))
			s.Write(home+"/certs", "", 0o644)
		}, nil, contract.CodeFilesystem, "not a directory"},
		{"too large", func(s *site) {
			s.Write(home+"/large", "", 0o600)
			hosttest.Must(s.t, os.Truncate(s.Path(home+"/large"), 64<<20+1))
		}, nil, contract.CodeFilesystem, "is larger than"},
		{"no YAML", config("tls: [\n"), nil, contract.CodeConfig, configFile},
		{"a certificate elsewhere", config("tls:\n  server_cert: /etc/cron.d/job\n"), nil, contract.CodeConfig, "sets tls.server_cert (option server_cert_path) to /etc/cron.d/job"},
		{"a key elsewhere", config("tls:\n  server_key: /etc/shadow\n"), nil, contract.CodeConfig, "server_key_path"},
		{"a CA elsewhere", config("tls:\n  ca_cert: /etc/ssl/ca.pem\n"), nil, contract.CodeConfig, "ca_cert_path"},
		{"a CRL elsewhere", config("tls:\n  crl_path: /etc/ssl/crl.pem\n"), nil, contract.CodeConfig, "crl_path"},
		{"a whitelist elsewhere", config("whitelist:\n  path: /etc/passwd\n"), nil, contract.CodeConfig, "whitelist_path"},
		{"a whitelist among the certificates", config("whitelist:\n  path: " + home + "/certs/list.yaml\n"), nil, contract.CodeConfig, "whitelist_path"},
		{"a log elsewhere", config("logging:\n  file_path: /etc/cron.d/job\n"), nil, contract.CodeConfig, "logging.file_path has none"},
		{"an option that names another path", config("tls:\n  ca_cert: /srv/ca.pem\n"), func(p *options.Params) { p.CACertPath = "/srv/other.pem" }, contract.CodeConfig, "ca_cert_path"},
		{"another's state directory", func(s *site) {
			hosttest.Must(s.t, os.MkdirAll(s.Path(stateDir), 0o700))
			hosttest.Must(s.t, os.Chmod(s.Path(stateDir), 0o777))
		}, nil, contract.CodeFilesystem, "state_dir " + stateDir + " is not taken"},
		{"what is above is open to others", func(s *site) { hosttest.Must(s.t, os.Chmod(s.Path("/etc"), 0o777)) }, nil, contract.CodeFilesystem, "/etc is writable by others"},
		{"a directory that many use", func(s *site) {
			s.Write("/etc/ssl/config.yaml", "", 0o640)
			hosttest.Must(s.t, os.Chmod(s.Path("/etc/ssl"), 0o777))
		}, func(p *options.Params) { p.ConfigPath = "/etc/ssl/config.yaml" }, contract.CodeFilesystem, "others use too"},
		{"a sticky directory", func(s *site) {
			s.Write("/srv/drop/config.yaml", "", 0o640)
			hosttest.Must(s.t, os.Chmod(s.Path("/srv/drop"), 0o777|os.ModeSticky))
		}, func(p *options.Params) { p.ConfigPath = "/srv/drop/config.yaml" }, contract.CodeFilesystem, "others use too"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			c.there(s)
			// Of another user, or else of everybody: it is not this user's alone.
			hosttest.Must(t, os.Chmod(s.Path(home), 0o777))
			hosttest.Must(t, os.Chmod(s.Path(home+"/certs"), 0o777))
			if os.Geteuid() == 0 {
				s.giveAway(home)
			}
			was := s.tree()
			for _, change := range []func(*options.Params){check, nil} {
				res, _, err := s.take(func(p *options.Params) {
					if c.change != nil {
						c.change(p)
					}
					if change != nil {
						change(p)
					}
				})
				refused(t, err, c.code, c.want)
				s.untouched(was)
				if res.Changed || len(res.Actions) > 0 || s.event != "" {
					t.Errorf("got %q, changed %v, event %s; want nothing", res.Actions, res.Changed, s.event)
				}
			}
		})
	}
}

// TestAnOptionVouchesForAPath that someone else's config.yaml names.
func TestAnOptionVouchesForAPath(t *testing.T) {
	s := givenAway(t)
	s.Write(configFile, "tls:\n  ca_cert: /srv/pki/ca.pem\n", 0o640)
	s.Write("/srv/pki/ca.pem", s.ca.PEM(), 0o644)
	s.Write("/srv/pki/else", "x", 0o644)
	s.giveAway("/srv/pki")
	s.giveAway(configFile)
	_, _, err := s.take(func(p *options.Params) { p.CACertPath = "/srv//pki/ca.pem" })
	hosttest.Must(t, err)
	if left := s.others("/srv"); len(left) > 0 {
		t.Errorf("got %q left, want all root's", left)
	}
}

// TestOnlyRootTakes: anyone else is told so before anything is done.
func TestOnlyRootTakes(t *testing.T) {
	for name, mode := range map[string]os.FileMode{home: 0o777, listFile: 0o666} {
		s := newSite(t)
		hosttest.Must(t, os.Chmod(s.Path(listFile), 0o644))
		hosttest.Must(t, os.Chmod(s.Path(name), mode))
		was := s.tree()
		for _, checked := range []bool{true, false} {
			p := options.DefaultParams()
			p.Check = checked
			files := hostfs.New(s.Root, hostfs.Options{UID: os.Geteuid(), GID: os.Getegid(), Now: time.Now, Random: rand.Reader})
			_, err := ownership.Taker{Files: files, Accounts: ordinary{}, Audit: func(string) audit.Recorder { return s }}.Take(context.Background(), p, report.New())
			refused(t, err, contract.CodeFilesystem, "only root can take "+name, "run with become")
			s.untouched(was)
		}
	}
}

// root is what a run is for that may take things: who else runs these tests sees
// what it refuses.
type root struct{ options.HostAccounts }

func (root) Self() (uid, gid int) { return 0, 0 }

// ordinary is a user who is not root.
type ordinary struct{ options.HostAccounts }

func (ordinary) Self() (uid, gid int) { return 4711, 4711 }

// TestAnotherRunIsNotDisturbed: what it is about to replace is not copied.
func TestAnotherRunIsNotDisturbed(t *testing.T) {
	s := givenAway(t)
	hosttest.Must(t, os.MkdirAll(s.Path(stateDir), 0o700))
	f, err := os.OpenFile(s.Path(stateDir+"/lock"), os.O_CREATE|os.O_RDWR, 0o600)
	hosttest.Must(t, err)
	hosttest.Must(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	was := s.tree()
	_, _, err = s.take(nil)
	refused(t, err, contract.CodeLocked, stateDir+"/lock")
	s.untouched(was)
	hosttest.Must(t, f.Close())
	if _, _, err := s.take(nil); err != nil {
		t.Errorf("got %v, want it taken once the lock is free", err)
	}
}

// TestALogThatCannotBeWritten is a warning: what was taken is taken.
func TestALogThatCannotBeWritten(t *testing.T) {
	s := givenAway(t)
	s.failing = errors.New("no space left")
	res, _, err := s.take(nil)
	hosttest.Must(t, err)
	if got := strings.Join(res.Warnings, "\n"); !strings.Contains(got, "the audit log was not written: no space left") || !res.Changed {
		t.Errorf("got %q, changed %v; want it taken and a warning", got, res.Changed)
	}
}

// TestWhatIsInAFileWhenItIsLookedAtIsTaken: who held the old one open writes to
// nothing, and until the end config.yaml is not one that a run uses.
func TestWhatIsInAFileWhenItIsLookedAtIsTaken(t *testing.T) {
	s := givenAway(t)
	held, err := os.OpenFile(s.Path(listFile), os.O_WRONLY|os.O_APPEND, 0)
	hosttest.Must(t, err)
	defer held.Close()
	var order []string
	s.before = func(o faultfs.Op) {
		if o.Name == "rename" {
			order = append(order, o.Path)
		}
	}
	_, _, err = s.take(nil)
	hosttest.Must(t, err)
	_, err = held.WriteString("  - 203.0.113.66\n")
	hosttest.Must(t, err)
	if got := s.tree()[listFile]; strings.Contains(got, "203.0.113.66") {
		t.Errorf("got %q, want what was looked at", got)
	}
	if len(order) != 6 || !strings.Contains(order[5], "config.yaml") {
		t.Errorf("got the renames %q, want six, config.yaml last", order)
	}
}

// TestField1_13_NothingIsTakenWhereAFileCannotBe: one that cannot be replaced is
// found before the directories are taken, in check mode too.
func TestField1_13_NothingIsTakenWhereAFileCannotBe(t *testing.T) {
	for _, name := range []string{listFile, configFile, caFile, home + "/other.conf"} {
		s := givenAway(t)
		f, err := os.Open(s.Path(name))
		hosttest.Must(t, err)
		flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
		if err == nil {
			err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags|unix.STATX_ATTR_IMMUTABLE)
		}
		if err != nil {
			t.Skipf("file flags can't be set here: %v", err)
		}
		t.Cleanup(func() {
			hosttest.Must(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags))
			hosttest.Must(t, f.Close())
		})
		was := s.tree()
		for _, change := range []func(*options.Params){check, nil} {
			res, _, err := s.take(change)
			refused(t, err, contract.CodeFilesystem, name+" is immutable")
			s.untouched(was)
			if res.Changed || len(res.Actions) > 0 || s.event != "" {
				t.Errorf("%s: got %q, changed %v, event %s; want nothing", name, res.Actions, res.Changed, s.event)
			}
		}
	}
}
