package manager_test

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/linux-patch/enroll/internal/manager"
)

const seed = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"

// account makes an account with the password "correct horse".
func (l *lab) account(name, role string, edit func(*manager.AccountChange)) {
	l.t.Helper()
	password := "correct horse"
	c := manager.AccountChange{Role: &role, Password: &password}
	if edit != nil {
		edit(&c)
	}
	if _, err := l.s.PutAccount(name, c, true); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) logInAs(name, password, code string) reply {
	l.t.Helper()
	body, err := json.Marshal(map[string]string{"username": name, "password": password, "totp_code": code})
	if err != nil {
		l.t.Fatal(err)
	}
	return l.do(l.client, "POST", "/api/v1/auth/login", string(body))
}

// bearer logs in as an account without a second factor.
func (l *lab) bearer(name string) string {
	l.t.Helper()
	r := l.logInAs(name, "correct horse", "")
	token, _ := r.json(l.t)["access_token"].(string)
	if r.code != 200 {
		l.t.Fatalf("login of %s: got %d, want 200", name, r.code)
	}
	return "Bearer " + token
}

// code is "401 unauthorized" of the deployed form of errors.
func code(t *testing.T, r reply) string {
	t.Helper()
	var m struct {
		Error struct{ Code, Message string }
	}
	_ = json.Unmarshal([]byte(r.body), &m)
	if r.code >= 400 && m.Error.Message == "" {
		t.Errorf("answer %d has no message: %s", r.code, r.body)
	}
	return strings.TrimSpace(fmt.Sprint(r.code, " ", m.Error.Code))
}

func wantCode(t *testing.T, what string, r reply, want string) {
	t.Helper()
	if got := code(t, r); got != want {
		t.Errorf("%s: got %s, want %s", what, got, want)
	}
}

func (l *lab) totp(at time.Time) string {
	l.t.Helper()
	c, err := totp.GenerateCode(seed, at)
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

func TestLoginAnswersAsDeployed(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	yes := true
	l.account("plain", "operator", nil)
	l.account("off", "admin", func(c *manager.AccountChange) { c.Disabled = &yes })
	l.account("stale", "admin", func(c *manager.AccountChange) { c.ResetRequired = &yes })
	wantCode(t, "unknown account", l.logInAs("nobody", "correct horse", ""), "401 invalid_credentials")
	wantCode(t, "wrong password", l.logInAs("plain", "wrong horse", ""), "401 invalid_credentials")
	wantCode(t, "disabled", l.logInAs("off", "correct horse", ""), "403 account_disabled")
	wantCode(t, "disabled, wrong password", l.logInAs("off", "x", ""), "401 invalid_credentials")
	wantCode(t, "reset", l.logInAs("stale", "correct horse", ""), "403 password_reset_required")
	r := l.logInAs("plain", "correct horse", "").json(t)
	user, _ := r["user"].(map[string]any)
	if r["token_type"] != "Bearer" || r["expires_in"] != 900.0 || user["username"] != "plain" || user["role"] != "operator" || user["id"] == nil {
		t.Errorf("got %v of %v", r["token_type"], user)
	}
}

func TestTOTP(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	s := seed
	l.account("two", "admin", func(c *manager.AccountChange) { c.TOTPSecret = &s })
	login := func(code string) reply { return l.logInAs("two", "correct horse", code) }
	now := l.clock.Now()
	wantCode(t, "no code", login(""), "401 mfa_required")
	for what, at := range map[string]time.Duration{"two steps early": -60 * time.Second, "two steps late": 60 * time.Second} {
		wantCode(t, what, login(l.totp(now.Add(at))), "401 invalid_credentials")
	}
	wantCode(t, "not a code", login("12345"), "401 invalid_credentials")
	for what, at := range map[string]time.Duration{"this step": 0, "a step early": -30 * time.Second, "a step late": 30 * time.Second} {
		wantCode(t, what, login(l.totp(now.Add(at))), "200")
		wantCode(t, what+", again", login(l.totp(now.Add(at))), "401 invalid_credentials")
	}
	l.clock.advance(time.Minute)
	wantCode(t, "the next one", login(l.totp(l.clock.Now())), "200")
	none := ""
	if _, err := l.s.PutAccount("two", manager.AccountChange{TOTPSecret: &none}, false); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "without the factor", login(""), "200")
}

