package manager_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/manager"
)

func eachDialect(t *testing.T, f func(t *testing.T, dialect int)) {
	for _, d := range []int{1, 2} {
		t.Run(fmt.Sprintf("dialect %d", d), func(t *testing.T) { f(t, d) })
	}
}

func TestRegistrationIsAcceptedWithAToken(t *testing.T) {
	eachDialect(t, func(t *testing.T, dialect int) {
		l := newLab(t, manager.Options{Dialect: dialect})
		r := l.do(l.client, "POST", "/api/v1/enroll", enrollBody(0))
		if r.code != 202 {
			t.Fatalf("answer %d, want 202", r.code)
		}
		token, _ := r.json(t)["polling_token"].(string)
		if !regexp.MustCompile(`^[0-9A-Za-z]{64}$`).MatchString(token) {
			t.Error("the token is not 64 letters and digits")
		}
	})
}

func TestRegistrationRefusesWhatIsNoIdentity(t *testing.T) {
	long := strings.Repeat("a", 64)
	for name, edit := range map[string]struct{ old, new string }{
		"machine_id in capitals":        {`"00000000000000000000000000000001"`, `"0000000000000000000000000000000A"`},
		"machine_id too short":          {`"00000000000000000000000000000001"`, `"0001"`},
		"machine_id all zero":           {`"00000000000000000000000000000001"`, `"00000000000000000000000000000000"`},
		"machine_id with dashes":        {`"00000000000000000000000000000001"`, `"00000000-0000-0000-0000-000000000001"`},
		"machine_id a number":           {`"00000000000000000000000000000001"`, `1`},
		"fqdn empty":                    {`"host0.example.com"`, `""`},
		"fqdn with a space":             {`"host0.example.com"`, `"host0 example"`},
		"fqdn with an empty label":      {`"host0.example.com"`, `"host0..com"`},
		"fqdn with a trailing dot":      {`"host0.example.com"`, `"host0.example.com."`},
		"fqdn with a long label":        {`"host0.example.com"`, `"` + long + `.com"`},
		"fqdn too long":                 {`"host0.example.com"`, `"` + strings.Repeat("abcdefg.", 32) + `com"`},
		"fqdn with a leading dash":      {`"host0.example.com"`, `"-host0.example.com"`},
		"fqdn that is an address":       {`"host0.example.com"`, `"10.0.0.1"`},
		"fqdn with a control character": {`"host0.example.com"`, `"host0\u001b[2J"`},
		"hostname that is none":         {`"hostname":"host0"`, `"hostname":"a b"`},
		"ip_address empty":              {`"ip_address":"10.0.0.1"`, `"ip_address":""`},
		"ip_address a name":             {`"ip_address":"10.0.0.1"`, `"ip_address":"host0"`},
		"ip_address with a port":        {`"ip_address":"10.0.0.1"`, `"ip_address":"10.0.0.1:22"`},
		"ip_address with a zone":        {`"ip_address":"10.0.0.1"`, `"ip_address":"fe80::1%eth0"`},
		"ip_address unspecified":        {`"ip_address":"10.0.0.1"`, `"ip_address":"0.0.0.0"`},
		"ip_addresses not a list":       {`["10.0.0.1","2001:db8::1"]`, `"10.0.0.1"`},
		"ip_addresses with rubbish":     {`["10.0.0.1","2001:db8::1"]`, `["x"]`},
		"ip_addresses too many":         {`["10.0.0.1","2001:db8::1"]`, `[` + strings.Repeat(`"10.0.0.1",`, 64) + `"10.0.0.1"]`},
		"os_details a string":           {`"os_details":{`, `"os_details":"x","rest":{`},
		"os_details too long":           {`"codename":"trixie"`, `"codename":"` + strings.Repeat("x", 4096) + `"`},
		"something after the object":    {`"from_a_newer_client":{"a":[1]}}`, `"x":1}{}`},
		"cut JSON":                      {`"from_a_newer_client":{"a":[1]}}`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, manager.Options{})
			body := strings.Replace(enrollBody(0), edit.old, edit.new, 1)
			if body == enrollBody(0) {
				t.Fatal("the edit changes nothing")
			}
			r := l.do(l.client, "POST", "/api/v1/enroll", body)
			if text, _ := r.json(t)["error"].(string); r.code != 400 || text == "" {
				t.Errorf("answer %d, error %q; want 400 and a reason", r.code, text)
			}
			if rows, err := l.s.Pending(); err != nil || len(rows) != 0 {
				t.Errorf("%d requests are pending (%v), want none", len(rows), err)
			}
		})
	}
}

