package enroll_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/converse"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/report"
)

// seenAs is a manager that sees this host at an address of its own.
type seenAs struct {
	*fakeManager
	local, peer netip.Addr
	asked       contract.EnrollmentRequest
}

func (m *seenAs) Register(ctx context.Context, seenFrom func(netip.Addr) contract.EnrollmentRequest) (managerclient.Registration, error) {
	m.asked = seenFrom(m.local)
	got, err := m.fakeManager.Register(ctx, func(netip.Addr) contract.EnrollmentRequest { return m.asked })
	got.Local = m.local
	return got, err
}

func (m *seenAs) Poll(ctx context.Context, token string) (managerclient.Answer, error) {
	a, err := m.fakeManager.Poll(ctx, token)
	a.PeerIP = m.peer
	return a, err
}

func (r *rig) runSeen(m *seenAs, change func(*options.Params)) (*report.Result, managerclient.Options) {
	r.t.Helper()
	p := options.DefaultParams()
	p.ManagerURL, p.Wait = "https://manager.example.com", false
	if change != nil {
		change(&p)
	}
	m.fakeManager = r.manager
	e := r.enroller(nil)
	var dialed managerclient.Options
	e.Dial = func(o managerclient.Options) (converse.ManagerClient, error) { dialed = o; return m, nil }
	return e.Run(context.Background(), p), dialed
}

// The request says the address of the connection, which the route only guesses.
// What works with IPv4 only is named where it is IPv6.
func TestField1_3_RequestSaysTheConnection(t *testing.T) {
	for _, c := range []struct {
		name, local, report string
		want                string
		ipv6                bool
	}{
		{"IPv4", "198.51.100.7", "", "198.51.100.7", false},
		{"IPv6", "2001:db8::7", "", "2001:db8::7", true},
		{"IPv4 in IPv6", "::ffff:198.51.100.7", "", "198.51.100.7", false},
		{"loopback", "127.0.0.1", "", "192.0.2.77", false},
		{"through a proxy", "", "", "192.0.2.77", false},
	} {
		m := &seenAs{peer: netip.MustParseAddr("192.0.2.1")}
		if c.local != "" {
			m.local = netip.MustParseAddr(c.local)
		}
		r := newRig(t)
		r.manager.approved = false
		res, _ := r.runSeen(m, nil)
		if res.Failed || m.asked.IPAddress != c.want || !slices.Contains(m.asked.IPAddresses, c.want) {
			t.Errorf("%s: got %s of %v, want %s: %s", c.name, m.asked.IPAddress, m.asked.IPAddresses, c.want, res.Msg)
		}
		if warned := strings.Contains(strings.Join(res.Warnings, " "), "write no brackets"); warned != c.ipv6 {
			t.Errorf("%s: got the warnings %q", c.name, res.Warnings)
		}
		// The poll goes by the family of what was reported.
		if _, dialed := r.runSeen(m, nil); dialed.IPv6 != c.ipv6 {
			t.Errorf("%s: got IPv6 first %v, want %v", c.name, dialed.IPv6, c.ipv6)
		}
	}
}

func TestField1_4_IPv6IsWarnedAbout(t *testing.T) {
	m := &seenAs{local: netip.MustParseAddr("2001:db8::7"), peer: netip.MustParseAddr("2001:db8::1")}
	res, _ := newRig(t).runSeen(m, nil)
	said := strings.Join(res.Warnings, "\n")
	if res.State != contract.StateEnrolled || !strings.Contains(said, "refuse the whole file") || !strings.Contains(said, "write no brackets") {
		t.Errorf("%s: got the warnings %q", res.Msg, res.Warnings)
	}
	m = &seenAs{local: netip.MustParseAddr("192.0.2.77"), peer: netip.MustParseAddr("192.0.2.1")}
	if res, _ := newRig(t).runSeen(m, nil); strings.Contains(strings.Join(res.Warnings, " "), "IPv6") {
		t.Errorf("IPv4: got the warnings %q", res.Warnings)
	}
}

// fetch puts the set in place that an agent of the deployed kind has fetched
// with the mirrored token.
func (r *rig) fetch(notBefore time.Time) {
	r.t.Helper()
	leaf := r.manager.ca.Issue(r.t, append(r.manager.who, pkitest.Valid(notBefore, notBefore.Add(365*24*time.Hour)))...)
	dir := "/etc/linux_patch_api/certs/"
	r.write(dir+"ca.pem", r.manager.ca.PEM(), 0o644)
	r.write(dir+"server.key.pem", leaf.KeyPEM(r.t), 0o600)
	r.write(dir+"server.pem", leaf.PEM(), 0o644)
	r.manager.taken = true
}