func TestFiveWrongPasswordsLockTheAccount(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	l.account("ops", "admin", nil)
	for range 4 {
		wantCode(t, "wrong", l.logInAs("ops", "x", ""), "401 invalid_credentials")
	}
	wantCode(t, "right after four", l.logInAs("ops", "correct horse", ""), "200")
	for range 5 {
		wantCode(t, "wrong", l.logInAs("ops", "x", ""), "401 invalid_credentials")
	}
	wantCode(t, "right after five", l.logInAs("ops", "correct horse", ""), "423 account_locked")
	wantCode(t, "another account", l.logInAs("admin", l.s.AdminToken(), ""), "200")
	l.clock.advance(30*time.Minute - time.Second)
	wantCode(t, "just before 30 min", l.logInAs("ops", "correct horse", ""), "423 account_locked")
	l.clock.advance(time.Second)
	wantCode(t, "after 30 min", l.logInAs("ops", "correct horse", ""), "200")
	for range 5 {
		l.logInAs("ops", "x", "")
	}
	if _, err := l.s.PutAccount("ops", manager.AccountChange{Unlock: true}, false); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "unlocked", l.logInAs("ops", "correct horse", ""), "200")
}

func TestRefreshRotatesAndLogoutEnds(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	l.account("ops", "admin", nil)
	post := func(path, token string) reply {
		return l.do(l.client, "POST", "/api/v1/auth/"+path, fmt.Sprintf(`{"refresh_token":%q}`, token))
	}
	text := func(r reply, key string) string {
		s, _ := r.json(t)[key].(string)
		return s
	}
	list := func(access string) reply {
		return l.do(l.client, "GET", "/api/v1/admin/enrollments", "", "Authorization", "Bearer "+access)
	}
	first := l.logInAs("ops", "correct horse", "")
	second := post("refresh", text(first, "refresh_token"))
	wantCode(t, "refresh", second, "200")
	if text(second, "refresh_token") == text(first, "refresh_token") || second.json(t)["user"] == nil {
		t.Error("the refresh token did not rotate, or the user is missing")
	}
	wantCode(t, "the old refresh token", post("refresh", text(first, "refresh_token")), "401 invalid_refresh_token")
	wantCode(t, "an access token", post("refresh", text(second, "access_token")), "401 invalid_refresh_token")
	wantCode(t, "a refresh token as access token", list(text(second, "refresh_token")), "401 unauthorized")
	l.clock.advance(59 * time.Minute)
	third := post("refresh", text(second, "refresh_token"))
	wantCode(t, "within the hour", third, "200")
	l.clock.advance(59 * time.Minute)
	fourth := post("refresh", text(third, "refresh_token"))
	wantCode(t, "the hour slides", fourth, "200")
	wantCode(t, "in use", list(text(fourth, "access_token")), "200")
	wantCode(t, "logout", post("logout", text(fourth, "refresh_token")), "200")
	wantCode(t, "after logout", list(text(fourth, "access_token")), "401 unauthorized")
	wantCode(t, "after logout", post("refresh", text(fourth, "refresh_token")), "401 invalid_refresh_token")
	last := l.logInAs("ops", "correct horse", "")
	l.clock.advance(time.Hour)
	wantCode(t, "after an hour", post("refresh", text(last, "refresh_token")), "401 invalid_refresh_token")
}