func TestRegistrationKeepsWhatWasClaimedAndWhereItCameFrom(t *testing.T) {
	l := newLab(t, manager.Options{})
	body := strings.Replace(enrollBody(0), `"ip_address":"10.0.0.1"`, `"ip_address":"::ffff:10.9.9.9"`, 1)
	if r := l.do(l.client, "POST", "/api/v1/enroll", body, "X-Forwarded-For", "192.0.2.7", "Content-Type", "text/plain"); r.code != 202 {
		t.Fatalf("answer %d", r.code)
	}
	rows, err := l.s.Pending()
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	p := rows[0]
	if p.Source.String() != "127.0.0.1" || p.IPAddress.String() != "10.9.9.9" || len(p.IPAddresses) != 2 {
		t.Errorf("source %v, address %v, addresses %v", p.Source, p.IPAddress, p.IPAddresses)
	}
	if want := l.clock.Now().Add(24 * time.Hour); !p.ExpiresAt.Equal(want) {
		t.Errorf("expires %v, want %v", p.ExpiresAt, want)
	}
	if !strings.Contains(string(p.OSDetails), `"codename":"trixie"`) {
		t.Errorf("os_details %s", p.OSDetails)
	}
}

func TestBodyAndHeaderCaps(t *testing.T) {
	l := newLab(t, manager.Options{})
	for size, want := range map[int]int{64 << 10: 400, 64<<10 + 1: 413, 8 << 20: 413} {
		if r := l.do(l.client, "POST", "/api/v1/enroll", strings.Repeat(" ", size)); r.code != want {
			t.Errorf("body of %d bytes: %d, want %d", size, r.code, want)
		}
	}
}

func TestKnownMachine(t *testing.T) {
	for _, tc := range []struct {
		name              string
		conflict409       bool
		pending, approved int
	}{
		{"deployed", false, 500, 202},
		{"--conflict 409", true, 409, 409},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := newLab(t, manager.Options{Conflict409: tc.conflict409, NoRateLimit: true})
			token := l.enroll(0)
			r := l.do(l.client, "POST", "/api/v1/enroll", enrollBody(0))
			if r.code != tc.pending {
				t.Errorf("pending machine: %d, want %d", r.code, tc.pending)
			}
			if tc.pending == 500 && strings.TrimSpace(r.body) != `{"error":"Database error"}` {
				t.Errorf("body %s", r.body)
			}
			if got := l.state(2, l.poll(token)); got != "pending" {
				t.Errorf("the first token then says %s", got)
			}
			l.approve(0)
			if r := l.do(l.client, "POST", "/api/v1/enroll", enrollBody(0)); r.code != tc.approved {
				t.Errorf("machine that is a host: %d, want %d", r.code, tc.approved)
			}
			if got := l.state(2, l.poll(token)); got != "approved" {
				t.Errorf("the first token then says %s, want approved", got)
			}
		})
	}
}

