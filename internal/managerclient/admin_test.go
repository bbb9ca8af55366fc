package managerclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
)

const passwordCanary = "CANARYpassword"

// adminLab is an admin API that answers from a script, and the waits that the
// client made.
type adminLab struct {
	*Admin
	mu    sync.Mutex
	asked []string
	waits []time.Duration
}

// got is what was asked so far.
func (l *adminLab) got() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked
}

// newAdminLab answers each request by answers, in order of arrival; the last
// one answers all others.
func newAdminLab(t *testing.T, answers ...func(http.ResponseWriter, *http.Request)) *adminLab {
	t.Helper()
	lab := &adminLab{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lab.mu.Lock()
		n := len(lab.asked)
		lab.asked = append(lab.asked, r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("Authorization"))
		lab.mu.Unlock()
		answers[min(n, len(answers)-1)](w, r)
	}))
	t.Cleanup(s.Close)
	// A clock that stands still: a slow machine makes no wait shorter.
	now := time.Now()
	lab.Admin = NewAdmin(clientFor(t, s.URL, func(o *Options) {
		o.KeepAlive, o.Timeout, o.Now = true, time.Minute, func() time.Time { return now }
	}))
	lab.Sleep = func(_ context.Context, d time.Duration) error {
		lab.waits = append(lab.waits, d)
		return nil
	}
	return lab
}

func says(status int, body string, headers ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func loggedIn(access, refresh string) func(http.ResponseWriter, *http.Request) {
	return says(200, fmt.Sprintf(`{"access_token":%q,"refresh_token":%q,"token_type":"Bearer","expires_in":900,"user":{"id":"1","username":"robot","role":"admin"}}`, access, refresh))
}

func hangUp(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
	}
}

// A login that fails is one request and never a second one.
func TestAdminLoginIsTriedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		code   contract.Code
		says   string
	}{
		"wrong password":    {says(401, `{"error":{"code":"invalid_credentials","message":"Invalid credentials"}}`), contract.CodeLogin, "Invalid credentials"},
		"second factor":     {says(401, `{"error":{"code":"mfa_required","message":"TOTP code required"}}`), contract.CodeLogin, "mfa_required"},
		"locked":            {says(423, `{"error":{"code":"account_locked","message":"Account locked"}}`), contract.CodeLogin, "account_locked"},
		"disabled":          {says(403, `{"error":{"code":"account_disabled","message":"Account disabled"}}`), contract.CodeLogin, "Account disabled"},
		"new password":      {says(403, `{"error":{"code":"password_reset_required","message":"Password reset required"}}`), contract.CodeLogin, "password_reset_required"},
		"address forbidden": {says(403, `{"error":{"code":"forbidden_ip","message":"IP not allowed"}}`), contract.CodeLogin, "forbidden_ip"},
		"trouble":           {says(500, `{"error":"Database error"}`), contract.CodeManagerError, "Database error"},
		"no answer":         {hangUp, contract.CodeUnreachable, "reset"},
		"a page":            {says(200, `<html>`), contract.CodeBadAnswer, "JSON"},
		"no token":          {says(200, `{}`), contract.CodeBadAnswer, "without an access_token"},
		"echo":              {says(401, `{"error":{"code":"x","message":"no such password: `+passwordCanary+`"}}`), contract.CodeLogin, "[hidden]"},
	} {
		lab := newAdminLab(t, c.answer)
		err := lab.Login(t.Context(), Credentials{Username: "robot", Password: passwordCanary, TOTPCode: "123456"})
		if contract.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v (%s), want %q (%s)", name, err, contract.CodeOf(err), c.says, c.code)
		}
		if len(lab.got()) != 1 {
			t.Errorf("%s: got %d requests, want 1", name, len(lab.got()))
		}
		if strings.Contains(err.Error(), passwordCanary) {
			t.Errorf("%s: got the password in %q", name, err)
		}
	}
}

