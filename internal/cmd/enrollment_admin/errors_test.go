package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// admin calls the manager's admin API as its own administrator.
func (l *lab) admin(path string, into any) {
	l.t.Helper()
	token, err := os.ReadFile(l.path("m/admin.token"))
	must(l.t, err)
	body, err := json.Marshal(map[string]string{"username": "admin", "password": strings.TrimSpace(string(token))})
	must(l.t, err)
	resp, err := l.http.Post(l.url+"/api/v1/auth/login", "application/json", strings.NewReader(string(body)))
	must(l.t, err)
	var login struct {
		AccessToken string `json:"access_token"`
	}
	must(l.t, json.NewDecoder(resp.Body).Decode(&login))
	resp.Body.Close()
	req, err := http.NewRequest(http.MethodGet, l.url+path, nil)
	must(l.t, err)
	req.Header.Set("Authorization", "Bearer "+login.AccessToken)
	resp, err = l.http.Do(req)
	must(l.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(l.t, err)
	must(l.t, json.Unmarshal(raw, into))
}

// serials are those of the manager's hosts, by id.
func (l *lab) serials() map[string]string {
	var rows []struct {
		HostID string `json:"host_id"`
		Serial string `json:"serial_number"`
	}
	l.admin("/api/v1/certificates", &rows)
	found := map[string]string{}
	for _, row := range rows {
		found[row.HostID] = row.Serial
	}
	return found
}

// A login that is refused is one request, never a second.
func TestLoginIsTriedOnce(t *testing.T) {
	l := newLab(t)
	own := l.registered("web")
	logins := func() int { return l.calls("/api/v1/auth/login") }
	once := func(what string, more map[string]any, says string) {
		t.Helper()
		before := logins()
		r := l.approve(more, own)
		if !r.Failed || r.Error.Code != "ENROLL_LOGIN" || r.exit != 22 || !strings.Contains(r.Msg, says) {
			t.Errorf("%s: got %s (%s, exit code %d), want %q", what, r.Msg, r.Error.Code, r.exit, says)
		}
		if got := logins() - before; got != 1 {
			t.Errorf("%s: got %d logins, want 1", what, got)
		}
	}
	once("wrong password", map[string]any{"password": "CANARY-another"}, "refuses the login")
	l.manage("set-account", "robot", "--disabled", "on")
	once("disabled", nil, "refuses the account")
	l.manage("set-account", "robot", "--disabled", "off", "--new-totp-file", l.path("totp"))
	once("second factor", nil, "mfa_required")
	once("wrong code", map[string]any{"totp_code": "000000"}, "refuses the login")
	l.manage("set-account", "robot", "--no-totp")
	for range 5 {
		l.approve(map[string]any{"password": "CANARY-another"}, own)
	}
	once("locked", nil, "account_locked")
	l.manage("set-account", "robot", "--unlock", "--role", "operator")
	r := l.approve(nil, own)
	if r.Error.Code != "ENROLL_LOGIN" || !strings.Contains(r.Msg+r.Error.Hint, "role admin") && !strings.Contains(r.Msg, "Admin role required") {
		t.Errorf("got %s, want the role to be named", r.Msg)
	}
}

// Nor is it tried again by the other commands of a run, of which a fleet has
// hundreds, until the credentials are others.
func TestRefusedLoginIsNotTriedAgainInARun(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	own, session := l.registered("web"), l.path("session")
	wrong := map[string]any{"session_path": session, "password": "CANARY-another"}
	for i, command := range []string{"approve", "approve", "reissue"} {
		wrong["hosts"], wrong["keep_session"] = []any{own.entry()}, i == 1
		r := l.run(command, wrong)
		if r.Error.Code != "ENROLL_LOGIN" || !strings.Contains(r.Msg, "refuses the login") || strings.Contains(r.Msg, "not tried again") != (i > 0) {
			t.Errorf("%s: got %s (%s), want the refused login", command, r.Msg, r.Error.Code)
		}
	}
	if got := l.calls("/auth/login"); got != 1 {
		t.Errorf("got %d logins, want 1", got)
	}
	r := l.approve(map[string]any{"session_path": session, "keep_session": true}, own)
	r.want(t, own, "approved")
	// The last command of a run leaves no file.
	for _, end := range []func() report{
		func() report { return l.run("logout", map[string]any{"session_path": session}) },
		func() report { return l.approve(map[string]any{"session_path": session, "state": "closed"}) },
	} {
		l.approve(wrong, own)
		if r := end(); r.Failed {
			t.Errorf("got %s, want the run ended", r.Msg)
		}
		if _, err := os.Stat(session); !os.IsNotExist(err) {
			t.Errorf("got %v, want the session file removed", err)
		}
	}
}

// A controller outside of the manager's allowlist is told so.
func TestAddressIsNotAllowed(t *testing.T) {
	l := newLab(t)
	own := l.registered("web")
	l.stop()
	l.start("--allow-from", "192.0.2.0/24")
	if r := l.approve(nil, own); r.Error.Code != "ENROLL_LOGIN" || !strings.Contains(r.Msg, "forbidden_ip") || l.calls("/auth/login") != 1 {
		t.Errorf("got %s after %d logins, want forbidden_ip after 1", r.Msg, l.calls("/auth/login"))
	}
}

// 401 in the middle: renewed once, the same call again.
func TestSessionEndsInTheMiddle(t *testing.T) {
	l := newLab(t, "--rate-limit", "off", "--access-seconds", "1")
	session := l.path("session")
	var hosts []*host
	for _, name := range []string{"a", "b", "c"} {
		hosts = append(hosts, l.registered(name))
	}
	for _, h := range hosts {
		r := l.approve(map[string]any{"session_path": session, "keep_session": true}, h)
		r.want(t, h, "approved")
	}
	if logins, renewals := l.calls("/auth/login"), l.calls("/auth/refresh"); logins != 1 || renewals == 0 {
		t.Errorf("got %d logins and %d renewals, want 1 and some", logins, renewals)
	}
	info, err := os.Stat(session)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("got mode %o, want 0600", info.Mode().Perm())
	}
	if r := l.run("logout", map[string]any{"session_path": session}); r.Failed {
		t.Errorf("got %s", r.Msg)
	}
	if _, err := os.Stat(session); !os.IsNotExist(err) || l.calls("/auth/logout") != 1 {
		t.Errorf("got %v and %d logouts, want no file and 1", err, l.calls("/auth/logout"))
	}
}