func TestStatusOfEveryState(t *testing.T) {
	eachDialect(t, func(t *testing.T, dialect int) {
		l := newLab(t, manager.Options{Dialect: dialect, NoRateLimit: true})
		expect := func(when, token, want string) {
			t.Helper()
			if got := l.state(dialect, l.poll(token)); got != want {
				t.Errorf("%s: %s, want %s", when, got, want)
			}
		}
		token := l.enroll(0)
		expect("after registration", token, "pending")
		if dialect == 1 && l.poll(token).body != "" {
			t.Error("dialect 1: a pending answer has a body")
		}
		expect("again", token, "pending")
		expect("another token of that shape", strings.Repeat("a", 64), "notfound")
		expect("not of that shape", "short", "notfound")
		expect("with an escape", "%2e%2e%2fx", "notfound")
		l.approve(0)
		expect("after approval", token, "approved")
		expect("after the hand-out", token, "notfound")

		token = l.enroll(1)
		if err := l.s.Deny(l.pendingID(1)); err != nil {
			t.Fatal(err)
		}
		expect("after denial, as deployed", token, "notfound")
		token = l.enroll(1)
		l.clock.advance(24*time.Hour - time.Nanosecond)
		expect("just before expiry", token, "pending")
		l.clock.advance(time.Nanosecond)
		expect("at expiry", token, "notfound")
		if rows, err := l.s.Pending(); err != nil || len(rows) != 0 {
			t.Errorf("an expired request is listed: %v, %v", rows, err)
		}
		if again := l.enroll(1); again == token {
			t.Error("the same token twice")
		}
	})
}

func TestDeniedIsRememberedWhenAsked(t *testing.T) {
	eachDialect(t, func(t *testing.T, dialect int) {
		dir := t.TempDir()
		l := newLab(t, manager.Options{Dir: dir, Dialect: dialect, RememberDenied: true, NoRateLimit: true})
		token := l.enroll(0)
		if err := l.s.Deny(l.pendingID(0)); err != nil {
			t.Fatal(err)
		}
		l.stop()
		l2 := newLab(t, manager.Options{Dir: dir, Dialect: dialect, RememberDenied: true, NoRateLimit: true})
		for range 2 {
			if got := l2.state(dialect, l2.poll(token)); got != "denied" {
				t.Errorf("%s, want denied", got)
			}
		}
		l2.enroll(0)
		if got := l2.state(dialect, l2.poll(token)); got != "denied" {
			t.Errorf("after registering anew the old token says %s", got)
		}
		l2.clock.advance(24 * time.Hour)
		if got := l2.state(dialect, l2.poll(token)); got != "notfound" {
			t.Errorf("when the request would have expired: %s, want notfound", got)
		}
	})
}

func TestNotFoundHasTwoSpellings(t *testing.T) {
	l := newLab(t, manager.Options{NotFoundAlt: true})
	if got := l.state(2, l.poll(strings.Repeat("b", 64))); got != "not_found" {
		t.Errorf("%s", got)
	}
}

func TestHandOutWindow(t *testing.T) {
	eachDialect(t, func(t *testing.T, dialect int) {
		for _, tc := range []struct {
			after time.Duration
			want  string
		}{{600*time.Second - time.Nanosecond, "approved"}, {600 * time.Second, "notfound"}} {
			l := newLab(t, manager.Options{Dialect: dialect})
			token := l.enroll(0)
			l.approve(0)
			l.clock.advance(tc.after)
			if got := l.state(dialect, l.poll(token)); got != tc.want {
				t.Errorf("after %v: %s, want %s", tc.after, got, tc.want)
			}
		}
	})
}

func TestBundleIsHandedOutOnceUnderConcurrentPolls(t *testing.T) {
	eachDialect(t, func(t *testing.T, dialect int) {
		l := newLab(t, manager.Options{Dialect: dialect, NoRateLimit: true})
		token := l.enroll(0)
		id := l.pendingID(0)
		const polls = 50
		states := make(chan string, polls)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for range polls {
			wg.Go(func() {
				<-start
				states <- l.pollUntilDecided(dialect, token)
			})
		}
		close(start)
		if _, err := l.s.Approve(id); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		close(states)
		count := map[string]int{}
		for s := range states {
			count[s]++
		}
		if count["approved"] != 1 || count["notfound"] != polls-1 {
			t.Errorf("%v, want approved once and notfound %d times", count, polls-1)
		}
	})
}