// 401 in the middle renews the login once, and makes the same call again.
func TestAdminRenewsOnceInTheMiddle(t *testing.T) {
	expired := says(401, `{"error":{"code":"unauthorized","message":"expired"}}`)
	lab := newAdminLab(t, loggedIn("access1", "refresh1"), says(200, ""), expired, loggedIn("access2", "refresh2"), says(200, ""), expired, loggedIn("access3", "refresh3"), expired)
	var saved []string
	lab.Renewed = func(s Session) error { saved = append(saved, s.RefreshToken); return nil }
	if err := lab.Login(t.Context(), Credentials{Username: "robot", Password: passwordCanary}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"a", "b"} {
		if err := lab.Approve(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	err := lab.Approve(t.Context(), "c")
	if contract.CodeOf(err) != contract.CodeLogin {
		t.Errorf("got %v, want the second 401 to end it", err)
	}
	want := []string{
		"POST /api/v1/auth/login ", "POST /api/v1/admin/enrollments/a/approve Bearer access1",
		"POST /api/v1/admin/enrollments/b/approve Bearer access1", "POST /api/v1/auth/refresh ", "POST /api/v1/admin/enrollments/b/approve Bearer access2",
		"POST /api/v1/admin/enrollments/c/approve Bearer access2", "POST /api/v1/auth/refresh ", "POST /api/v1/admin/enrollments/c/approve Bearer access3",
	}
	if strings.Join(lab.got(), "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lab.got(), "\n"), strings.Join(want, "\n"))
	}
	if strings.Join(saved, " ") != "refresh1 refresh2 refresh3" {
		t.Errorf("got %q saved, want each refresh token", saved)
	}
}

func TestAdminRefreshRefused(t *testing.T) {
	lab := newAdminLab(t, says(401, `{"error":{"code":"unauthorized","message":"expired"}}`), says(401, `{"error":{"code":"invalid_refresh_token","message":"gone"}}`))
	lab.Session = Session{AccessToken: "access", RefreshToken: "refresh"}
	err := lab.Approve(t.Context(), "a")
	if contract.CodeOf(err) != contract.CodeLogin || !strings.Contains(err.Error(), "cannot be renewed") || len(lab.got()) != 2 {
		t.Errorf("got %v after %d requests, want the refused renewal after 2", err, len(lab.got()))
	}
}

// An answer to the renewal is none to the call that it was for.
func TestAdminRenewalFails(t *testing.T) {
	for _, status := range []int{404, 409, 502} {
		lab := newAdminLab(t, says(401, ""), says(status, ""))
		lab.Session = Session{AccessToken: "access", RefreshToken: "refresh"}
		err := lab.Approve(t.Context(), "a")
		if errors.As(err, new(*AdminError)) || contract.CodeOf(err) == "" || len(lab.got()) != 2 {
			t.Errorf("got %v after %d requests, want the failed renewal alone after 2", err, len(lab.got()))
		}
	}
}

// A login that is about to end is renewed before it does.
func TestAdminRenewsEarly(t *testing.T) {
	lab := newAdminLab(t, loggedIn("access2", "refresh2"), says(204, ""))
	lab.Session = Session{AccessToken: "access", RefreshToken: "refresh", Expires: time.Now().Add(10 * time.Second)}
	if err := lab.Deny(t.Context(), "a"); err != nil || lab.got()[1] != "DELETE /api/v1/admin/enrollments/a/deny Bearer access2" {
		t.Errorf("got %v after %q, want the renewed token", err, lab.got())
	}
}

// The rate limit is waited out as told; 0 means in a moment.
func TestAdminWaitsOutTheRateLimit(t *testing.T) {
	lab := newAdminLab(t, says(429, "Too Many Requests! Wait for 0s", "retry-after", "0", "x-ratelimit-after", "0"), says(429, "", "Retry-After", "7"), says(429, ""), says(200, ""))
	lab.Session = Session{AccessToken: "access"}
	if err := lab.Approve(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	var told, paced []time.Duration
	for _, d := range lab.waits {
		if d >= time.Second {
			told = append(told, d)
		} else {
			paced = append(paced, d)
		}
	}
	// Once the limit was met, requests keep its pace, and are not each sent twice.
	if fmt.Sprint(told) != "[1s 7s 1s]" || len(paced) != 3 || paced[0] < 400*time.Millisecond {
		t.Errorf("got waits %v, want [1s 7s 1s] and half a second before each request after the first", lab.waits)
	}
}

// What may have acted is not sent again; what only reads is.
func TestAdminRepeatsOnlyWhatIsSafe(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		call   func(*Admin) error
		want   int
		maybe  bool
	}{
		"approval without an answer": {hangUp, func(a *Admin) error { return a.Approve(context.Background(), "a") }, 1, true},
		"approval with 500":          {says(500, `{"error":"Certificate generation failed"}`), func(a *Admin) error { return a.Approve(context.Background(), "a") }, 1, true},
		"approval with 502":          {says(502, ""), func(a *Admin) error { return a.Approve(context.Background(), "a") }, 1, true},
		"approval with 404":          {says(404, ""), func(a *Admin) error { return a.Approve(context.Background(), "a") }, 1, false},
		"approval with a page":       {says(404, "<html>"), func(a *Admin) error { return a.Approve(context.Background(), "a") }, 1, true},
		"list without an answer": {hangUp, func(a *Admin) error {
			return a.Enrollments(context.Background(), func() func(ListedRequest) { return func(ListedRequest) {} })
		}, 3, true},
		"denial with 503": {says(503, ""), func(a *Admin) error { return a.Deny(context.Background(), "a") }, 3, true},
		"re-issue with 500": {says(500, ""), func(a *Admin) error {
			_, err := a.Reissue(context.Background(), "a")
			return err
		}, 1, true},
		"an id that leads elsewhere": {says(200, ""), func(a *Admin) error { return a.Approve(context.Background(), "../hosts") }, 0, false},
	} {
		lab := newAdminLab(t, c.answer)
		lab.Session = Session{AccessToken: "access"}
		var failed *AdminError
		if err := c.call(lab.Admin); !errors.As(err, &failed) || failed.MaybeDelivered != c.maybe || len(lab.got()) != c.want {
			t.Errorf("%s: got %v, maybe delivered %t, after %d requests; want %t after %d", name, err, failed != nil && failed.MaybeDelivered, len(lab.got()), c.maybe, c.want)
		}
	}
}

func TestAdminConflictNamesTheHost(t *testing.T) {
	lab := newAdminLab(t, says(409, `{"error":"Host collision detected","conflict":{"existing_host":{"id":"h1","fqdn":"a.example.com\u001b","ip_address":"192.0.2.1/32","created_at":"2026-01-02T03:04:05Z"},"message":"FQDN or IP already exists"}}`))
	lab.Session = Session{AccessToken: "access"}
	var failed *AdminError
	if err := lab.Approve(t.Context(), "a"); !errors.As(err, &failed) || failed.Existing == nil || failed.Existing.ID != "h1" || failed.Existing.FQDN != "a.example.com\uFFFD" || failed.Existing.IPAddress != "192.0.2.1" {
		t.Errorf("got %v with %+v, want the existing host", err, failed.Existing)
	}
}

// What a host claims cannot make the list unreadable.
func TestAdminListIsLenient(t *testing.T) {
	hash, proof := strings.Repeat("ab", 32), "v1:"+strings.Repeat("cd", 32)
	lab := newAdminLab(t, says(200, `[
		{"id":"1","machine_id":"m","fqdn":"a.example.com","ip_address":"192.0.2.1/32","os_details":{"enrollment_proof":"`+proof+`","name":"x"},"polling_token":"`+hash+`","hostname":null,"created_at":"2026-01-02T03:04:05.123Z","expires_at":"2026-01-03T03:04:05Z"},
		{"id":"2","machine_id":7,"fqdn":["x"],"ip_address":"2001:db8::1/128","os_details":"text","hostname":{},"created_at":"yesterday"},
		{"id":"3","os_details":{"enrollment_proof":{"a":1}},"fqdn":"`+strings.Repeat("x", 5000)+`"},
		{}, null]`))
	lab.Session = Session{AccessToken: "access"}
	var rows []ListedRequest
	if err := lab.Enrollments(t.Context(), func() func(ListedRequest) { return func(r ListedRequest) { rows = append(rows, r) } }); err != nil || len(rows) != 5 {
		t.Fatalf("got %d rows, %v, want 5", len(rows), err)
	}
	if r := rows[0]; r.TokenSHA256 != hash || r.Proof != proof || r.IPAddress != "192.0.2.1" || r.CreatedAt.Year() != 2026 || r.ExpiresAt.Day() != 3 {
		t.Errorf("got %+v, want hash, proof, 192.0.2.1, created in 2026, expiring on a 3rd", r)
	}
	if r := rows[1]; r.ID != "2" || r.MachineID != "" || r.FQDN != "" || r.IPAddress != "2001:db8::1" || !r.CreatedAt.IsZero() {
		t.Errorf("got %+v, want id 2 and 2001:db8::1, and nothing else", r)
	}
	if r := rows[2]; r.Proof != "" || len(r.FQDN) > maxField+8 {
		t.Errorf("got %+v, want no proof, and a name of %d bytes at most", r, maxField+8)
	}
}

// A list that was cut off and is asked for again tells no row twice.
func TestAdminListThatWasCutOffBeginsAnew(t *testing.T) {
	cut := func(end func(http.ResponseWriter, *http.Request), header, value string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set(header, value)
			_, _ = io.WriteString(w, `[{"id":"1","machine_id":"m"},{"id":"2"},`)
			_ = http.NewResponseController(w).Flush()
			end(w, r)
		}
	}
	closed := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"reset":            cut(hangUp, "Content-Length", "1000"),
		"closed":           cut(closed, "Content-Length", "1000"),
		"closed in chunks": cut(closed, "X-Other", "x"),
	} {
		lab := newAdminLab(t, answer, says(200, `[{"id":"1"},{"id":"3","machine_id":"n"}]`))
		lab.Session = Session{AccessToken: "access"}
		var rows []ListedRequest
		err := lab.Enrollments(t.Context(), func() func(ListedRequest) {
			rows = nil
			return func(r ListedRequest) { rows = append(rows, r) }
		})
		if err != nil || len(rows) != 2 || rows[0].MachineID != "" || rows[1].ID != "3" || len(lab.got()) != 2 {
			t.Errorf("%s: got %+v, %v after %d requests, want the rows of the second answer", name, rows, err, len(lab.got()))
		}
	}
}

