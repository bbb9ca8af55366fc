package manager_test

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
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
		t.Fatalf("answer %d, want 202", r.code)
	}
	rows, err := l.s.Pending()
	if err != nil || len(rows) != 1 {
		t.Fatalf("got %d rows, %v, want 1", len(rows), err)
	}
	p := rows[0]
	if p.Source.String() != "127.0.0.1" || p.IPAddress.String() != "10.9.9.9" || len(p.IPAddresses) != 2 {
		t.Errorf(`source %v, address %v, addresses %v, want "127.0.0.1", "10.9.9.9", 2`, p.Source, p.IPAddress, p.IPAddresses)
	}
	if want := l.clock.Now().Add(24 * time.Hour); !p.ExpiresAt.Equal(want) {
		t.Errorf("expires %v, want %v", p.ExpiresAt, want)
	}
	if !strings.Contains(string(p.OSDetails), `"codename":"trixie"`) {
		t.Errorf(`os_details %s, want "codename":"trixie" in it`, p.OSDetails)
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
				t.Errorf(`the first token then says %s, want "pending"`, got)
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
