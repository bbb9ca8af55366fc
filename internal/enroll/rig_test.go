package enroll_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/audit"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/converse"
	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
	"github.com/linux-patch/enroll/internal/identity"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/report"
)

const (
	configText    = "# the agent\nserver:\n  port: 12443 # as deployed\n"
	whitelistText = "# who may call\nentries:\n  - 192.0.2.10 # old\n"
	admittedText  = "# who may call\nentries:\n  - 192.0.2.10 # old\n  - 192.0.2.1\n"
	canary        = "TokenCanary0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP"
)

// rig is a host in a directory of the real file system, and a manager that
// answers from memory as deployed ones do.
type rig struct {
	t       testing.TB
	dir     string
	root    *hostfs.RootFs
	now     func() time.Time
	manager *fakeManager
	audit   []contract.Event
	// audited are the fields of the last event.
	audited map[string]string
}

// fakeManager hands a bundle out once.
type fakeManager struct {
	t        testing.TB
	ca       *pkitest.CA
	who      []pkitest.Option
	approved bool
	// token is that of the pending request; taken says that the bundle is gone.
	token        string
	taken        bool
	posts, polls int
	// asked is the last request; asking, where set, is called with each.
	asked  contract.EnrollmentRequest
	asking func(contract.EnrollmentRequest)
	// lose cuts the connection once the manager has acted.
	lose bool
	// keys are those of the bundles that were issued.
	keys []string
}

func newRig(t testing.TB) *rig {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	root, err := hostfs.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	r := &rig{t: t, dir: dir, root: root, now: time.Now, manager: &fakeManager{
		t: t, approved: true, ca: pkitest.NewCA(t), who: []pkitest.Option{pkitest.DNS("web1.example.com"), pkitest.IP("192.0.2.77")},
	}}
	must(t, os.MkdirAll(r.path("/etc/linux_patch_api"), 0o755))
	r.write("/etc/linux_patch_api/config.yaml", configText, 0o640)
	r.write("/etc/linux_patch_api/whitelist.yaml", whitelistText, 0o644)
	return r
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) write(name, content string, mode fs.FileMode) {
	r.t.Helper()
	must(r.t, os.WriteFile(r.path(name), []byte(content), mode))
	must(r.t, os.Chmod(r.path(name), mode))
}

func (r *rig) read(name string) string {
	raw, err := os.ReadFile(r.path(name))
	if err != nil {
		return ""
	}
	return string(raw)
}

// run is one run of the use case, whose operations on files go through faults.
func (r *rig) run(faults *faultfs.Fs, change func(*options.Params)) *report.Result {
	r.t.Helper()
	p := options.DefaultParams()
	p.ManagerURL, p.Wait, p.ConfigManagerURL = "https://manager.example.com", false, false
	if change != nil {
		change(&p)
	}
	return r.enroller(faults).Run(context.Background(), p)
}

func (r *rig) enroller(faults *faultfs.Fs) *enroll.Enroller {
	if faults == nil {
		faults = &faultfs.Fs{}
	}
	faults.Inner, faults.NoSync = r.root, true
	return &enroll.Enroller{
		Files: hostfs.New(faults, hostfs.Options{UID: os.Geteuid(), GID: os.Getegid(), Now: r.now, Random: rand.Reader}),
		Given: r.root, Identity: fixedIdentity{}, Accounts: options.HostAccounts{},
		Dial:     func(managerclient.Options) (converse.ManagerClient, error) { return r.manager, nil },
		Audit:    func(string) audit.Recorder { return recorder{r} },
		Now:      r.now,
		Rand:     func() float64 { return 0.5 },
		Secret:   func(string) {},
		Progress: func(converse.Progress) {},
		Program:  "test",
	}
}

type recorder struct{ r *rig }

func (a recorder) Record(event contract.Event, fields map[string]string) error {
	a.r.audit, a.r.audited = append(a.r.audit, event), fields
	for name, value := range fields {
		if strings.Contains(value, canary) {
			a.r.t.Errorf("the audit log holds the token in %s", name)
		}
	}
	return nil
}

type fixedIdentity struct{}

func (fixedIdentity) Gather(context.Context, identity.Options) (identity.Host, []string, error) {
	ip := netip.MustParseAddr("192.0.2.77")
	return identity.Host{MachineID: strings.Repeat("ab", 16), FQDN: "web1.example.com", Hostname: "web1", IP: ip, IPs: []netip.Addr{ip}}, nil, nil
}

func (fixedIdentity) MachineID() (string, error) { return strings.Repeat("ab", 16), nil }

func (m *fakeManager) UsesProxy() bool { return false }

func (m *fakeManager) Register(_ context.Context, seenFrom func(netip.Addr) contract.EnrollmentRequest) (managerclient.Registration, error) {
	asked := seenFrom(netip.Addr{})
	m.posts++
	m.asked = asked
	if m.asking != nil {
		m.asking(asked)
	}
	if m.token != "" && !m.taken {
		err := contract.Errorf(contract.CodeManagerError, "the manager answered HTTP 500")
		return managerclient.Registration{}, &managerclient.RequestError{HTTPStatus: 500, Err: err}
	}
	m.token, m.taken = canary[:len(canary)-2]+string(rune('a'+m.posts/26%26))+string(rune('a'+m.posts%26)), false
	if m.lose {
		return managerclient.Registration{}, cutOff()
	}
	return managerclient.Registration{Token: m.token}, nil
}

func (m *fakeManager) Poll(_ context.Context, token string) (managerclient.Answer, error) {
	m.polls++
	a := managerclient.Answer{HTTPStatus: 200, PeerIP: netip.MustParseAddr("192.0.2.1"), Body: []byte(`{"status":"pending"}`)}
	switch {
	case token != m.token || m.taken:
		a.Body = []byte(`{"status":"notfound"}`)
	case m.approved:
		m.taken = true
		now := time.Now()
		leaf := m.ca.Issue(m.t, append(m.who, pkitest.Valid(now, now.Add(365*24*time.Hour)))...)
		b := leaf.Bundle(m.t)
		m.keys = append(m.keys, b.ServerKey)
		raw, err := json.Marshal(contract.PollingStatus{Status: contract.StatusApproved, PkiBundle: b})
		must(m.t, err)
		a.Body = raw
	}
	if m.lose {
		return managerclient.Answer{}, cutOff()
	}
	return a, nil
}

func cutOff() error {
	return &managerclient.RequestError{MaybeDelivered: true, Err: contract.Errorf(contract.CodeUnreachable, "the connection was cut")}
}

// forget is an administrator who removes host and request.
func (m *fakeManager) forget() { m.token, m.taken = "", false }

var stray = regexp.MustCompile(`\.enroll~tmp$|^state/(token|request|spool|journal|proof)`)

// end says what is wrong on a host that must be enrolled with the last bundle.
func (r *rig) end() (wrong []string) {
	r.t.Helper()
	certs := "/etc/linux_patch_api/certs/"
	if r.read(certs+"server.key.pem") != r.manager.keys[len(r.manager.keys)-1] {
		wrong = append(wrong, "the key is not the last one that the manager issued")
	}
	for name, want := range map[string]string{"config.yaml": configText, "whitelist.yaml": admittedText} {
		if got := r.read("/etc/linux_patch_api/" + name); got != want {
			wrong = append(wrong, name+" is "+got)
		}
	}
	must(r.t, filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(r.path("/var/lib/linux_patch_enroll"), path)
		if err == nil && (stray.MatchString(d.Name()) || stray.MatchString("state/"+name)) {
			wrong = append(wrong, "left behind: "+path)
		}
		return err
	}))
	return wrong
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