func TestRolesAndAllowlist(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	for _, role := range []string{"admin", "operator", "viewer"} {
		l.account(role+"1", role, nil)
	}
	l.enroll(0)
	id := l.pendingID(0)
	none := "11111111-1111-4111-8111-111111111111"
	for _, tc := range []struct{ method, path, body, admin, operator, viewer string }{
		{"GET", "/api/v1/admin/enrollments", "", "200", "200", "200"},
		{"POST", "/api/v1/admin/enrollments/" + none + "/approve", "", "404", "403 forbidden", "403 forbidden"},
		{"DELETE", "/api/v1/admin/enrollments/" + none + "/deny", "", "204", "403 forbidden", "403 forbidden"},
		{"POST", "/api/v1/hosts/" + none + "/certificates/reissue", "", "404 not_found", "403 forbidden", "403 forbidden"},
		{"DELETE", "/api/v1/hosts/" + none, "", "404 not_found", "404 not_found", "403 forbidden"},
		{"POST", "/api/v1/hosts/" + none + "/groups", `{"group_id":"` + none + `"}`, "404 not_found", "404 not_found", "403 forbidden"},
		{"GET", "/api/v1/hosts", "", "200", "200", "200"},
		{"GET", "/api/v1/certificates", "", "200", "200", "200"},
		{"GET", "/api/v1/ca/root.crt", "", "200", "200", "200"},
	} {
		for role, want := range map[string]string{"admin": tc.admin, "operator": tc.operator, "viewer": tc.viewer} {
			r := l.do(l.client, tc.method, tc.path, tc.body, "Authorization", l.bearer(role+"1"))
			if want == "404" {
				if r.code != 404 || r.body != "" {
					t.Errorf("%s of nothing: got %d %q, want 404 without a body", tc.path, r.code, r.body)
				}
				continue
			}
			wantCode(t, role+" "+tc.method+" "+tc.path, r, want)
		}
	}
	if l.pendingID(0) != id {
		t.Error("the request is gone")
	}

	closed := newLab(t, manager.Options{AllowFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}})
	get := func(from, path string) reply { return closed.do(closed.clientFrom(from), "GET", path, "") }
	wantCode(t, "no token, wrong address", get("127.0.0.1", "/api/v1/admin/enrollments"), "403 forbidden_ip")
	wantCode(t, "no token, right address", get("127.0.0.2", "/api/v1/admin/enrollments"), "401 unauthorized")
	wantCode(t, "login, wrong address", closed.logInAs("admin", closed.s.AdminToken(), ""), "403 forbidden_ip")
	claimed := closed.do(closed.client, "GET", "/api/v1/hosts", "", "X-Forwarded-For", "127.0.0.2")
	wantCode(t, "a claimed address", claimed, "403 forbidden_ip")
	if r := get("127.0.0.1", "/api/v1/pki/crl.pem"); r.code != 200 {
		t.Errorf("the CRL is public: got %d, want 200", r.code)
	}
}

// listed returns the rows as the API shows them.
func (l *lab) listed() []map[string]any {
	l.t.Helper()
	r := l.do(l.client, "GET", "/api/v1/admin/enrollments", "", "Authorization", l.login())
	var rows []map[string]any
	if err := json.Unmarshal([]byte(r.body), &rows); err != nil {
		l.t.Fatalf("%d: got %v, want no error", r.code, err)
	}
	return rows
}