// A session that cannot be renewed ends the run, and its file.
func TestRefreshRefused(t *testing.T) {
	l := newLab(t, "--rate-limit", "off", "--access-seconds", "1", "--refresh-seconds", "1")
	own, session := l.registered("a"), l.path("session")
	must(t, os.WriteFile(session, []byte(`{"manager_url":"`+l.url+`","username":"robot","access_token":"CANARYold","refresh_token":"CANARYolder"}`), 0o600))
	r := l.approve(map[string]any{"session_path": session}, own)
	if r.Error.Code != "ENROLL_LOGIN" || !strings.Contains(r.Msg, "cannot be renewed") || strings.Contains(r.raw, "CANARYold") {
		t.Errorf("got %s", r.raw)
	}
	if _, err := os.Stat(session); !os.IsNotExist(err) {
		t.Errorf("got %v, want the session file removed", err)
	}
}

// A session file that others may use, or that is no file, is refused.
func TestSessionFileIsPrivate(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	own := l.registered("a")
	open, link, target := l.file("open", ""), l.path("link"), l.file("target", "")
	must(t, os.Chmod(open, 0o644))
	must(t, os.Symlink(target, link))
	twice := l.file("twice", "")
	must(t, os.Link(twice, l.path("twice2")))
	for _, path := range []string{open, link, twice, l.dir} {
		if r := l.approve(map[string]any{"session_path": path}, own); r.Error.Code != "ENROLL_FILESYSTEM" {
			t.Errorf("%s: got %s (%s), want ENROLL_FILESYSTEM", filepath.Base(path), r.Msg, r.Error.Code)
		}
	}
	if got := l.calls("/auth/login"); got != 0 {
		t.Errorf("got %d logins, want none", got)
	}
}

