package managerclient

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
)

func TestPoll(t *testing.T) {
	for _, status := range []int{200, 202, 204, 302, 403, 404, 418, 429, 500, 503} {
		paths := make(chan string, 1)
		url, requests := rawServer(t, func(c net.Conn, r *http.Request) {
			paths <- r.URL.Path
			body := "text"
			if status == 204 {
				body = ""
			}
			fmt.Fprintf(c, "HTTP/1.1 %d X\r\nRetry-After: 9\r\nLocation: http://%%zz/\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
		})
		a, err := clientFor(t, url+"/base", nil).Poll(t.Context(), tokenCanary)
		if err != nil || a.HTTPStatus != status || a.RetryAfter != 9*time.Second || a.PeerIP.String() != "127.0.0.1" {
			t.Errorf("HTTP %d: got %#v, %v, want the status, 9 s and 127.0.0.1", status, a, err)
		}
		if status != 204 && string(a.Body) != "text" {
			t.Errorf("HTTP %d: got the body %q, want text", status, a.Body)
		}
		if path := <-paths; path != "/base/api/v1/enroll/status/"+tokenCanary || requests.Load() != 1 {
			t.Errorf("got %s, %d times; want the path with the token, once", path, requests.Load())
		}
	}
}

// TestPollIsSentOnce: net/http repeats a GET by itself when a reused connection
// breaks, and an approved bundle is handed out once. The first poll leaves the
// connection fit for reuse; the second is read and then left unanswered.
func TestPollIsSentOnce(t *testing.T) {
	var polls atomic.Int32
	url, requests := rawServer(t, func(c net.Conn, _ *http.Request) {
		if polls.Add(1) == 1 {
			io.WriteString(c, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n")
			return
		}
		c.Close()
	})
	c := clientFor(t, url, nil)
	if _, err := c.Poll(t.Context(), tokenCanary); err != nil {
		t.Fatal(err)
	}
	_, err := c.Poll(t.Context(), tokenCanary)
	var re *RequestError
	if !errors.As(err, &re) || !re.MaybeDelivered || re.Err.Code != contract.CodeUnreachable {
		t.Errorf("got %#v, want %s, maybe delivered", err, contract.CodeUnreachable)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("got %d requests for 2 polls, want 2", n)
	}
}

// TestPollCutAtEachByte: whatever part of an answer arrives, it is an error
// that says that the bundle may be gone, and never an answer.
func TestPollCutAtEachByte(t *testing.T) {
	whole := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n{\"a\":1\r\n1\r\n}\r\n0\r\n\r\n"
	var cut atomic.Int32
	url, requests := rawServer(t, func(c net.Conn, r *http.Request) {
		io.WriteString(c, whole[:cut.Load()])
		if cut.Load()%2 == 1 { // a reset rather than an end
			c.(*net.TCPConn).SetLinger(0)
		}
		c.Close()
	})
	c := clientFor(t, url, nil)
	for at := range len(whole) {
		cut.Store(int32(at))
		before := requests.Load()
		a, err := c.Poll(t.Context(), tokenCanary)
		if n := requests.Load() - before; n != 1 {
			t.Fatalf("cut at %d: %d requests, want 1", at, n)
		}
		// The last CRLF ends an empty trailer, which net/http may do without.
		if err == nil && at >= len(whole)-2 && string(a.Body) == `{"a":1}` {
			continue
		}
		var re *RequestError
		if !errors.As(err, &re) || !re.MaybeDelivered || re.Err.Code != contract.CodeUnreachable && re.Err.Code != contract.CodeBadAnswer {
			t.Errorf("cut at %d: got %#v, %v, want %s or %s, maybe delivered", at, a, err, contract.CodeUnreachable, contract.CodeBadAnswer)
		}
	}
}

// TestPollHostileAnswers: each ends in time, in bounded memory, and without a
// word of the answer or the token in the error.
func TestPollHostileAnswers(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	io.CopyN(z, zeros{}, 16<<20)
	z.Close()
	head := "HTTP/1.1 200 OK\r\n"
	for name, c := range map[string]struct {
		answer string
		then   func(net.Conn)
		code   contract.Code // of the error, or of Judge's where an answer comes
	}{
		"not HTTP":             {"CANARY nonsense " + tokenCanary + "\r\n\r\n", nil, contract.CodeBadAnswer},
		"bad status":           {"HTTP/1.1 2x0 CANARY\r\n\r\n", nil, contract.CodeBadAnswer},
		"bad header":           {head + "CANARY " + tokenCanary + "\r\n\r\n", nil, contract.CodeBadAnswer},
		"negative length":      {head + "Content-Length: -1\r\n\r\n", nil, contract.CodeBadAnswer},
		"two lengths":          {head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nCANARY", nil, contract.CodeBadAnswer},
		"length too large":     {head + "Content-Length: 10\r\n\r\n{}", nil, contract.CodeUnreachable},
		"bad chunk":            {head + "Transfer-Encoding: chunked\r\n\r\nCANARY\r\n", nil, contract.CodeBadAnswer},
		"unknown encoding":     {head + "Transfer-Encoding: CANARY\r\n\r\n{}", nil, contract.CodeBadAnswer},
		"long header":          {head + "X: " + strings.Repeat("CANARY", 2<<20) + "\r\n\r\n", nil, contract.CodeBadAnswer},
		"endless headers":      {head, func(c net.Conn) { forever(c, "X: CANARY\r\n", 0) }, contract.CodeBadAnswer},
		"endless body":         {head + "\r\n", func(c net.Conn) { forever(c, strings.Repeat("CANARY", 100), 0) }, contract.CodeBadAnswer},
		"slow headers":         {head, func(c net.Conn) { forever(c, "X: 1\r\n", 20*time.Millisecond) }, contract.CodeUnreachable},
		"slow body":            {head + "Content-Length: 9999\r\n\r\n", func(c net.Conn) { forever(c, " ", 20*time.Millisecond) }, contract.CodeUnreachable},
		"silence":              {"", func(c net.Conn) { io.Copy(io.Discard, c) }, contract.CodeUnreachable},
		"endless 1xx":          {"", func(c net.Conn) { forever(c, "HTTP/1.1 100 Continue\r\n\r\n", 0) }, contract.CodeBadAnswer},
		"switching protocols":  {"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", nil, contract.CodeBadAnswer},
		"gzip bomb":            {head + "Content-Encoding: gzip\r\n\r\n" + bomb.String(), nil, contract.CodeBadAnswer},
		"HTTP/2 out of turn":   {"HTTP/2.0 200 OK\r\n\r\n{}", nil, contract.CodeBadAnswer},
		"a TLS alert, not TLS": {"\x15\x03\x01\x00\x02\x02\x28", nil, contract.CodeBadAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			// What is judged by what came is judged before any deadline, however slow
			// this machine is: at the deadline the code would be another.
			timeout := 300 * time.Millisecond
			if c.code == contract.CodeBadAnswer {
				timeout = 5 * time.Minute
			}
			var a Answer
			var err error
			asked := int32(0)
			// Again where it passed before the request was read.
			for ; asked == 0 && timeout < 6*time.Minute; timeout *= 2 {
				url, requests := rawServer(t, func(conn net.Conn, r *http.Request) {
					io.WriteString(conn, c.answer)
					if c.then != nil {
						c.then(conn)
					}
					conn.Close()
				})
				a, err = clientFor(t, url, func(o *Options) { o.Timeout = timeout }).Poll(t.Context(), tokenCanary)
				asked = requests.Load()
			}
			if asked != 1 {
				t.Errorf("got %d requests, want 1", asked)
			}
			if len(a.Body) > MaxBody+1 {
				t.Errorf("a body of %d bytes, want %v at most", len(a.Body), MaxBody+1)
			}
			var re *RequestError
			if errors.As(err, &re) && !re.MaybeDelivered {
				t.Error("got surely not delivered, want maybe delivered")
			}
			if err == nil {
				_, _, err = Judge(a.HTTPStatus, a.Body)
			}
			if contract.CodeOf(err) != c.code || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("%q has the code %s, want %s", err, contract.CodeOf(err), c.code)
			}
		})
	}
}

// forever writes s until the other side has gone.
func forever(c net.Conn, s string, pause time.Duration) {
	for {
		if _, err := io.WriteString(c, s); err != nil {
			return
		}
		time.Sleep(pause)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestPollInterrupted: a cancelled poll returns at once, tells the context's
// error, and that the manager may have acted.
func TestPollInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url, _ := rawServer(t, func(c net.Conn, _ *http.Request) { cancel(); io.Copy(io.Discard, c) })
	_, err := clientFor(t, url, nil).Poll(ctx, tokenCanary)
	var re *RequestError
	if !errors.Is(err, context.Canceled) || contract.CodeOf(err) != contract.CodeInterrupted || !errors.As(err, &re) || !re.MaybeDelivered {
		t.Errorf("got %#v, want %s, maybe delivered", err, contract.CodeInterrupted)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	url, _ = rawServer(t, func(c net.Conn, _ *http.Request) { io.Copy(io.Discard, c) })
	_, err = clientFor(t, url, nil).Poll(ctx, tokenCanary)
	if !errors.Is(err, context.DeadlineExceeded) || contract.CodeOf(err) != contract.CodeTimeout {
		t.Errorf("got %#v, want %s", err, contract.CodeTimeout)
	}
	_, err = clientFor(t, url, nil).Poll(ctx, tokenCanary)
	if !errors.As(err, &re) || re.MaybeDelivered {
		t.Errorf("a poll that was over before it began: got %#v, want it surely not delivered", err)
	}
}

func TestPollRefusesWhatIsNoToken(t *testing.T) {
	url, requests := rawServer(t, func(net.Conn, *http.Request) {})
	for _, token := range []string{"", ".", "..", "a/b", "a?b", "a b", "a\nb", "ä", "%2e", strings.Repeat("a", 513)} {
		if _, err := clientFor(t, url, nil).Poll(t.Context(), token); contract.CodeOf(err) != contract.CodeTokenUnknown {
			t.Errorf("%q: got %v, want %s", token, err, contract.CodeTokenUnknown)
		}
	}
	if requests.Load() != 0 {
		t.Error("got a request, want none")
	}
}

// What is handed out once and has arrived whole is used, however the connection
// ends behind it, and a byte order mark is no part of it (RFC 8259, section 8.1).
func TestField2_6_AnswerThatEndsBehindItsObject(t *testing.T) {
	object := `{"ca_crt":"a","server_crt":"b","server_key":"c"}`
	packed := string(coded(t, []byte(object), "gzip"))
	for name, whole := range map[string]string{
		"a length that is too large": "Content-Length: 99\r\n\r\n" + object,
		"no last chunk":              fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(object), object),
		"gzip":                       fmt.Sprintf("Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(packed)+9, packed),
		"a byte order mark":          fmt.Sprintf("Content-Length: %d\r\n\r\n\ufeff%s", len(object)+3, object),
	} {
		url, _ := rawServer(t, func(c net.Conn, _ *http.Request) {
			io.WriteString(c, "HTTP/1.1 200 X\r\n"+whole)
			c.Close()
		})
		a, err := clientFor(t, url, nil).Poll(t.Context(), tokenCanary)
		if said := a.Judge(DialectUnknown); err != nil || string(a.Body) != object || said.Verdict != Approved {
			t.Errorf("%s: got %s, %d bytes, %v, want the bundle", name, said.Verdict, len(a.Body), err)
		}
	}
}

// A token too.
func TestField2_6_TokenThatEndsBehindItsObject(t *testing.T) {
	url, requests := rawServer(t, func(c net.Conn, _ *http.Request) {
		io.WriteString(c, "HTTP/1.1 202 X\r\nContent-Length: 99\r\n\r\n{\"polling_token\":\"abc\"}")
		c.Close()
	})
	if token, err := clientFor(t, url, nil).register(t.Context()); err != nil || token != "abc" || requests.Load() != 1 {
		t.Errorf("got %q, %v, %d requests, want the token of one", token, err, requests.Load())
	}
}