func TestTheRowIsShownWhole(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	token := l.enroll(0)
	body := strings.NewReplacer(`"hostname":"host1",`, "", `"10.0.0.2"`, `"2001:db8::2"`, `"codename":"trixie"`,
		`"enrollment_proof":"v1:00","x":{"y":[1,null]}`).Replace(enrollBody(1))
	l.clock.advance(time.Second)
	if r := l.do(l.client, "POST", "/api/v1/enroll", body); r.code != 202 {
		t.Fatalf("got %d %s, want 202", r.code, r.body)
	}
	rows := l.listed()
	if len(rows) != 2 {
		t.Fatalf("got %d rows, want 2", len(rows))
	}
	newest, oldest := rows[0], rows[1]
	sum := sha256.Sum256([]byte(token))
	if oldest["polling_token"] != hex.EncodeToString(sum[:]) {
		t.Error("polling_token is not the lower-case hex SHA-256 of the token")
	}
	if oldest["ip_address"] != "10.0.0.1/32" || oldest["hostname"] != "host0" {
		t.Errorf(`got %v and %v, want "10.0.0.1/32", "host0"`, oldest["ip_address"], oldest["hostname"])
	}
	if hostname, there := newest["hostname"]; newest["ip_address"] != "2001:db8::2/128" || !there || hostname != nil {
		t.Errorf("got %v and hostname %v", newest["ip_address"], hostname)
	}
	details, _ := newest["os_details"].(map[string]any)
	if details["enrollment_proof"] != "v1:00" || fmt.Sprint(details["x"]) != "map[y:[1 <nil>]]" {
		t.Errorf("os_details are filtered: %v", details)
	}
	for _, row := range rows {
		var names []string
		for k := range row {
			names = append(names, k)
		}
		for _, k := range []string{"id", "machine_id", "fqdn", "created_at", "expires_at"} {
			if row[k] == nil {
				t.Errorf("%s is missing", k)
			}
		}
		if len(names) != 9 {
			t.Errorf("got the fields %v, want 9", names)
		}
	}
	hiding := newLab(t, manager.Options{HideTokenHash: true})
	hiding.enroll(0)
	if _, there := hiding.listed()[0]["polling_token"]; there {
		t.Error("the hash is shown although it is to be hidden")
	}
}

func TestExpiredRowsStayUntilTheHourlyPurge(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	l.clock.advance(10 * time.Minute)
	token := l.enroll(0)
	l.clock.advance(24*time.Hour + time.Minute)
	if got := l.state(2, l.poll(token)); got != "notfound" {
		t.Errorf("the expired token: got %s, want notfound", got)
	}
	if rows := l.listed(); len(rows) != 1 {
		t.Fatalf("got %d rows, want the expired one", len(rows))
	}
	if r := l.do(l.client, "POST", "/api/v1/enroll", enrollBody(0)); r.code != 500 || !strings.Contains(r.body, `"Database error"`) {
		t.Errorf("the machine_id again: got %d %s, want 500", r.code, r.body)
	}
	id, _ := l.listed()[0]["id"].(string)
	approve := l.do(l.client, "POST", "/api/v1/admin/enrollments/"+id+"/approve", "", "Authorization", l.login())
	if approve.code != 200 || approve.body != "" {
		t.Fatalf("approval of the expired row: got %d %q, want 200 without a body", approve.code, approve.body)
	}
	if got := l.state(2, l.poll(token)); got != "approved" {
		t.Errorf("the approved expired row: got %s, want approved", got)
	}
	hosts, err := l.s.Hosts()
	if err != nil || len(hosts) != 1 || hosts[0].ID != id {
		t.Errorf("the host's id is not the request's: got %v, %v, want 1, %v", hosts, err, id)
	}

	l.enroll(1)
	l.clock.advance(24*time.Hour + 50*time.Minute)
	if rows := l.listed(); len(rows) != 0 {
		t.Errorf("got %d rows after the purge, want 0", len(rows))
	}
	if r := l.do(l.client, "POST", "/api/v1/enroll", enrollBody(1)); r.code != 202 {
		t.Errorf("after the purge: got %d, want 202", r.code)
	}
}

