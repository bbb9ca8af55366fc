package torture_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/torture/tally"
)

// canary is the token of raw managers.
const canary = "TokenCanary0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP"

// raw is a manager that writes what no honest one does, byte by byte, over
// real TLS.
type raw struct {
	ca     *pkitest.CA
	url    string
	caPath string
	// post and get answer a request by writing to its connection.
	post, get   func(net.Conn)
	posts, gets atomic.Int64
	// unread is closed when the manager ends.
	ended chan struct{}
}

// newRaw starts one; options are about its HTTPS certificate.
func newRaw(t *testing.T, opts ...pkitest.Option) *raw {
	t.Helper()
	m := &raw{ca: pkitest.NewCA(t), ended: make(chan struct{})}
	m.post = answers(202, fmt.Sprintf(`{"polling_token":%q}`, canary))
	leaf := m.ca.Issue(t, append(opts, pkitest.IP("127.0.0.1"), pkitest.DNS("localhost"))...)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{leaf.TLS()}})
	must(t, err)
	m.url = "https://" + ln.Addr().String()
	m.caPath = filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(m.caPath, []byte(m.ca.PEM()), 0o644))
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { m.serve(conn) })
		}
	})
	t.Cleanup(func() {
		close(m.ended)
		_ = ln.Close()
		all.Wait()
	})
	return m
}

func (m *raw) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Minute))
	for reader := bufio.NewReader(conn); ; {
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method == http.MethodPost {
			m.posts.Add(1)
			m.post(conn)
			continue
		}
		m.gets.Add(1)
		m.get(conn)
	}
}

// answers writes an honest frame around a body.
func answers(code int, body string, headers ...string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, frame(code, body, headers...)) }
}

func frame(code int, body string, headers ...string) string {
	head := fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", code, len(body))
	for _, h := range headers {
		head += h + "\r\n"
	}
	return head + "\r\n" + body
}

// writes sends text as it is, and cuts the connection with a reset.
func writes(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = io.WriteString(c, text)
		if tcp, ok := c.(*tls.Conn).NetConn().(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.(*tls.Conn).NetConn().Close()
	}
}

func (m *raw) bundle(t *testing.T, change func(*contract.PkiBundle)) string {
	t.Helper()
	b := m.ca.Issue(t, pkitest.DNS("web1.example.com"), pkitest.IP("127.0.0.1")).Bundle(t)
	if change != nil {
		change(&b)
	}
	text, err := json.Marshal(contract.PollingStatus{Status: contract.StatusApproved, PkiBundle: b})
	must(t, err)
	return string(text)
}

func (h *host) commandFor(m *raw, more options) options {
	all := options{"manager_url": m.url, "manager_ca_path": m.caPath}
	for name, value := range more {
		all[name] = value
	}
	return all
}

// unharmed checks what holds after each lie to a host that is not enrolled.
func (h *host) unharmed(t *testing.T, r result) {
	t.Helper()
	h.kept(t, r, "none", h.whitelist)
}

// kept checks what holds after each lie: set, whitelist and config as they
// were, and no secret anywhere but in the state directory and the token's copy.
func (h *host) kept(t *testing.T, r result, set, whitelist string) {
	t.Helper()
	if now := h.set(); now != set {
		counted.add("hostile manager", func(r *tally.Row) { r.Lost++ })
		t.Errorf("the set is %s, was %s, want %v", now, set, set)
	}
	if !r.Failed || r.Error.Hint == "" || len(r.raw) > 64<<10 {
		t.Errorf("got %.2000s, want a failure with a hint, 64 KiB at most", r.raw)
	}
	if strings.Contains(r.raw, canary) || strings.Contains(r.raw, "PRIVATE KEY") {
		counted.add("hostile manager", func(r *tally.Row) { r.Leaks++ })
		t.Errorf("got a secret in the result, want none: %.2000s", r.raw)
	}
	for name, f := range h.image() {
		if strings.HasPrefix(name, "state/") || name == "etc/config.yaml" || keyFile.MatchString(name) {
			continue
		}
		if bytes.Contains(f.content, []byte(canary)) || bytes.Contains(f.content, []byte("PRIVATE KEY")) {
			counted.add("hostile manager", func(r *tally.Row) { r.Leaks++ })
			t.Errorf("a secret stands in %s", name)
		}
	}
	if got, err := os.ReadFile(h.path("etc/whitelist.yaml")); err != nil || string(got) != whitelist {
		t.Errorf("the whitelist is %q, want %v", got, whitelist)
	}
	counted.add("hostile manager", func(r *tally.Row) { r.Points++; r.All++; r.Runs++ })
}

func bomb() string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(bytes.Repeat([]byte(" "), 64<<20))
	_ = w.Close()
	return b.String()
}

