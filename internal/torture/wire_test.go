package torture_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/torture/tally"
)

// inOrder answers with one after the other, the last again and again.
func inOrder(all ...func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		next := all[0]
		if len(all) > 1 {
			all = all[1:]
		}
		next(c)
	}
}

// TestGatewayAnswersInTheManagersPlace: whatever stands between host and manager
// says, the request goes on and its bundle is put in place.
func TestGatewayAnswersInTheManagersPlace(t *testing.T) {
	const pending = `{"status":"pending"}`
	gateway := map[string]func(net.Conn){
		"404 text":         answers(404, "404 page not found\n"),
		"404 empty":        answers(404, ""),
		"404 JSON":         answers(404, `{"message":"no Route matched"}`),
		"403 page":         answers(403, "<html>blocked</html>"),
		"403 JSON":         answers(403, `{"error":"denied"}`),
		"redirect":         answers(302, "", "Location: https://login.example/"),
		"login page":       answers(200, "<!DOCTYPE html>log in"),
		"401":              answers(401, "", "WWW-Authenticate: Basic"),
		"407":              answers(407, "<html>"),
		"511":              answers(511, "<html>"),
		"502":              answers(502, "<html>"),
		"switching":        writes("HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
		"small and coded":  answers(200, "\x9c\x01\x02", "Content-Encoding: br"),
		"rate limit, page": answers(429, "<html>", "Retry-After: 0"),
	}
	for name, answer := range gateway {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, m := newHost(t), newRaw(t)
			m.get = inOrder(answers(200, pending), answer, answer, answers(200, m.bundle(t, nil)))
			for range 3 {
				if r := h.run(h.command(nil, h.commandFor(m, nil))); r.Failed && (!r.Error.Retryable || !h.token()) {
					t.Errorf("retryable %v, token kept %v: %.500s", r.Error.Retryable, h.token(), r.raw)
				}
			}
			h.enrolledFrom(t, m, "gateway")
		})
	}
}

// enrolledFrom runs once more, and holds that the bundle of m is in place and that
// no other request was made.
func (h *host) enrolledFrom(t *testing.T, m *raw, attack string) {
	t.Helper()
	r := h.run(h.command(nil, h.commandFor(m, nil)))
	lost := r.Failed || h.set() == "none" || m.posts.Load() != 1
	if lost {
		t.Errorf("%d requests, the set is %s: %.900s", m.posts.Load(), h.set(), r.raw)
	}
	counted.add(attack, func(r *tally.Row) {
		r.Points++
		r.All++
		r.Runs++
		if lost {
			r.Lost++
		}
	})
}

// TestEncodedBundles: a bundle in an encoding that no one asked for is not lost.
func TestEncodedBundles(t *testing.T) {
	zip := func(body string) string {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		_, _ = io.WriteString(w, body)
		_ = w.Close()
		return out.String()
	}
	deflate := func(body string) string {
		var out bytes.Buffer
		w := zlib.NewWriter(&out)
		_, _ = io.WriteString(w, body)
		_ = w.Close()
		return out.String()
	}
	for said, encode := range map[string]func(string) string{
		"gzip": zip, "GZIP": zip, "x-gzip": zip, "deflate": deflate, "identity": func(s string) string { return s },
		"deflate, gzip": func(s string) string { return zip(deflate(s)) }, "br": func(s string) string { return s },
	} {
		t.Run(said, func(t *testing.T) {
			t.Parallel()
			h, m := newHost(t), newRaw(t)
			m.get = answers(200, encode(m.bundle(t, nil)), "Content-Encoding: "+said)
			h.run(h.command(nil, h.commandFor(m, nil)))
			h.enrolledFrom(t, m, "encoded answer")
		})
	}
	t.Run("nobody can decode it", func(t *testing.T) {
		t.Parallel()
		h, m := newHost(t), newRaw(t)
		body := strings.Repeat("\x9c\x01\xff", 700)
		m.get = answers(200, body, "Content-Encoding: zstd")
		r := h.run(h.command(nil, h.commandFor(m, nil)))
		kept := false
		for name, f := range h.image() {
			var record struct {
				Encoding string `json:"encoding"`
				Body     []byte `json:"body"`
			}
			if _, text, found := bytes.Cut(f.content, []byte("\n")); found && strings.HasPrefix(name, "state/rejected.") {
				kept = kept || json.NewDecoder(bytes.NewReader(text)).Decode(&record) == nil && record.Encoding == "zstd" && string(record.Body) == body
			}
		}
		if !r.Failed || !kept || !h.token() {
			t.Errorf("kept %v, token %v: %.500s", kept, h.token(), r.raw)
		}
	})
}

// TestFrozenWhileTheBundleArrives stops the program after its poll, past its own
// half minute in full, and a moment in the sample: what has arrived is taken.
func TestFrozenWhileTheBundleArrives(t *testing.T) {
	t.Parallel()
	frozen := 2 * time.Second
	if full {
		frozen = 36 * time.Second
	}
	h, m := newHost(t), newRaw(t)
	bundle := m.bundle(t, nil)
	asked, stopped := make(chan struct{}), make(chan struct{})
	m.get = func(c net.Conn) {
		close(asked)
		<-stopped
		answers(200, bundle)(c)
	}
	program := h.command(nil, h.commandFor(m, nil))
	cmd := exec.Command(program.Path, program.Args...)
	var out bytes.Buffer
	cmd.Env = program.Env
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	must(t, cmd.Start())
	<-asked
	must(t, cmd.Process.Signal(syscall.SIGSTOP))
	close(stopped)
	time.Sleep(frozen) // the deadline of the stopped process passes
	must(t, cmd.Process.Signal(syscall.SIGCONT))
	_ = cmd.Wait()
	lost := h.set() == "none"
	if lost {
		t.Errorf("after %s: %.900s", frozen, out.String())
	}
	counted.add("frozen process", func(r *tally.Row) {
		r.Points++
		r.All++
		r.Runs++
		if lost {
			r.Lost++
		}
	})
}