func TestConflictNamesTheHost(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	l.enroll(0)
	h := l.approve(0)
	body := strings.ReplaceAll(enrollBody(1), "host1.example.com", "HOST0.example.com")
	if r := l.do(l.client, "POST", "/api/v1/enroll", body); r.code != 202 {
		t.Fatal(r.code)
	}
	id, _ := l.listed()[0]["id"].(string)
	r := l.do(l.client, "POST", "/api/v1/admin/enrollments/"+id+"/approve", "", "Authorization", l.login())
	m := r.json(t)
	conflict, _ := m["conflict"].(map[string]any)
	host, _ := conflict["existing_host"].(map[string]any)
	if r.code != 409 || m["error"] != "Host collision detected" || conflict["message"] != "FQDN or IP already exists" {
		t.Errorf("got %d %s", r.code, r.body)
	}
	if host["id"] != h.ID || host["fqdn"] != "host0.example.com" || host["ip_address"] != "10.0.0.1" {
		t.Errorf("got %v", host)
	}
}

func TestHostsGroupsCertificatesAndReissue(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	auth := l.login()
	ask := func(method, path, body string) reply {
		return l.do(l.client, method, path, body, "Authorization", auth)
	}
	var ids []string
	for n := range 60 {
		l.enroll(n)
		ids = append(ids, l.approve(n).ID)
	}
	for query, want := range map[string][4]int{
		"":                              {50, 60, 50, 0},
		"?limit=1000":                   {60, 60, 200, 0},
		"?limit=7&offset=58":            {2, 60, 7, 58},
		"?search=HOST5":                 {11, 11, 50, 0},
		"?search=10.0.0.60":             {1, 1, 50, 0},
		"?search=host1.&limit=junk":     {1, 1, 50, 0},
		"?offset=-4&search=nothing.org": {0, 0, 50, 0},
	} {
		m := ask("GET", "/api/v1/hosts"+query, "").json(t)
		rows, _ := m["hosts"].([]any)
		got := fmt.Sprint(len(rows), m["total"], m["limit"], m["offset"])
		if got != fmt.Sprint(want[0], float64(want[1]), float64(want[2]), float64(want[3])) {
			t.Errorf("hosts%s: got %s, want %v", query, got, want)
		}
	}
	group := "22222222-2222-4222-8222-222222222222"
	for range 2 {
		if r := ask("POST", "/api/v1/hosts/"+ids[0]+"/groups", `{"group_id":"`+group+`"}`); r.code != 200 {
			t.Errorf("group: got %d, want 200", r.code)
		}
	}
	wantCode(t, "no group", ask("POST", "/api/v1/hosts/"+ids[0]+"/groups", `{}`), "400 bad_request")

	before := l.certificates(auth, "?host_id="+ids[0])
	if len(before) != 2 || before[0]["status"] != "active" {
		t.Fatalf("got %v, want two active certificates", before)
	}
	r := ask("POST", "/api/v1/hosts/"+ids[0]+"/certificates/reissue", "")
	m := r.json(t)
	ca := certOf(t, m["ca_root_pem"])
	for crt, want := range map[string]struct {
		key, serial, cn string
		usage           x509.ExtKeyUsage
	}{
		"cert_pem":        {"key_pem", "serial_number", "host0.example.com", x509.ExtKeyUsageClientAuth},
		"server_cert_pem": {"server_key_pem", "server_serial_number", "host0.example.com-server", x509.ExtKeyUsageServerAuth},
	} {
		c := certOf(t, m[crt])
		if err := c.CheckSignatureFrom(ca); err != nil || c.SerialNumber.Text(16) != m[want.serial] || c.Subject.CommonName != want.cn {
			t.Errorf("%s: got %v, serial %v, CN %s, want c.SerialNumber.Text(16) %v, c.Subject.CommonName %v", crt, err, m[want.serial], c.Subject.CommonName, m[want.serial], want.cn)
		}
		if len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != want.usage {
			t.Errorf("%s: usage %v", crt, c.ExtKeyUsage)
		}
		block, _ := pem.Decode([]byte(fmt.Sprint(m[want.key])))
		if block == nil || block.Type != "PRIVATE KEY" {
			t.Errorf("%s is no key", want.key)
		}
	}
	if m["expires_at"] == nil {
		t.Error("expires_at is missing")
	}
	revoked := l.certificates(auth, "?host_id="+ids[0]+"&status=revoked")
	active := l.certificates(auth, "?status=active&host_id="+ids[0])
	if len(revoked) != 2 || len(active) != 2 || revoked[0]["revoked_at"] == nil || active[0]["revoked_at"] != nil {
		t.Errorf("got %d revoked and %d active, want 2 and 2", len(revoked), len(active))
	}
	list := crlOf(t, l.do(l.client, "GET", "/api/v1/pki/crl.pem", "").body)
	if len(list.RevokedCertificateEntries) != 2 {
		t.Errorf("the CRL has %d entries, want 2", len(list.RevokedCertificateEntries))
	}
	host, _ := ask("GET", "/api/v1/hosts?search=host0.", "").json(t)["hosts"].([]any)
	if len(host) != 1 || fmt.Sprint(host[0].(map[string]any)["groups"]) != "["+group+"]" {
		t.Errorf("re-issuing lost the groups: %v", host)
	}
	if r := ask("DELETE", "/api/v1/hosts/"+ids[0], ""); r.code != 200 {
		t.Errorf("remove: got %d, want 200", r.code)
	}
	if left := l.certificates(auth, "?host_id="+ids[0]); len(left) != 0 {
		t.Errorf("the removed host has %d certificates, want 0", len(left))
	}
	list = crlOf(t, l.do(l.client, "GET", "/api/v1/pki/crl.pem", "").body)
	if len(list.RevokedCertificateEntries) != 4 {
		t.Errorf("the CRL has %d entries after the removal, want 4", len(list.RevokedCertificateEntries))
	}
}