func TestAdminListIsBounded(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"a row without end": {`[{"fqdn":"` + strings.Repeat("x", 2<<20) + `"}]`, "longer than 1 MiB"},
		"too many rows":     {"[" + strings.Repeat("{},", maxRows) + "{}]", "more than 200000 rows"},
		"cut off":           {`[{"id":"1"},`, "cut off"},
		"an object":         {`{"error":"x"}`, "other than a JSON list"},
		"a page":            {`<html>`, "other than a JSON list"},
		"nothing":           {``, "cut off"},
	} {
		lab := newAdminLab(t, says(200, c.body))
		lab.Session = Session{AccessToken: "access"}
		err := lab.Enrollments(t.Context(), func() func(ListedRequest) { return func(ListedRequest) {} })
		if contract.CodeOf(err) != contract.CodeBadAnswer || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestAdminHostsArePaged(t *testing.T) {
	page := func(w http.ResponseWriter, r *http.Request) {
		n := 200
		if r.URL.Query().Get("offset") != "0" {
			n = 3
		}
		hosts := make([]map[string]any, n)
		for i := range hosts {
			hosts[i] = map[string]any{"id": fmt.Sprint(i), "fqdn": "a.example.com", "ip_address": "192.0.2.1/32"}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"hosts": hosts, "total": 203})
	}
	lab := newAdminLab(t, page)
	lab.Session = Session{AccessToken: "access"}
	hosts, err := lab.Hosts(t.Context(), "a&b.")
	if err != nil || len(hosts) != 203 || hosts[0].IPAddress != "192.0.2.1" || len(lab.got()) != 2 || !strings.Contains(lab.got()[0], "search=a%26b Bearer") {
		t.Errorf("got %d hosts after %q, %v, want 203 after 2 pages", len(hosts), lab.got(), err)
	}
}

func TestReissuedSetDoesNotPrint(t *testing.T) {
	if s := fmt.Sprintf("%v %+v %#v", Reissued{ServerKeyPEM: passwordCanary}, Reissued{ServerKeyPEM: passwordCanary}, &Reissued{ServerKeyPEM: passwordCanary}); strings.Contains(s, passwordCanary) {
		t.Errorf("got %s", s)
	}
}

// FuzzListed: no row makes the list fail.
func FuzzListed(f *testing.F) {
	f.Add(`{"id":"1","os_details":{"enrollment_proof":"v1:x"},"created_at":"2026-01-02T03:04:05Z"}`)
	f.Fuzz(func(t *testing.T, row string) {
		if !json.Valid([]byte(row)) {
			return
		}
		n := 0
		err := stream(strings.NewReader("["+row+",{\"id\":\"last\"}]"), requestRows(func(r ListedRequest) {
			if r.ID != "" {
				n++
			}
		}))
		if strings.HasPrefix(strings.TrimSpace(row), "{") && (err != nil || n == 0) {
			t.Errorf("%q: got %v after %d rows, want at least one row", row, err, n)
		}
	})
}
