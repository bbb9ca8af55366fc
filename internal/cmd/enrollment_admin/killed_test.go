package main_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// relay stands between the program and the manager. It forwards all, until the
// request for which stop returns true has come, or has been answered.
type relay struct {
	server *httptest.Server
	mu     sync.Mutex
	seen   map[string]int
	// rewrite changes a list on its way, as a manager that takes any name would
	// show it.
	rewrite *strings.Replacer
}

// kind names what a request is for.
func kind(r *http.Request) string {
	switch p := r.URL.Path; {
	case strings.HasSuffix(p, "/approve"):
		return "approve"
	case strings.HasSuffix(p, "/enrollments"):
		return "list"
	default:
		return p[strings.LastIndex(p, "/")+1:]
	}
}

// newRelay calls at with "before" or "after" and the kind and number of each
// request; where it returns true, no answer is given.
func (l *lab) newRelay(at func(phase string) bool) *relay {
	l.t.Helper()
	target, err := url.Parse(l.url)
	must(l.t, err)
	way := &relay{seen: map[string]int{}}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: l.http.Transport,
	}
	way.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		way.mu.Lock()
		way.seen[kind(r)]++
		name := fmt.Sprintf("%s %d", kind(r), way.seen[kind(r)])
		way.mu.Unlock()
		answer := httptest.NewRecorder()
		if at("before " + name) {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(answer, r)
		if at("after " + name) {
			panic(http.ErrAbortHandler)
		}
		for header, values := range answer.Header() {
			w.Header()[header] = values
		}
		body := answer.Body.String()
		if kind(r) == "list" && way.rewrite != nil {
			body = way.rewrite.Replace(body)
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
		w.WriteHeader(answer.Code)
		_, _ = io.WriteString(w, body)
	}))
	l.t.Cleanup(way.server.Close)
	return way
}

func (way *relay) arguments() map[string]any {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: way.server.Certificate().Raw})
	return map[string]any{"manager_url": way.server.URL, "manager_ca_pem": string(ca), "manager_ca_path": nil}
}

// A run that is killed in any phase, and run again: each request is approved
// once, and what the killed run left behind is logged out and removed.
func TestKilledRunIsRunAgain(t *testing.T) {
	for _, phase := range []string{
		"after login 1", "before list 1", "after list 1", "before approve 1", "after approve 1", "before approve 2", "after approve 3",
		"before list 2", "after list 2", "before logout 1",
	} {
		t.Run(phase, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, "--rate-limit", "off")
			session := l.path("session")
			hosts := []*host{l.registered("a"), l.registered("b"), l.registered("c")}
			planted := l.host("planted")
			planted.fqdn = hosts[0].fqdn
			planted.post()

			way := l.killedAt(phase, session, hosts)
			if left, err := os.ReadFile(session); (err == nil && len(left) > 0) != (phase != "after login 1") {
				t.Errorf("got %d bytes of a session, %v, want some once the login was answered", len(left), err)
			}
			// As the playbook does for a run that was killed.
			logout := way.arguments()
			logout["session_path"] = session
			ended := l.run("logout", logout)
			if _, err := os.Stat(session); ended.Failed || !os.IsNotExist(err) {
				t.Errorf("got %s and %v, want the session ended and its file removed", ended.Msg, err)
			}
			if got, want := l.calls("/auth/logout"), l.calls("/auth/login"); phase != "after login 1" && got != want {
				t.Errorf("got %d logouts of %d logins", got, want)
			}
			r := l.approve(map[string]any{"session_path": session}, hosts...)
			if r.Counts["approved"]+r.Counts["not_listed"] != len(hosts) {
				t.Errorf("got %s, want each host approved now or before", r.Msg)
			}
			for _, h := range hosts {
				if answer := h.poll(); !strings.Contains(answer, "server_key") {
					t.Errorf("%s: got %s, want its bundle", h.name, answer)
				}
			}
			if got := len(l.serials()); got != len(hosts) || l.calls("/approve") != len(hosts) {
				t.Errorf("got %d hosts after %d approvals, want %d after as many", got, l.calls("/approve"), len(hosts))
			}
			if left := l.waiting(); len(left) != 1 {
				t.Errorf("got %q waiting, want the planted request alone", left)
			}
		})
	}
}