func (l *lab) certificates(auth, query string) []map[string]any {
	l.t.Helper()
	r := l.do(l.client, "GET", "/api/v1/certificates"+query, "", "Authorization", auth)
	var rows []map[string]any
	if err := json.Unmarshal([]byte(r.body), &rows); err != nil {
		l.t.Fatalf("%d: got %v, want no error", r.code, err)
	}
	return rows
}

func TestCRLLivesADayAndIsSignedAnewInTime(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	r := l.do(l.client, "GET", "/api/v1/pki/crl.pem", "")
	first := crlOf(t, r.body)
	if got := first.NextUpdate.Sub(first.ThisUpdate); got != 24*time.Hour {
		t.Errorf("it lives %v, want 24 h", got)
	}
	if got := r.header.Get("Cache-Control"); got != "max-age=3600" {
		t.Errorf(`Cache-Control %q, want "max-age=3600"`, got)
	}
	l.clock.advance(11 * time.Hour)
	if crlOf(t, l.do(l.client, "GET", "/api/v1/pki/crl.pem", "").body).Number.Cmp(first.Number) != 0 {
		t.Error("signed anew long before its end")
	}
	l.clock.advance(time.Hour)
	if crlOf(t, l.do(l.client, "GET", "/api/v1/pki/crl.pem", "").body).Number.Cmp(first.Number) <= 0 {
		t.Error("not signed anew at half its life")
	}
}