func TestField1_9_FetchedByAnotherAgent(t *testing.T) {
	for _, c := range []struct {
		name    string
		age     time.Duration // of the certificate when the manager is asked
		change  func(*options.Params)
		adopted bool
	}{
		{"issued now", 0, nil, true},
		{"a clock that is four minutes behind", 4 * time.Minute, nil, true},
		{"older than the request", 10 * time.Minute, nil, false},
		{"another CA is expected", 0, func(p *options.Params) { p.BundleCAFingerprint = strings.Repeat("ab", 32) }, false},
	} {
		r := newRig(t)
		r.manager.approved = false
		if res := r.run(nil, nil); res.State != contract.StatePending {
			t.Fatal(res.Msg)
		}
		r.fetch(time.Now().Add(-c.age))
		res := r.run(nil, c.change)
		if !c.adopted {
			if !res.Failed || res.Error.Code != contract.CodeTokenUnknown {
				t.Errorf("%s: got %s", c.name, res.Msg)
			}
			continue
		}
		var p struct {
			CAFingerprint string `json:"ca_fingerprint"`
			Files         []any  `json:"files"`
		}
		must(t, json.Unmarshal([]byte(r.read("/var/lib/linux_patch_enroll/provenance.json")), &p))
		if res.Failed || res.State != contract.StateEnrolled || !res.Changed || p.CAFingerprint != pki.Fingerprint(r.manager.ca.Cert.Raw) || len(p.Files) != 3 {
			t.Errorf("%s: got %s, %+v", c.name, res.Msg, p)
		}
		if left := r.read("/var/lib/linux_patch_enroll/token") + r.read("/etc/linux_patch_api/config.yaml"); strings.Contains(left, "TokenCanary") {
			t.Errorf("%s: the stale token is kept", c.name)
		}
		if got := r.read("/etc/linux_patch_api/whitelist.yaml"); got != admittedText {
			t.Errorf("%s: the whitelist is %s", c.name, got)
		}
		posts, polls := r.manager.posts, r.manager.polls
		if res := r.run(nil, nil); res.Failed || res.Changed || r.manager.posts != posts || r.manager.polls != polls {
			t.Errorf("%s: the next run: %s", c.name, res.Msg)
		}
	}
}

// Wherever removing the host is named, re-issuing is named before it.
func TestField1_11_ReissueFirst(t *testing.T) {
	seen := 0
	for _, c := range contract.Codes {
		remove := strings.Index(c.Hint, "remove")
		if remove < 0 {
			continue
		}
		seen++
		if first := strings.Index(c.Hint, "re-issue"); first < 0 || first > remove {
			t.Errorf("%s: got the hint %q", c.Code, c.Hint)
		}
	}
	if seen < 3 {
		t.Errorf("only %d hints were seen", seen)
	}
}

// http on loopback may be answered by another user of this machine: told and
// written down as insecure is.
func TestField3_11_HTTPOnLoopbackIsWarnedAbout(t *testing.T) {
	for url, want := range map[string]bool{
		"http://localhost:8080": true, "http://127.0.0.1:8080/api/v1/enroll": true, "http://[::1]:8080": true, "https://localhost:8443": false,
	} {
		r := newRig(t)
		res := r.run(nil, func(p *options.Params) { p.ManagerURL = url })
		warned := strings.Contains(strings.Join(res.Warnings, " "), "manager_url is http")
		if res.Failed || warned != want || slices.Contains(r.audit, contract.EventInsecure) != want {
			t.Errorf("%s: got the warnings %q and events %v: %s", url, res.Warnings, r.audit, res.Msg)
		}
	}
}

// large is a manager whose bundle has a list of revoked certificates.
type large struct {
	*fakeManager
	crl string
}

func (m large) Poll(ctx context.Context, token string) (managerclient.Answer, error) {
	a, err := m.fakeManager.Poll(ctx, token)
	var body map[string]any
	if err == nil && json.Unmarshal(a.Body, &body) == nil && body["server_key"] != nil {
		body["crl_pem"] = m.crl
		a.Body, err = json.Marshal(body)
	}
	return a, err
}

// A bundle larger than the space that was made for it is enrolled with: its key
// material is on disk without the list, and the list is put in place.
func TestField2_16_LargeBundle(t *testing.T) {
	r := newRig(t)
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}
	for n := range 30000 {
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries,
			x509.RevocationListEntry{SerialNumber: big.NewInt(int64(n + 1)), RevocationTime: template.ThisUpdate})
	}
	crl := r.manager.ca.SignCRL(t, template) + strings.Repeat(" ", 1<<20)
	e := r.enroller(nil)
	asked := 0
	e.Dial = func(managerclient.Options) (converse.ManagerClient, error) {
		asked++
		return large{r.manager, crl}, nil
	}
	p := options.DefaultParams()
	p.ManagerURL, p.Wait, p.BundleCAFingerprint = "https://manager.example.com", false, strings.Repeat("0", 64)
	if res := e.Run(context.Background(), p); res.Error == nil || res.Error.Code != contract.CodeBundleInvalid || asked != 1 {
		t.Fatalf("got %s, asked %d times", res.Msg, asked)
	}
	// The whole of it was stored, the list too: no one is asked again.
	p.BundleCAFingerprint = ""
	e.Dial = func(managerclient.Options) (converse.ManagerClient, error) {
		t.Error("the manager is asked again")
		return large{r.manager, crl}, nil
	}
	res := e.Run(context.Background(), p)
	if res.Failed || res.State != contract.StateEnrolled || !strings.Contains(r.read("/etc/linux_patch_api/certs/crl.pem"), "BEGIN X509 CRL") {
		t.Errorf("got %s, warnings %q", res.Msg, res.Warnings)
	}
}