// killedAt runs approve and kills it at a phase.
func (l *lab) killedAt(phase, session string, hosts []*host) *relay {
	l.t.Helper()
	var cmd *exec.Cmd
	started := make(chan struct{})
	way := l.newRelay(func(now string) bool {
		if now != phase {
			return false
		}
		<-started
		_ = cmd.Process.Kill()
		return true
	})
	entries := []any{}
	for _, h := range hosts {
		entries = append(entries, h.entry())
	}
	raw, err := json.Marshal(merged(l.arguments, way.arguments(), map[string]any{"hosts": entries, "session_path": session, "_ansible_evidence_marked": true}))
	must(l.t, err)
	cmd = exec.Command(bin.Path("enrollment_admin"), "approve", "-")
	var out bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout = []string{}, bytes.NewReader(raw), &out
	must(l.t, cmd.Start())
	close(started)
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 || out.Len() != 0 {
		l.t.Fatalf("got %v and %s, want the run killed at %s", err, out.String(), phase)
	}
	return way
}

// merged is all arguments together; nil takes one out.
func merged(all ...map[string]any) map[string]any {
	out := map[string]any{}
	for _, m := range all {
		for name, value := range m {
			if out[name] = value; value == nil {
				delete(out, name)
			}
		}
	}
	return out
}

// The way fails in the middle: an approval without an answer, or with an error
// of the manager's, is looked up in the list before it is sent again.
func TestApprovalWithoutAnAnswer(t *testing.T) {
	for _, phase := range []string{"before approve 2", "after approve 2", "after list 1", "after list 2"} {
		t.Run(phase, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, "--rate-limit", "off")
			way := l.newRelay(func(now string) bool { return now == phase })
			hosts := []*host{l.registered("a"), l.registered("b"), l.registered("c")}
			r := l.approve(way.arguments(), hosts...)
			if r.Failed || r.Counts["approved"] != len(hosts) || l.calls("/approve") != len(hosts) {
				t.Errorf("got %s after %d approvals, want each approved once", r.raw, l.calls("/approve"))
			}
		})
	}
}

// The manager ends the login in the middle of a run, at whatever time: it is
// renewed once, and the run goes on. Where it cannot be renewed the run ends.
func TestLoginEndsInTheMiddleOfARun(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	spoilt := map[string]bool{}
	way := l.newRelay(func(string) bool { return false })
	inner := way.server.Config.Handler
	way.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		way.mu.Lock()
		approvals, token := way.seen["approve"], r.Header.Get("Authorization")
		if kind(r) == "approve" && approvals == 2 && len(spoilt) == 0 {
			spoilt[token] = true
		}
		ended := spoilt[token]
		way.mu.Unlock()
		if ended && kind(r) != "logout" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":{"code":"unauthorized","message":"Token expired"}}`)
			return
		}
		inner.ServeHTTP(w, r)
	})
	hosts := []*host{l.registered("a"), l.registered("b"), l.registered("c"), l.registered("d")}
	r := l.approve(way.arguments(), hosts...)
	if r.Failed || r.Counts["approved"] != len(hosts) || l.calls("/approve") != len(hosts) || l.calls("/auth/refresh") != 1 || l.calls("/auth/login") != 1 {
		t.Errorf("got %s after %d approvals, %d renewals, %d logins; want all approved once with one renewal of one login", r.Msg, l.calls("/approve"), l.calls("/auth/refresh"), l.calls("/auth/login"))
	}
}

// A limit that says to come back at once is waited out for a moment, and no
// request is dropped.
func TestLimitThatSaysZero(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	way := l.newRelay(func(string) bool { return false })
	inner := way.server.Config.Handler
	limited := map[string]bool{}
	way.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		way.mu.Lock()
		first := !limited[kind(r)]
		limited[kind(r)] = true
		way.mu.Unlock()
		if first && kind(r) != "login" {
			w.Header().Set("Retry-After", "0")
			w.Header().Set("x-ratelimit-after", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, "Too Many Requests! Wait for 0s")
			return
		}
		inner.ServeHTTP(w, r)
	})
	hosts := []*host{l.registered("a"), l.registered("b")}
	r := l.approve(way.arguments(), hosts...)
	if r.Failed || r.Counts["approved"] != 2 || l.calls("/approve") != 2 || l.calls("/auth/logout") != 1 {
		t.Errorf("got %s, want both approved and the login ended", r.raw)
	}
}