func TestRepoConfig(t *testing.T) {
	file := filepath.Join(t.TempDir(), "repo.json")
	entries := `[{"distro_id":"debian","codename":"trixie","gpg_public_key":"KEY","sources_config":"deb https://x trixie main","keyring_path":"/k"},
		{"distro_id":"fedora","gpg_public_key":"KEY2","sources_config":"[x]","keyring_path":"/k"}]`
	if err := os.WriteFile(file, []byte(entries), 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLab(t, manager.Options{NoRateLimit: true, RepoConfig: file})
	get := func(query string) reply { return l.do(l.client, "GET", "/api/v1/pki/repo-config"+query, "") }
	wantCode(t, "no parameters", get(""), "400 missing_param")
	wantCode(t, "no codename", get("?distro_id=debian"), "400 missing_param")
	wantCode(t, "arch", get("?distro_id=arch&codename=x"), "400 unsupported_distro")
	wantCode(t, "another release", get("?distro_id=debian&codename=sid"), "404 repo_not_configured")
	if m := get("?distro_id=fedora").json(t); m["gpg_public_key"] != "KEY2" {
		t.Errorf(`fedora: got %v, want "KEY2"`, m)
	}
	m := get("?distro_id=debian&codename=trixie").json(t)
	if m["gpg_public_key"] != "KEY" || m["sources_config"] == "" || m["distro_id"] != "debian" || m["keyring_path"] != "/k" || len(m) != 4 {
		t.Errorf("got %v", m)
	}
	token := l.enroll(0)
	l.approve(0)
	repo, _ := l.poll(token).json(t)["repo_config"].(map[string]any)
	if repo["gpg_public_key"] != "KEY" {
		t.Errorf(`the bundle has %v, want "KEY"`, repo)
	}
	bare := newLab(t, manager.Options{NoRateLimit: true})
	token = bare.enroll(0)
	bare.approve(0)
	if repo, there := bare.poll(token).json(t)["repo_config"]; !there || repo != nil {
		t.Errorf("without a repository: got %v, want null", repo)
	}
	if err := os.WriteFile(file, []byte(`[{"distro_id":"debian"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := manager.New(manager.Options{Dir: t.TempDir(), RepoConfig: file}); err == nil {
		t.Error("an entry without a key is accepted")
	}
}

func TestLimitsOfAuthAndAPI(t *testing.T) {
	l := newLab(t, manager.Options{})
	auth := l.login()
	for _, tc := range []struct {
		path   string
		method string
		burst  int
		every  time.Duration
	}{
		{"/api/v1/auth/login", "POST", 9, 3 * time.Second},
		{"/api/v1/admin/enrollments", "GET", 30, 500 * time.Millisecond},
	} {
		ask := func() reply { return l.do(l.client, tc.method, tc.path, "{}", "Authorization", auth) }
		for i := range tc.burst {
			if r := ask(); r.code == 429 {
				t.Fatalf("%s: request %d of the burst is refused, want other than 429", tc.path, i+1)
			}
		}
		r := ask()
		want := fmt.Sprint(int(tc.every.Seconds()))
		if r.code != 429 || r.header.Get("Retry-After") != want || r.header.Get("X-Ratelimit-After") != want {
			t.Errorf("%s: got %d, Retry-After %q, want 429 and %s", tc.path, r.code, r.header.Get("Retry-After"), want)
		}
		if _, typed := r.header["Content-Type"]; typed || r.body == "" {
			t.Errorf("%s: a type %v, or no text", tc.path, r.header["Content-Type"])
		}
		l.clock.advance(tc.every)
		if r := ask(); r.code == 429 {
			t.Errorf("%s: refused after %v, want other than 429", tc.path, tc.every)
		}
	}
}

func TestAdminOfTheFirstStartCanBeChanged(t *testing.T) {
	dir := t.TempDir()
	l := newLab(t, manager.Options{Dir: dir, NoRateLimit: true})
	password, viewer := "another password", "viewer"
	if _, err := l.s.PutAccount("admin", manager.AccountChange{Password: &password, Role: &viewer}, false); err != nil {
		t.Fatal(err)
	}
	l.stop()
	l = newLab(t, manager.Options{Dir: dir, NoRateLimit: true})
	wantCode(t, "the token", l.logInAs("admin", l.s.AdminToken(), ""), "401 invalid_credentials")
	wantCode(t, "the new password", l.logInAs("admin", password, ""), "200")
	for what, c := range map[string]manager.AccountChange{
		"short password": {Password: new(string)},
		"unknown role":   {Role: &password},
		"bad seed":       {TOTPSecret: &password},
	} {
		if _, err := l.s.PutAccount("admin", c, false); err == nil {
			t.Errorf("%s: accepted, want an error", what)
		}
	}
}
