package install_test

import (
	"context"
	"crypto/rand"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/audit"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/linux-patch/enroll/internal/hostfs/hosttest"
	"github.com/linux-patch/enroll/internal/install"
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
)

// site is a host in a directory of the real file system.
type site struct {
	*hosttest.Dir

	t   testing.TB
	ca  *pkitest.CA
	now func() time.Time
	// events are the audit log's; during, where it is set, is called with each.
	events []contract.Event
	during func(contract.Event)
	// before, where it is set, is called before each operation on a file.
	before func(faultfs.Op)
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{Dir: hosttest.New(t), t: t, now: time.Now, ca: pkitest.NewCA(t)}
	hosttest.Must(t, os.MkdirAll(s.Path("/etc/linux_patch_api/certs"), 0o755))
	hosttest.Must(t, os.MkdirAll(s.Path(stateDir), 0o700))
	return s
}

// read is the content of a file; empty where there is none.
func (s *site) read(name string) string {
	raw, err := os.ReadFile(s.Path(name))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	return string(raw)
}

// installer looks at the host as a run does, and is ready to change it.
func (s *site) installer(change func(*options.Params)) *install.Installer {
	s.t.Helper()
	p := options.DefaultParams()
	p.ManagerURL, p.ConfigManagerURL, p.LockTimeout = managerURL, false, 0
	if change != nil {
		change(&p)
	}
	files := hostfs.New(&faultfs.Fs{Inner: s.Root, NoSync: true, Before: s.before}, hostfs.Options{UID: os.Geteuid(), GID: os.Getegid(), Now: s.now, Random: rand.Reader})
	settings, err := options.Host{Files: files, Accounts: options.HostAccounts{}}.Settle(p)
	hosttest.Must(s.t, err)
	res := report.New()
	res.MachineID, res.FQDN = strings.Repeat("ab", 16), pkitest.DefaultFQDN
	in := &install.Installer{
		View: &observe.View{
			Settings: settings, Files: files, Accounts: options.HostAccounts{}, Now: s.now, Result: res,
			MachineID: func() (string, error) { return strings.Repeat("ab", 16), nil },
			Secret:    func(string) {},
		},
		Audit:     func(string) audit.Recorder { return s },
		Addresses: []netip.Addr{netip.MustParseAddr(pkitest.DefaultIP)},
	}
	hosttest.Must(s.t, in.Observe())
	return in
}

// Record is the audit log.
func (s *site) Record(event contract.Event, _ map[string]string) error {
	s.events = append(s.events, event)
	if s.during != nil {
		s.during(event)
	}
	return nil
}

// answered is where a bundle came from that the manager's poll brought.
func answered() install.Source {
	return install.SourceOf(statedir.Answer{URL: managerURL, PeerIP: managerIP})
}

// provision puts a bundle in place, and must succeed.
func (s *site) provision(b contract.PkiBundle, change func(*options.Params)) *report.Result {
	s.t.Helper()
	in := s.installer(change)
	hosttest.Must(s.t, in.Provision(context.Background(), &b, answered()))
	return in.Result
}

func (s *site) bundle(opts ...pkitest.Option) contract.PkiBundle {
	s.t.Helper()
	return s.ca.Issue(s.t, opts...).Bundle(s.t)
}

// place puts a set there by hand, enrollment not knowing of it.
func (s *site) place(b contract.PkiBundle) {
	s.t.Helper()
	s.Write(caFile, b.CACrt, 0o644)
	s.Write(certFile, b.ServerCrt, 0o644)
	s.Write(keyFile, b.ServerKey, 0o600)
	if b.CRLPEM != "" {
		s.Write(crlFile, b.CRLPEM, 0o644)
	}
}

// tree is all that is on the host, but for lock files: name to mode, owner, time
// and content.
func (s *site) tree() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	hosttest.Must(s.t, filepath.WalkDir(s.Path(""), func(path string, d fs.DirEntry, err error) error {
		hosttest.Must(s.t, err)
		info, err := d.Info()
		hosttest.Must(s.t, err)
		name := strings.TrimPrefix(path, s.Path(""))
		content := ""
		if info.Mode().IsRegular() {
			content = s.read(name)
		}
		st := info.Sys().(*syscall.Stat_t)
		if !strings.HasSuffix(name, ".lock") {
			all[name] = strings.Join([]string{info.Mode().String(), time.Unix(st.Mtim.Unix()).String(), content}, "\n")
		}
		return nil
	}))
	return all
}

// unchanged says where the host differs from what it was.
func (s *site) unchanged(before map[string]string) {
	s.t.Helper()
	after := s.tree()
	for name := range after {
		if _, ok := before[name]; !ok {
			s.t.Errorf("got a new file %s, want nothing changed", name)
		}
	}
	for name, was := range before {
		// What a directory's time says of a rehearsal is no change of the host.
		if now := after[name]; now != was && !strings.HasPrefix(was, "d") {
			s.t.Errorf("%s: got another mode, time or content (%d bytes), want it unchanged (%d bytes)", name, len(now), len(was))
		}
	}
}

func (s *site) mode(name string) fs.FileMode {
	s.t.Helper()
	info, err := os.Lstat(s.Path(name))
	hosttest.Must(s.t, err)
	return info.Mode().Perm()
}

func (s *site) exists(name string) bool {
	_, err := os.Lstat(s.Path(name))
	return err == nil
}

// is fails the test unless the set that stands is that of b, and no temporary
// file is beside it.
func (s *site) is(b contract.PkiBundle) {
	s.t.Helper()
	for name, want := range map[string]string{caFile: b.CACrt, certFile: b.ServerCrt, keyFile: b.ServerKey, crlFile: b.CRLPEM} {
		// Not the content: one is a key.
		if got := s.read(name); got != want {
			s.t.Errorf("%s: got %d bytes of SHA-256 %s, want %d of %s", name, len(got), statedir.Digest([]byte(got)), len(want), statedir.Digest([]byte(want)))
		}
	}
	names, err := filepath.Glob(s.Path("/etc/linux_patch_api/certs/.*"))
	hosttest.Must(s.t, err)
	if len(names) > 0 {
		s.t.Errorf("got the temporary files %q, want none", names)
	}
}

// same fails the test unless both lists are equal.
func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// failsWith fails the test unless err has the code, and all texts are in it.
func failsWith(t testing.TB, err error, code contract.Code, texts ...string) {
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

// warns fails the test unless one warning has the text.
func warns(t testing.TB, res *report.Result, want string) {
	t.Helper()
	if got := strings.Join(res.Warnings, "\n"); !strings.Contains(got, want) {
		t.Errorf("got the warnings %q, want %q in them", got, want)
	}
}

// needRoot skips a test of what only root can do or has to refuse.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
}

func fingerprint(ca *pkitest.CA) string { return pki.Fingerprint(ca.Cert.Raw) }