// A manager that restarts between approval and fetch has forgotten the bundle:
// the host is told apart as unclaimed, and enrolls after a withdrawal.
func TestManagerRestartsBeforeTheFetch(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	own := l.registered("web")
	r := l.approve(nil, own)
	r.want(t, own, "approved")
	own.id = r.Results["web"].RequestID
	l.stop()
	l.start("--rate-limit", "off")
	if answer := own.poll(); strings.Contains(answer, "server_key") {
		t.Fatalf("got %s, want the bundle forgotten", answer)
	}
	own.change = func(e map[string]any) { e["error"] = map[string]any{"code": "ENROLL_TOKEN_UNKNOWN"} }
	l.approve(map[string]any{"state": "closed"}, own).want(t, own, "unclaimed")
	l.approve(map[string]any{"state": "withdrawn"}, own).want(t, own, "withdrawn")
	own.change, own.id = nil, ""
	own.post()
	l.approve(nil, own).want(t, own, "approved")
	if answer := own.poll(); !strings.Contains(answer, "server_key") {
		t.Errorf("got %s, want the bundle", answer)
	}
}

// A host that the manager did not let register is named as existing, and is
// replaced only where that was asked for and the name is its own.
func TestHostThatCannotRegister(t *testing.T) {
	l := newLab(t, "--rate-limit", "off", "--conflict", "409")
	own := l.registered("web")
	l.approve(nil, own).want(t, own, "approved")
	if code := own.post(); code != http.StatusConflict {
		t.Fatalf("got %d, want the manager to know the machine", code)
	}
	own.token = ""
	own.change = func(e map[string]any) { e["error"] = map[string]any{"code": "ENROLL_CONFLICT"} }
	r := l.approve(nil, own)
	r.want(t, own, "host_exists")
	if e := r.Results["web"].Existing; e == nil || e.FQDN != own.fqdn {
		t.Errorf("got the existing host %+v, want it named", e)
	}
	stranger := l.host("db")
	stranger.change = own.change
	l.approve(map[string]any{"on_existing": "replace"}, stranger).want(t, stranger, "no_request")
	r = l.approve(map[string]any{"on_existing": "replace", "_ansible_check_mode": true}, own)
	if !r.Changed || !strings.Contains(r.Results["web"].Reason, "would be removed") {
		t.Errorf("got %s, want check mode to say that the host would be removed", r.raw)
	}
	r = l.approve(map[string]any{"on_existing": "replace"}, own)
	if got := r.Results["web"]; !got.RegisterAgain || got.Repairs != 1 {
		t.Errorf("got %+v, want the host to register again", got)
	}
	own.change = nil
	own.post()
	l.approve(nil, own).want(t, own, "approved")
}

// Hosts of other waves are known and not decided on: a twin is recognized.
func TestHostsOfOtherWavesAreKnown(t *testing.T) {
	l := newLab(t, "--rate-limit", "off")
	own, clone, named := l.registered("a"), l.host("b"), l.registered("c")
	clone.machine, clone.proof = own.machine, own.proof
	known := func(h *host) map[string]any { return merged(h.entry(), map[string]any{"decide": false}) }
	twin := l.host("d")
	twin.expected = named.expected
	r := l.run("approve", map[string]any{"on_blocked": "deny", "hosts": []any{clone.entry(), named.entry(), known(own), known(twin)}})
	r.want(t, clone, "duplicate_machine_id")
	r.want(t, named, "duplicate_name")
	if r.Results["b"].Twin != "a" || len(r.Results) != 2 || len(l.waiting()) != 2 {
		t.Errorf("got %s, want the others left alone", r.raw)
	}
	r = l.run("approve", map[string]any{"hosts": []any{own.entry(), known(clone), known(twin)}})
	r.want(t, own, "approved")
}
