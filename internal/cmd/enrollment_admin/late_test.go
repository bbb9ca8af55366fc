package main_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// scripted is a manager that lists one request until it is decided, and answers
// the approvals and what else by the script.
func (l *lab) scripted(own *host, listed int, answers map[string][]func(http.ResponseWriter)) map[string]any {
	l.t.Helper()
	row := map[string]any{"id": "r1", "machine_id": own.machine, "fqdn": own.fqdn, "ip_address": own.ip + "/32", "polling_token": l.hash(own)}
	asked := map[string]int{}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		what := kind(r)
		asked[what]++
		switch n := asked[what]; {
		case len(answers[what]) > 0:
			answers[what][min(n, len(answers[what]))-1](w)
		case what == "login":
			_, _ = w.Write([]byte(`{"access_token":"CANARYa","refresh_token":"CANARYr","expires_in":900,"user":{"username":"robot"}}`))
		case what == "list" && n <= listed:
			_ = json.NewEncoder(w).Encode([]any{row})
		case what == "list":
			_, _ = w.Write([]byte("[]"))
		case what == "hosts":
			_, _ = fmt.Fprintf(w, `{"hosts":[{"id":"h1","fqdn":%q,"ip_address":"192.0.2.9\u001b[2J"}],"total":1}`, own.fqdn)
		}
	}))
	l.t.Cleanup(s.Close)
	way := &relay{server: s}
	return way.arguments()
}

func (l *lab) hash(h *host) string {
	request, _ := h.entry()["evidence"].(map[string]any)["request"].(map[string]any)
	return fmt.Sprint(request["token_sha256"])
}

func status(code int, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}

// A gateway gave the approval up, and the manager carried it out after it was
// listed once more: it is refused as done, and was ours. A gateway's page
// decides nothing.
func TestApprovalThatArrivedLate(t *testing.T) {
	const page = "<html>not found</html>"
	ownHost := status(409, `{"error":"Host collision detected","conflict":{"existing_host":{"id":"r1","fqdn":"web.example.com","ip_address":"192.0.2.9"}}}`)
	for name, c := range map[string]struct {
		answers []func(http.ResponseWriter)
		listed  int
		want    string
	}{
		"gone":              {[]func(http.ResponseWriter){status(502, page), status(404, "")}, 2, "approved"},
		"its own host":      {[]func(http.ResponseWriter){status(504, ""), ownHost}, 2, "approved"},
		"issuing failed":    {[]func(http.ResponseWriter){status(500, `{"error":"Certificate generation failed"}`), ownHost}, 9, "host_exists"},
		"decided by others": {[]func(http.ResponseWriter){status(404, "")}, 1, "not_listed"},
		"decided by no one": {[]func(http.ResponseWriter){status(403, `{"error":{"code":"forbidden","message":"Admin role required"}}`)}, 9, "failed"},
		"a host of another": {[]func(http.ResponseWriter){status(409, "")}, 9, "host_exists"},
		"an unnamed host":   {[]func(http.ResponseWriter){status(409, `{"error":"Host collision detected"}`)}, 9, "host_exists"},
		"a page for 409":    {[]func(http.ResponseWriter){status(409, page)}, 9, "failed"},
		"a page for 200":    {[]func(http.ResponseWriter){status(200, page)}, 9, "failed"},
		"a page":            {[]func(http.ResponseWriter){status(404, page)}, 9, "failed"},
		"a page, once":      {[]func(http.ResponseWriter){status(404, page), status(200, "")}, 2, "approved"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			own := l.host("web")
			own.token = "token"
			answers := map[string][]func(http.ResponseWriter){"approve": c.answers}
			if name == "an unnamed host" {
				answers["hosts"] = []func(http.ResponseWriter){status(200, `{"hosts":[]}`)}
			}
			more := l.scripted(own, c.listed, answers)
			r := l.approve(more, own)
			r.want(t, own, c.want)
			if r.Changed != (c.want == "approved") || strings.Contains(r.Results["web"].Reason, "(, ") || strings.Contains(r.raw, "u001b") {
				t.Errorf("got %s, want a change with an approval only, and a plain sentence without gaps", r.raw)
			}
		})
	}
}

// An approval that fails for all hosts ends the login, although it was to be
// kept: where all hosts of a play have failed, nothing of the run follows.
func TestFailedApprovalLogsOut(t *testing.T) {
	l := newLab(t)
	own := l.host("web")
	own.token = "token"
	out := 0
	more := l.scripted(own, 1, map[string][]func(http.ResponseWriter){
		"list": {status(200, "<html>")}, "logout": {func(http.ResponseWriter) { out++ }},
	})
	more["session_path"], more["keep_session"] = l.path("session"), true
	if r := l.approve(more, own); r.Error.Code != "ENROLL_BAD_ANSWER" || out != 1 {
		t.Errorf("got %s and %d logouts, want the list refused and 1", r.Msg, out)
	}
	if _, err := os.Stat(l.path("session")); !os.IsNotExist(err) {
		t.Errorf("got %v, want the session file removed", err)
	}
}

// What the manager has approved stays approved where the list that verifies it
// fails: the host would miss the time in which its certificates are kept.
func TestVerifyingListFails(t *testing.T) {
	l := newLab(t)
	own := l.host("web")
	own.token = "token"
	row, err := json.Marshal([]any{map[string]any{"id": "r1", "machine_id": own.machine, "fqdn": own.fqdn, "ip_address": own.ip, "polling_token": l.hash(own)}})
	must(t, err)
	more := l.scripted(own, 0, map[string][]func(http.ResponseWriter){"list": {status(200, string(row)), status(200, "<html>")}})
	r := l.approve(more, own)
	r.want(t, own, "approved")
	if r.Failed || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "could not be verified") {
		t.Errorf("got %s, want a warning alone", r.raw)
	}
}

// A host is withdrawn where the manager says so, not where a gateway does.
func TestWithdrawalBehindAGateway(t *testing.T) {
	l := newLab(t)
	own := l.host("web")
	for _, c := range []struct {
		code   int
		answer string
		want   bool
	}{{404, "", true}, {404, "<html>", false}, {200, "<html>", false}} {
		answer, want := c.answer, c.want
		gone := []func(http.ResponseWriter){status(c.code, answer)}
		more := l.scripted(own, 0, map[string][]func(http.ResponseWriter){"reissue": gone, "h1": gone})
		more["state"] = "withdrawn"
		r := l.approve(more, own)
		if got := r.Results["web"].Decision == "withdrawn"; got != want || r.Failed == want || strings.Contains(r.raw, "admin.reissued") {
			t.Errorf("%q: got %s, want withdrawn: %t, and no re-issue noted", answer, r.raw, want)
		}
	}
}