// TestHostileAnswers lets a manager lie to a registration and to a poll.
func TestHostileAnswers(t *testing.T) {
	other := newRaw(t)
	for _, c := range []struct {
		name   string
		answer func(m *raw) func(net.Conn)
	}{
		{"nothing", func(*raw) func(net.Conn) { return writes("") }},
		{"rubbish", func(*raw) func(net.Conn) { return writes(strings.Repeat("\x00\xff\x1b[2J", 4096)) }},
		{"shorter than told", func(*raw) func(net.Conn) {
			return writes("HTTP/1.1 200 X\r\nContent-Length: 9000\r\n\r\n{\"status\":\"pending\"}")
		}},
		{"negative length", func(*raw) func(net.Conn) { return writes("HTTP/1.1 200 X\r\nContent-Length: -1\r\n\r\n{}") }},
		{"two lengths", func(*raw) func(net.Conn) {
			return writes("HTTP/1.1 200 X\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}")
		}},
		{"rubbish for chunks", func(*raw) func(net.Conn) {
			return writes("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n")
		}},
		{"endless chunk", func(*raw) func(net.Conn) {
			return writes("HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{")
		}},
		{"10 MB of headers", func(*raw) func(net.Conn) {
			return writes("HTTP/1.1 200 X\r\nX: " + strings.Repeat("x", 10<<20) + "\r\nContent-Length: 2\r\n\r\n{}")
		}},
		{"64 MB body", func(*raw) func(net.Conn) { return answers(200, strings.Repeat(" ", 64<<20)) }},
		{"gzip bomb", func(*raw) func(net.Conn) { return answers(200, bomb(), "Content-Encoding: gzip") }},
		{"deep nesting", func(*raw) func(net.Conn) { return answers(200, `{"x":`+strings.Repeat("[", 500_000)) }},
		{"duplicate keys", func(m *raw) func(net.Conn) {
			return answers(200, `{"status":"approved","server_key":"a","server_key":"b","polling_token":"a","polling_token":"b"}`)
		}},
		{"wrong types", func(*raw) func(net.Conn) { return answers(200, `{"status":7,"polling_token":["x"],"server_key":{}}`) }},
		{"redirect to another host", func(*raw) func(net.Conn) { return answers(302, "", "Location: "+other.url+"/") }},
		{"redirect to http", func(*raw) func(net.Conn) { return answers(307, "", "Location: http://127.0.0.1:1/") }},
		{"redirect to itself", func(m *raw) func(net.Conn) { return answers(308, "", "Location: "+m.url+"/api/v1/enroll") }},
		{"control characters", func(*raw) func(net.Conn) {
			return answers(400, "\x1b]0;owned\x07\r\nContent-Type: x\x00"+strings.Repeat("\xff", 9000))
		}},
		{"informational answers for ever", func(*raw) func(net.Conn) { return writes(strings.Repeat("HTTP/1.1 102 X\r\n\r\n", 1000)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, poll := range []bool{false, true} {
				h, m := newHost(t), newRaw(t)
				if poll {
					m.get = c.answer(m)
				} else {
					m.post = c.answer(m)
				}
				start := time.Now()
				r := h.run(h.command(nil, h.commandFor(m, nil)))
				if took := time.Since(start); took > 30*time.Second {
					t.Errorf("poll %v: it took %v, want %v at most", poll, took, 30*time.Second)
				}
				h.unharmed(t, r)
				if strings.ContainsAny(r.Msg, "\x1b\x00\x07") {
					t.Errorf("got %q, want no control characters", r.Msg)
				}
				if poll && !h.token() {
					t.Errorf("got no token any more, want it kept: %s", r.Msg)
				}
			}
		})
	}
	if n := other.posts.Load() + other.gets.Load(); n != 0 {
		t.Errorf("a redirect was followed %d times, want 0", n)
	}
}

// token says whether the token is kept.
func (h *host) token() bool {
	raw, err := os.ReadFile(h.path("state/token"))
	return err == nil && bytes.Contains(raw, []byte(canary))
}

// TestHostileTokens: a token is part of a URL and of a file.
func TestHostileTokens(t *testing.T) {
	for _, token := range []string{
		"a/../../admin", "..", ".", "a b", "a\nb", "a\x00b", "a%2f..", "a?x=1", "a#b", "", strings.Repeat("a", 100_000), "é", "a\\b",
	} {
		t.Run(fmt.Sprintf("%.20q", token), func(t *testing.T) {
			h, m := newHost(t), newRaw(t)
			body, err := json.Marshal(map[string]string{"polling_token": token})
			must(t, err)
			m.post = answers(202, string(body))
			r := h.run(h.command(nil, h.commandFor(m, nil)))
			if m.gets.Load() != 0 || !r.Failed || r.code() != "ENROLL_BAD_ANSWER" {
				t.Errorf("got %d polls, %.500s, want none, and ENROLL_BAD_ANSWER", m.gets.Load(), r.raw)
			}
		})
	}
}

// TestSlowLoris: an answer that comes a byte a second ends with the client's
// time limit, and the token is kept.
func TestSlowLoris(t *testing.T) {
	// It waits for the program's own half minute.
	t.Parallel()
	h, m := newHost(t), newRaw(t)
	m.get = func(c net.Conn) {
		for _, b := range []byte(frame(200, m.bundle(t, nil))) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			select {
			case <-m.ended:
				return
			case <-time.After(time.Second):
			}
		}
	}
	start := time.Now()
	r := h.run(h.command(nil, h.commandFor(m, nil)))
	if took := time.Since(start); took > 45*time.Second || !h.token() {
		t.Errorf("got an end after %v, token kept: %v; want it within 45 s, with the token", took, h.token())
	}
	h.unharmed(t, r)
}