func TestNoPollSeesNotFoundBetweenPendingAndApproved(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	for n := range 20 {
		token := l.enroll(n)
		id := l.pendingID(n)
		done := make(chan string, 1)
		go func() { done <- l.pollUntilDecided(2, token) }()
		if _, err := l.s.Approve(id); err != nil {
			t.Fatal(err)
		}
		if got := <-done; got != "approved" {
			t.Fatalf("the first answer after pending is %s: a client would give up its token", got)
		}
	}
}

func TestHeadDoesNotConsumeTheBundle(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	token := l.enroll(0)
	l.approve(0)
	if r := l.do(l.client, "HEAD", "/api/v1/enroll/status/"+token, ""); r.code != 405 {
		t.Errorf("HEAD: %d, want 405", r.code)
	}
	if got := l.state(2, l.poll(token)); got != "approved" {
		t.Errorf("after HEAD: %s", got)
	}
}

func TestIssuedBundle(t *testing.T) {
	eachDialect(t, func(t *testing.T, dialect int) {
		l := newLab(t, manager.Options{Dialect: dialect})
		token := l.enroll(0)
		l.clock.advance(90 * time.Second)
		now := l.clock.Now()
		h := l.approve(0)
		l.clock.advance(time.Minute)
		b := l.poll(token).json(t)
		_, fqdn, ip := machine(0)
		ca, crt := certOf(t, b["ca_crt"]), certOf(t, b["server_crt"])
		text, _ := b["server_key"].(string)
		block, _ := pem.Decode([]byte(text))
		if block == nil || block.Type != "PRIVATE KEY" {
			t.Fatal("server_key is not PKCS#8 PEM")
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		key, ok := parsed.(*ecdsa.PrivateKey)
		if !ok || key.Curve != elliptic.P256() || !key.PublicKey.Equal(crt.PublicKey) {
			t.Error("the key is not the certificate's P-256 key")
		}
		if crt.Subject.CommonName != fqdn+"-server" {
			t.Errorf("CN %q", crt.Subject.CommonName)
		}
		if !crt.NotBefore.Equal(now) || !crt.NotAfter.Equal(now.Add(365*24*time.Hour)) {
			t.Errorf("valid %v to %v, approved at %v", crt.NotBefore, crt.NotAfter, now)
		}
		if len(crt.DNSNames) != 1 || crt.DNSNames[0] != fqdn || len(crt.IPAddresses) != 1 || crt.IPAddresses[0].String() != ip {
			t.Errorf("SAN %v %v", crt.DNSNames, crt.IPAddresses)
		}
		if len(crt.ExtKeyUsage) != 1 || crt.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth {
			t.Errorf("EKU %v", crt.ExtKeyUsage)
		}
		if !ca.IsCA || ca.CheckSignatureFrom(ca) != nil {
			t.Error("ca_crt is not a self-signed CA")
		}
		roots := x509.NewCertPool()
		roots.AddCert(ca)
		if _, err := crt.Verify(x509.VerifyOptions{Roots: roots, DNSName: fqdn, CurrentTime: now.Add(time.Minute)}); err != nil {
			t.Error(err)
		}
		if crt.SerialNumber.Text(16) != h.Serial {
			t.Errorf("recorded serial %s, issued %x", h.Serial, crt.SerialNumber)
		}
		chain, hasChain := b["ca_chain"]
		crl, hasCRL := b["crl_pem"].(string)
		if newer := dialect == 2; hasChain != newer || hasCRL != newer {
			t.Fatalf("ca_chain %v, crl_pem %v; newer managers send both, older none", hasChain, hasCRL)
		}
		if dialect == 2 {
			if chain != "" {
				t.Errorf("ca_chain %q", chain)
			}
			if list := crlOf(t, crl); list.CheckSignatureFrom(ca) != nil || len(list.RevokedCertificateEntries) != 0 {
				t.Error("crl_pem is not an empty CRL of the CA")
			}
		}
	})
}

func crlOf(t *testing.T, text string) *x509.RevocationList {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "X509 CRL" {
		t.Fatal("not a PEM CRL")
	}
	list, err := x509.ParseRevocationList(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestNewerBundleCanBeChosen(t *testing.T) {
	for _, tc := range []struct {
		dialect int
		newer   string
		want    bool
	}{{1, "on", true}, {1, "auto", false}, {2, "off", false}, {2, "auto", true}} {
		l := newLab(t, manager.Options{Dialect: tc.dialect, NewerBundle: tc.newer})
		token := l.enroll(0)
		l.approve(0)
		b := l.poll(token).json(t)
		_, chain := b["ca_chain"]
		_, crl := b["crl_pem"]
		if chain != tc.want || crl != tc.want {
			t.Errorf("dialect %d, %s: ca_chain %v, crl_pem %v", tc.dialect, tc.newer, chain, crl)
		}
	}
}

func TestLegacyAndShortCertificates(t *testing.T) {
	l := newLab(t, manager.Options{LegacyCerts: true, CertFor: 48 * time.Hour})
	token := l.enroll(0)
	l.approve(0)
	crt := certOf(t, l.poll(token).json(t)["server_crt"])
	if len(crt.DNSNames)+len(crt.IPAddresses) != 0 {
		t.Error("an older manager writes no SAN")
	}
	if len(crt.ExtKeyUsage) != 1 || crt.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
		t.Errorf("EKU %v, want clientAuth only", crt.ExtKeyUsage)
	}
	if !crt.NotAfter.Equal(l.clock.Now().Add(48 * time.Hour)) {
		t.Errorf("until %v", crt.NotAfter)
	}
}

func TestRestartForgetsBundlesAndKeepsTheRest(t *testing.T) {
	eachDialect(t, func(t *testing.T, dialect int) {
		dir := t.TempDir()
		opt := manager.Options{Dir: dir, Dialect: dialect, NoRateLimit: true}
		l := newLab(t, opt)
		approved, pending := l.enroll(0), l.enroll(1)
		l.approve(0)
		ca, admin := string(l.s.CAPEM()), l.s.AdminToken()
		l.stop()

		l = newLab(t, opt)
		if got := l.state(dialect, l.poll(approved)); got != "notfound" {
			t.Errorf("approved before the restart: %s, want notfound", got)
		}
		if got := l.state(dialect, l.poll(pending)); got != "pending" {
			t.Errorf("pending before the restart: %s", got)
		}
		if string(l.s.CAPEM()) != ca || l.s.AdminToken() != admin {
			t.Error("CA or admin token changed")
		}
		hosts, err := l.s.Hosts()
		if err != nil || len(hosts) != 1 {
			t.Fatalf("%d hosts, %v", len(hosts), err)
		}
		// The host that lost its bundle registers anew, and no admin can
		// approve it before removing the host.
		again := l.enroll(0)
		if _, err := l.s.Approve(l.pendingID(0)); !errors.Is(err, manager.ErrHostExists) {
			t.Errorf("approval of an existing host: %v", err)
		}
		if got := l.state(dialect, l.poll(again)); got != "pending" {
			t.Errorf("after the refused approval: %s, want pending", got)
		}
		if err := l.s.RemoveHost(hosts[0].ID); err != nil {
			t.Fatal(err)
		}
		l.approve(0)
		if got := l.state(dialect, l.poll(again)); got != "approved" {
			t.Errorf("after the host was removed: %s", got)
		}
	})
}

func TestRateLimit(t *testing.T) {
	l := newLab(t, manager.Options{})
	token := l.enroll(0)
	for i := range 2 {
		if r := l.poll(token); r.code != 200 {
			t.Fatalf("poll %d of the burst: %d", i, r.code)
		}
	}
	for _, header := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded"} {
		r := l.do(l.client, "GET", "/api/v1/enroll/status/"+token, "", header, "192.0.2.1")
		if r.code != 429 || r.header.Get("Retry-After") != "12" || r.header.Get("X-Ratelimit-After") != "12" {
			t.Errorf("4th request, %s: %d, Retry-After %q", header, r.code, r.header.Get("Retry-After"))
		}
	}
	if r := l.do(l.client, "POST", "/api/v1/enroll", enrollBody(1)); r.code != 429 {
		t.Errorf("POST shares the limit: %d", r.code)
	}
	if r := l.do(l.clientFrom("127.0.0.2"), "POST", "/api/v1/enroll", enrollBody(1)); r.code != 202 {
		t.Errorf("another source has its own limit: %d", r.code)
	}
	if r := l.do(l.client, "GET", "/api/v1/pki/crl.pem", ""); r.code != 200 {
		t.Errorf("other endpoints have none: %d", r.code)
	}
	l.clock.advance(5500 * time.Millisecond)
	if r := l.poll(token); r.code != 429 || r.header.Get("Retry-After") != "7" {
		t.Errorf("after 5.5 s: %d, Retry-After %q, want 7", r.code, r.header.Get("Retry-After"))
	}
	l.clock.advance(6500 * time.Millisecond)
	if got := l.state(2, l.poll(token)); got != "pending" {
		t.Errorf("after 12 s: %s", got)
	}
	if r := l.poll(token); r.code != 429 {
		t.Errorf("one request per 12 s: %d", r.code)
	}
}

func TestRateLimitedPollDoesNotConsumeTheBundle(t *testing.T) {
	l := newLab(t, manager.Options{})
	token := l.enroll(0)
	l.poll(token)
	l.poll(token)
	l.approve(0)
	if r := l.poll(token); r.code != 429 {
		t.Fatalf("%d, want 429", r.code)
	}
	l.clock.advance(12 * time.Second)
	if got := l.state(2, l.poll(token)); got != "approved" {
		t.Errorf("%s, want approved", got)
	}
}

func TestAutoApprove(t *testing.T) {
	network := func(text string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(text)} }
	for _, tc := range []struct {
		name   string
		opt    manager.Options
		source string
		want   string
	}{
		{"the connection's source", manager.Options{AutoApprove: network("127.0.0.2/32")}, "127.0.0.2", "approved"},
		{"another source", manager.Options{AutoApprove: network("127.0.0.2/32")}, "127.0.0.3", "pending"},
		{"the claimed address and the headers count for nothing", manager.Options{AutoApprove: network("10.0.0.0/8")}, "127.0.0.1", "pending"},
		{"the claimed FQDN", manager.Options{AutoApproveFQDN: "*.EXAMPLE.com"}, "127.0.0.1", "approved"},
		{"another FQDN", manager.Options{AutoApproveFQDN: "web*.example.com"}, "127.0.0.1", "pending"},
		{"off", manager.Options{}, "127.0.0.1", "pending"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.opt.NoRateLimit = true
			l := newLab(t, tc.opt)
			r := l.do(l.clientFrom(tc.source), "POST", "/api/v1/enroll", enrollBody(0),
				"X-Forwarded-For", "10.0.0.1", "X-Real-IP", "10.0.0.1", "Forwarded", "for=10.0.0.1", "Client-IP", "10.0.0.1")
			token, _ := r.json(t)["polling_token"].(string)
			if got := l.state(2, l.poll(token)); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestAutoApproveLeavesAnExistingHostPending(t *testing.T) {
	l := newLab(t, manager.Options{AutoApprove: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, NoRateLimit: true})
	l.enroll(0)
	again := l.enroll(0)
	if got := l.state(2, l.poll(again)); got != "pending" {
		t.Errorf("%s, want pending", got)
	}
}