// A fleet that is enrolled: no login, no request, no credentials.
func TestEnrolledFleetAsksNothing(t *testing.T) {
	l := newLab(t)
	a, b := l.host("a"), l.host("b")
	for _, h := range []*host{a, b} {
		h.change = func(e map[string]any) { e["state"] = "enrolled" }
	}
	before := l.calls("")
	for _, state := range []string{"approved", "closed"} {
		r := l.approve(map[string]any{"state": state, "username": nil, "password": nil}, a, b)
		if r.Failed || r.Changed || r.Counts["enrolled"] != 2 || r.exit != 0 {
			t.Errorf("%s: got %s, want two enrolled", state, r.raw)
		}
	}
	if got := l.calls("") - before; got != 0 {
		t.Errorf("got %d requests, want none", got)
	}
}

// The rate limit is waited out, and met once only.
func TestRateLimitIsWaitedOut(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	var hosts []*host
	for i := range 34 {
		hosts = append(hosts, l.registered(fmt.Sprintf("n%d", i)))
	}
	l.stop()
	l.start()
	r := l.approve(nil, hosts...)
	if r.Failed || r.Counts["approved"] != len(hosts) {
		t.Errorf("got %s: %v, want all decided", r.Msg, r.Counts)
	}
	if total := r.Requests["total"]; total > len(hosts)+12 {
		t.Errorf("got %d requests, want at most %d", total, len(hosts)+12)
	}
}

// Check mode logs in and lists, and nothing else.
func TestCheckModeOnlyLists(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	own, lost := l.registered("web"), l.registered("db")
	lost.token = ""
	r := l.run("approve", map[string]any{"hosts": []any{own.entry(), lost.entry()}}, "--check")
	r.want(t, own, "approved")
	r.want(t, lost, "orphaned")
	if !r.Changed || !strings.Contains(r.raw, "approved, proven by token") || len(l.waiting()) != 2 || l.calls("/approve")+l.calls("/deny") != 0 {
		t.Errorf("got %s, want the differences and no act", r.raw)
	}
	r = l.run("approve", map[string]any{"hosts": []any{own.entry()}, "state": "denied"}, "--check")
	if got := r.Results["web"]; got.Decision != "denied" || !strings.Contains(got.Reason, "would be denied") || len(l.waiting()) != 2 {
		t.Errorf("got %s, want what would be done and no act", r.raw)
	}
}

// What a run does stands in the audit log and in the report, without secrets.
func TestAuditNamesWhatWasDone(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	own, log := l.registered("web"), l.path("audit.log")
	r := l.approve(map[string]any{"audit_path": log}, own)
	raw, err := os.ReadFile(log)
	must(t, err)
	for _, want := range []string{`"event":"admin.login"`, `"event":"admin.approved"`, `"account":"robot"`, `"inventory_host":"web"`, `"matched_by":"token"`, r.Results["web"].RequestID} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("got %s, want %s in it", raw, want)
		}
	}
	l.noSecrets(string(raw))
	if len(r.Audit) != 2 {
		t.Errorf("got %v in the report, want two entries", r.Audit)
	}
}

// A re-issued set comes out of reissue and of nothing else, and needs a
// verified connection.
func TestReissue(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	own := l.registered("web")
	r := l.approve(nil, own)
	own.id = r.Results["web"].RequestID
	r = l.run("reissue", map[string]any{"hosts": []any{own.entry()}})
	if r.Failed || !strings.Contains(r.Bundle.Key, "PRIVATE KEY") {
		t.Errorf("got %s, want a new set", r.Msg)
	}
	if r = l.run("reissue", map[string]any{"hosts": []any{own.entry()}}, "--check"); r.Bundle.Key != "" || !r.Changed {
		t.Errorf("got %s, want check mode to make no set", r.Msg)
	}
	own.change = func(e map[string]any) { e["request"].(map[string]any)["connection"] = "paramiko" }
	r = l.run("reissue", map[string]any{"hosts": []any{own.entry()}, "allow_unverified_connection": true})
	if r.Error.Code != "ENROLL_INVALID_ARGUMENT" || r.Bundle.Key != "" {
		t.Errorf("got %s, want a verified connection to be demanded", r.Msg)
	}
}

