package main_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
)

// midwave answers the requests from the second approval on by the handler, and
// says how many of a kind came.
func (l *lab) midwave(dead http.HandlerFunc) *relay {
	l.t.Helper()
	way := l.newRelay(func(string) bool { return false })
	inner := way.server.Config.Handler
	way.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		way.mu.Lock()
		ended := way.seen["approve"] > 0 && kind(r) != "logout"
		if ended {
			way.seen["dead "+kind(r)]++
		}
		way.mu.Unlock()
		if ended {
			dead(w, r)
			return
		}
		inner.ServeHTTP(w, r)
	})
	return way
}

// A login that ends in the middle of a wave and cannot be renewed is not made
// again: someone has ended it, or used its refresh token. What was approved stays
// so, the other hosts are told why not, and no later command of the run tries.
func TestLoginThatIsEndedInTheMiddleOfAWave(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	session := l.path("session")
	way := l.midwave(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"error":{"code":"invalid_refresh_token","message":"ended"}}`))
	})
	hosts := []*host{l.registered("a"), l.registered("b"), l.registered("c")}
	stranger := l.registered("d")
	stranger.expected = "other.example.com"
	kept := way.arguments()
	kept["session_path"], kept["keep_session"] = session, true
	r := l.approve(kept, append(hosts, stranger)...)
	r.want(t, hosts[0], "approved")
	for _, h := range hosts[1:] {
		r.want(t, h, "failed")
		if got := r.Results[h.name].Reason; !strings.Contains(got, "cannot be renewed") {
			t.Errorf("%s: got %q, want the reason of the end", h.name, got)
		}
	}
	r.want(t, stranger, "wrong_name")
	if r.Error.Code != "ENROLL_LOGIN" || !r.Changed || way.seen["dead approve"] != 1 || way.seen["dead refresh"] != 1 {
		t.Errorf("got %s after %v, want the run ended by the refused renewal", r.raw, way.seen)
	}
	raw, err := os.ReadFile(session)
	if err != nil || strings.Contains(string(raw), password) || !strings.Contains(string(raw), `"access_token":""`) {
		t.Errorf("got %s, %v, want a note without tokens", raw, err)
	}
	again := l.approve(kept, hosts[1:]...)
	if again.Error.Code != "ENROLL_LOGIN" || !strings.Contains(again.Msg, "not tried again in this run") || l.calls("/auth/login") != 1 {
		t.Errorf("got %s after %d logins, want no second login", again.Msg, l.calls("/auth/login"))
	}
	if answer := hosts[0].poll(); !strings.Contains(answer, "server_key") {
		t.Errorf("got %s, want the bundle of what was approved", answer)
	}
	// A new run has a file of its own.
	if r := l.approve(nil, hosts[1:]...); r.Counts["approved"] != 2 {
		t.Errorf("got %s, want the others approved by the next run", r.Msg)
	}
}

// A manager that goes away in the middle of a wave is tried for one host. The
// others, and the run's commands of the next minute, fail at once; the login is
// ended when the manager is there again.
func TestManagerGoesAwayInTheMiddleOfAWave(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	session := l.path("session")
	way := l.midwave(func(http.ResponseWriter, *http.Request) { panic("it is not reached") })
	stop := way.server.Config.Handler
	way.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if kind(r) == "approve" {
			_ = way.server.Listener.Close()
			w.Header().Set("Connection", "close")
		}
		stop.ServeHTTP(w, r)
	})
	var hosts []*host
	for _, name := range strings.Split("abcdefghij", "") {
		hosts = append(hosts, l.registered(name))
	}
	kept := way.arguments()
	kept["session_path"], kept["keep_session"] = session, true
	r := l.approve(kept, hosts...)
	r.want(t, hosts[0], "approved")
	if r.Counts["failed"] != len(hosts)-1 || r.Error.Code != "ENROLL_UNREACHABLE" || r.Requests["total"] > 1+1+1+3 {
		t.Errorf("got %v, %s after %v, want the others failed after three tries in all", r.Counts, r.Msg, r.Requests)
	}
	again := l.approve(kept, hosts[1:]...)
	if again.Error.Code != "ENROLL_UNREACHABLE" || again.Requests["total"] != 0 || !strings.Contains(again.Msg, "not tried again for a minute") {
		t.Errorf("got %s after %v, want no request", again.Msg, again.Requests)
	}
	// Over another way, the manager is there.
	raw, err := os.ReadFile(session)
	must(t, err)
	direct := strings.NewReplacer(way.server.URL, l.url).Replace(string(raw))
	must(t, os.WriteFile(session, []byte(direct), 0o600))
	if r := l.run("logout", map[string]any{"session_path": session}); r.Failed || l.calls("/auth/logout") != 1 {
		t.Errorf("got %s and %d logouts, want 1", r.Msg, l.calls("/auth/logout"))
	}
	if _, err := os.Stat(session); !os.IsNotExist(err) {
		t.Errorf("got %v, want the session file removed", err)
	}
}

// A token does not say whose it is: the audit does not either, and never shows it.
func TestAuditOfAnAccessToken(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	var in struct {
		Token string `json:"access_token"`
	}
	resp, err := l.http.Post(l.url+"/api/v1/auth/login", "application/json", strings.NewReader(`{"username":"robot","password":"`+password+`"}`))
	must(t, err)
	must(t, decodeBody(resp, &in))
	own := l.registered("web")
	r := l.approve(map[string]any{"username": nil, "password": nil, "access_token": in.Token, "audit_path": l.path("audit.log")}, own)
	r.want(t, own, "approved")
	log, err := os.ReadFile(l.path("audit.log"))
	if err != nil || len(r.Audit) != 1 || r.Audit[0]["account"] != "access token" || !strings.Contains(string(log), `"account":"access token"`) || strings.Contains(string(log)+r.raw, in.Token) {
		t.Errorf("got %v and %s, %v, want access token in the account's place", r.Audit, log, err)
	}
	other := l.registered("db")
	r = l.approve(map[string]any{"username": "robot\u202e\n"}, other)
	if strings.Contains(r.raw, `\n`) || r.Error.Code != "ENROLL_LOGIN" {
		t.Errorf("got %s, want a refused login", r.raw)
	}
}

func decodeBody(resp *http.Response, into any) error {
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}