// The arguments are judged before anything is asked, and no secret is quoted.
func TestBadArguments(t *testing.T) {
	l := newLab(t)
	own := l.host("a")
	for want, more := range map[string]map[string]any{
		"unsupported arguments: paswort":            {"paswort": "CANARY-password-of-the-robot"},
		"argument 'password' is of type array":      {"password": []string{password}},
		"missing required arguments: manager_url":   {"manager_url": nil},
		"missing required arguments: username":      {"password": nil},
		"must be one of: report, deny":              {"on_blocked": "perhaps"},
		"mutually exclusive: access_token|username": {"access_token": "CANARY"},
		"mutually exclusive: totp_secret|totp_code": {"totp_secret": "A", "totp_code": "1"},
		"missing required arguments: fqdn":          {"hosts": []any{map[string]any{"name": "x"}}},
		"twice":                                     {"hosts": []any{own.entry(), own.entry()}},
		"neither an address nor a network":          {"hosts": []any{map[string]any{"name": "x", "fqdn": "x", "addresses": []string{"here"}}}},
		"required by 'keep_session'":                {"keep_session": true},
		"manager_ca_path":                           {"manager_ca_path": l.file("empty", "")},
		`unknown field "adresses"`:                  {"hosts": []any{map[string]any{"name": "x", "fqdn": "x", "adresses": "any"}}},
		// None of them means the system's CAs.
		"manager_ca_path is empty":        {"manager_ca_path": ""},
		"manager_ca_pem is empty":         {"manager_ca_pem": " "},
		"manager_ca_fingerprint is empty": {"manager_ca_fingerprint": ""},
		"fqdn, of x\uFFFD[31m":            {"hosts": []any{map[string]any{"name": "x\x1b[31m"}}},
	} {
		all := map[string]any{"hosts": []any{own.entry()}}
		for name, value := range more {
			all[name] = value
		}
		r := l.run("approve", all)
		if r.Error.Code != "ENROLL_INVALID_ARGUMENT" || r.exit != 64 || !strings.Contains(r.Msg, want) {
			t.Errorf("got %s (%s, exit code %d), want %q", r.Msg, r.Error.Code, r.exit, want)
		}
	}
	if got := l.calls("/api/v1/auth/login"); got != 0 {
		t.Errorf("got %d logins, want none", got)
	}
}

func TestOutputWithoutAValue(t *testing.T) {
	out, _ := exec.Command(bin.Path("enrollment_admin"), "requests", "--output").Output()
	if !strings.Contains(string(out), "value of --output must be one of: json, text") {
		t.Errorf("got %s, want the values of --output", out)
	}
}

// A run that is stopped in the middle logs out and keeps no session; the next
// one goes on where it stopped.
func TestStoppedRunLogsOut(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	session := l.path("session")
	var hosts []*host
	entries := []any{}
	for i := range 34 {
		h := l.registered(fmt.Sprintf("n%d", i))
		hosts, entries = append(hosts, h), append(entries, h.entry())
	}
	l.stop()
	l.start()
	arguments := map[string]any{"hosts": entries, "session_path": session, "_ansible_evidence_marked": true}
	for name, value := range l.arguments {
		arguments[name] = value
	}
	raw, err := json.Marshal(arguments)
	must(t, err)
	cmd := exec.Command(bin.Path("enrollment_admin"), "approve", "-")
	cmd.Env = []string{}
	cmd.Stdin = strings.NewReader(string(raw))
	var out strings.Builder
	cmd.Stdout = &out
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	// Past the burst the limit holds it up.
	for l.calls("/approve") < 28 {
		select {
		case err := <-ended:
			t.Fatalf("got an end after %d approvals: %v\n%s", l.calls("/approve"), err, out.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	<-ended
	l.noSecrets(out.String())
	if cmd.ProcessState.ExitCode() != 130 || !strings.Contains(out.String(), "ENROLL_INTERRUPTED") {
		t.Errorf("got exit code %d and %s, want an interrupted run", cmd.ProcessState.ExitCode(), out.String())
	}
	if _, err := os.Stat(session); err == nil || l.calls("/auth/logout") != 1 {
		t.Errorf("got %v and %d logouts, want no session file and 1", err, l.calls("/auth/logout"))
	}
	r := l.approve(nil, hosts...)
	if done := l.calls("/approve"); r.Counts["approved"]+r.Counts["not_listed"] != len(hosts) || done < len(hosts) {
		t.Errorf("got %v after %d approvals in all, want each host decided", r.Counts, done)
	}
}
