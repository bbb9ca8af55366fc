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
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
)

func TestRegisterSendsTheContract(t *testing.T) {
	var seen http.Request
	var body contract.EnrollmentRequest
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = *r
		json.NewDecoder(r.Body).Decode(&body)
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, `{"polling_token":"aZ09._~-","expires_in":86400}`)
	}))
	defer s.Close()
	c := clientFor(t, s.URL+"/base/api/v1/enroll", nil)
	token, err := c.register(t.Context())
	if err != nil || token != "aZ09._~-" {
		t.Fatalf(`token %q, %v, want "aZ09._~-"`, token, err)
	}
	if seen.Method != "POST" || seen.URL.Path != "/base/api/v1/enroll" || seen.Proto != "HTTP/1.1" ||
		seen.Header.Get("Content-Type") != "application/json" || seen.UserAgent() != "test/1" || seen.Header.Get("Accept-Encoding") != "identity" {
		t.Errorf("got %s %s %s %v, want a JSON request of test/1, HTTP/1.1, in no encoding", seen.Method, seen.URL, seen.Proto, seen.Header)
	}
	if body.MachineID != anyRequest.MachineID {
		t.Errorf("sent body %+v, want %v", body, anyRequest.MachineID)
	}
}

// failureOf is what is known of a failed request; nothing where err is nil.
func failureOf(err error) RequestError {
	var failed *RequestError
	if !errors.As(err, &failed) {
		return RequestError{}
	}
	return *failed
}

// TestRegisterAnswers holds each answer to its code, what the message must and
// must not say, how often it was asked, and whether the manager may have acted.
func TestRegisterAnswers(t *testing.T) {
	goodToken := `{"polling_token":"` + tokenCanary + `"}`
	for _, c := range []struct {
		name     string
		status   int
		header   [2]string
		body     string
		code     contract.Code // "" for a token
		says     string
		requests int
		maybe    bool
	}{
		{"200", 200, [2]string{}, goodToken, "", "", 1, false},
		{"201", 201, [2]string{}, goodToken, "", "", 1, false},
		{"202", 202, [2]string{}, goodToken, "", "", 1, false},
		{"identity", 202, [2]string{"Content-Encoding", "identity"}, goodToken, "", "", 1, false},
		{"no token", 202, [2]string{}, `{}`, contract.CodeBadAnswer, "without a polling_token", 1, true},
		{"null token", 202, [2]string{}, `{"polling_token":null}`, contract.CodeBadAnswer, "without a polling_token", 1, true},
		{"empty token", 202, [2]string{}, `{"polling_token":""}`, contract.CodeBadAnswer, "without a polling_token", 1, true},
		{"token with a path", 202, [2]string{}, `{"polling_token":"CANARY/../x"}`, contract.CodeBadAnswer, "other characters", 1, true},
		{"token of dots", 202, [2]string{}, `{"polling_token":".."}`, contract.CodeBadAnswer, "other characters", 1, true},
		{"token with control", 202, [2]string{}, `{"polling_token":"CANARY\u0000"}`, contract.CodeBadAnswer, "other characters", 1, true},
		{"long token", 202, [2]string{}, `{"polling_token":"` + strings.Repeat("a", 513) + `"}`, contract.CodeBadAnswer, "other characters", 1, true},
		{"longest token", 202, [2]string{}, `{"polling_token":"` + strings.Repeat("a", 512) + `"}`, "", "", 1, false},
		{"token number", 202, [2]string{}, `{"polling_token":1}`, contract.CodeBadAnswer, "not a string", 1, true},
		{"two tokens", 202, [2]string{}, `{"polling_token":"CANARY1","polling_token":"CANARY2"}`, contract.CodeBadAnswer, "twice", 1, true},
		{"HTML", 200, [2]string{}, "<html>CANARY</html>", contract.CodeBadAnswer, "HTML", 1, true},
		{"cut", 202, [2]string{}, `{"polling_token":"CANARY`, contract.CodeBadAnswer, "cut off", 1, true},
		{"gzip", 202, [2]string{"Content-Encoding", "gzip"}, "\x1f\x8b", contract.CodeBadAnswer, "cannot be decoded (Content-Encoding: gzip)", 1, true},
		{"long", 202, [2]string{}, goodToken + strings.Repeat(" ", maxReply), contract.CodeBadAnswer, "longer than", 1, true},
		{"400", 400, [2]string{}, `{"error":"bad fqdn\u001b[31m\u202e"}`, contract.CodeRejected, "bad fqdn\uFFFD[31m", 1, false},
		{"400 nested", 400, [2]string{}, `{"error":{"code":1,"message":"bad address"}}`, contract.CodeRejected, "bad address", 1, false},
		{"400 text", 400, [2]string{}, "no\xff\n" + strings.Repeat("x", 9999), contract.CodeRejected, "no\ufffd xxx", 1, false},
		{"400 token", 400, [2]string{}, `{"polling_token":"CANARY"}`, contract.CodeRejected, "refuses", 1, false},
		{"400 cut token", 400, [2]string{}, `{"polling_token":"CANARY`, contract.CodeRejected, "refuses", 1, false},
		{"401", 401, [2]string{}, "", contract.CodeBadAnswer, "401", 1, false},
		{"403", 403, [2]string{}, `{"error":"no"}`, contract.CodeRejected, "refuses this host (HTTP 403): no", 1, false},
		{"403 of a gateway", 403, [2]string{}, "<html>", contract.CodeUnreachable, "answered in its place: HTTP 403: an HTML page", 1, true},
		{"400 of a gateway", 400, [2]string{}, " \n<!DOCTYPE html>", contract.CodeUnreachable, "answered in its place: HTTP 400: an HTML page", 1, true},
		{"404", 404, [2]string{}, "", contract.CodeBadAnswer, "no enrollment endpoint", 1, false},
		{"405", 405, [2]string{}, "", contract.CodeBadAnswer, "no enrollment endpoint", 1, false},
		{"409", 409, [2]string{}, `{"message":"known"}`, contract.CodeConflict, "known", 1, false},
		{"422", 422, [2]string{}, "missing field", contract.CodeRejected, "missing field", 1, false},
		{"429", 429, [2]string{"Retry-After", "7"}, "Too Many Requests! Wait for 7s", contract.CodeRateLimited, "Wait for 7s", 1, false},
		{"500", 500, [2]string{}, `{"error":"Database error"}`, contract.CodeManagerError, "Database error; either it is in trouble, or a request of this machine_id is already pending", 3, false},
		{"501", 501, [2]string{}, "", contract.CodeManagerError, "501", 1, false},
		{"502", 502, [2]string{}, "", contract.CodeManagerError, "502", 3, true},
		{"504", 504, [2]string{}, "", contract.CodeManagerError, "504", 3, true},
		{"503", 503, [2]string{}, "", contract.CodeManagerError, "503", 3, true},
		{"503, told to come back", 503, [2]string{"Retry-After", "99999"}, "", contract.CodeManagerError, "503", 1, true},
		{"302", 302, [2]string{"Location", "https://login.example/?CANARY"}, "", contract.CodeBadAnswer, "redirect to login.example;", 1, false},
		{"307", 307, [2]string{"Location", "/CANARY"}, "", contract.CodeBadAnswer, "redirect to the same host;", 1, false},
		{"301 malformed", 301, [2]string{"Location", "https://%CANARY"}, "", contract.CodeBadAnswer, "301", 1, false},
		{"303 none", 303, [2]string{}, "", contract.CodeBadAnswer, "303", 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			requests := 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests++
				if c.header[0] != "" {
					w.Header().Set(c.header[0], c.header[1])
				}
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			}))
			defer s.Close()
			token, err := clientFor(t, s.URL, nil).register(t.Context())
			if requests != c.requests {
				t.Errorf("%d requests, want %d", requests, c.requests)
			}
			if c.code == "" {
				if err != nil || token == "" {
					t.Fatalf("got the token %q, %v, want one", token, err)
				}
				return
			}
			var re *RequestError
			if token != "" || !errors.As(err, &re) || re.Err.Code != c.code || contract.CodeOf(err) != c.code {
				t.Fatalf("token %q, error %v (%s), want %s", token, err, contract.CodeOf(err), c.code)
			}
			if re.MaybeDelivered != c.maybe || re.HTTPStatus != c.status {
				t.Errorf("got %+v, want maybe delivered %v, HTTP %d", *re, c.maybe, c.status)
			}
			if text := err.Error(); !strings.Contains(text, c.says) || strings.Contains(text, "CANARY") || len(text) > 1200 ||
				strings.ContainsAny(text, "\x1b\n\u202e") {
				t.Errorf("error %q, want %q in it", text, c.says)
			}
		})
	}
}

// TestRegisterRepeats: trouble that passes is waited out, and one attempt that
// may have been acted on marks the whole call.
func TestRegisterRepeats(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []int
		wait429 bool
		want    contract.Code
		maybe   bool
	}{
		{"500 passes", []int{500, 202}, true, "", false},
		{"500, then known", []int{500, 409}, true, contract.CodeConflict, false},
		{"502, then 500", []int{502, 500, 500}, true, contract.CodeManagerError, true},
		{"503 without leave to wait a minute", []int{503, 202}, false, contract.CodeManagerError, true},
		{"429 without leave", []int{429, 202}, false, contract.CodeRateLimited, false},
		{"429 is waited out and not counted", []int{429, 429, 429, 429, 503, 429, 202}, true, "", false},
		{"500 to the end", []int{500, 500, 500, 202}, true, contract.CodeManagerError, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if body, _ := io.ReadAll(r.Body); !strings.Contains(string(body), anyRequest.MachineID) {
					t.Errorf("attempt %d had the body %q, want %q in it", n, body, anyRequest.MachineID)
				}
				w.Header().Set("Retry-After", "60")
				w.WriteHeader(c.answers[n])
				n++
				io.WriteString(w, `{"polling_token":"abc"}`)
			}))
			defer s.Close()
			var waits []time.Duration
			client := clientFor(t, s.URL, func(o *Options) {
				o.Retry.Wait429 = c.wait429
				o.Retry.Jitter = func(d time.Duration) time.Duration { waits = append(waits, d); return 0 }
			})
			_, err := client.register(t.Context())
			if err == nil && c.want != "" || err != nil && contract.CodeOf(err) != c.want {
				t.Fatalf("%v, want %q", err, c.want)
			}
			if failureOf(err).MaybeDelivered != c.maybe {
				t.Errorf("MaybeDelivered %v, want %v", failureOf(err).MaybeDelivered, c.maybe)
			}
			for i, w := range waits {
				if w != time.Minute {
					t.Errorf("after answer %d (%d): %v, want what the manager asked for", i, c.answers[i], w)
				}
			}
		})
	}
}

// TestRegisterKeepsTheDeadline: a wait that the deadline leaves no time for is
// not begun, and the last answer is told.
func TestRegisterKeepsTheDeadline(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "60")
		w.WriteHeader(429)
	}))
	defer s.Close()
	began := time.Now()
	_, err := clientFor(t, s.URL, func(o *Options) {
		o.Retry.Wait429, o.Retry.Until = true, began.Add(30*time.Second)
	}).register(t.Context())
	if contract.CodeOf(err) != contract.CodeRateLimited || failureOf(err).RetryAfter != time.Minute || time.Since(began) > 10*time.Second {
		t.Errorf("got %v, %+v after %v, want %v, %v, %v at most", err, failureOf(err), time.Since(began), contract.CodeRateLimited, time.Minute, 10*time.Second)
	}
}

// TestRegisterStops: a cancelled context ends a wait at once.
func TestRegisterStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) }))
	defer s.Close()
	c := clientFor(t, s.URL, func(o *Options) {
		o.Retry.Jitter = func(time.Duration) time.Duration { time.AfterFunc(time.Millisecond, cancel); return time.Hour }
	})
	_, err := c.register(ctx)
	if contract.CodeOf(err) != contract.CodeInterrupted || !errors.Is(err, context.Canceled) || !failureOf(err).MaybeDelivered {
		t.Errorf("got %v, %+v, want it maybe delivered", err, failureOf(err))
	}
}

// TestRegisterUnanswered: once a connection stood, a registration without an
// answer is not repeated, and said to be possibly delivered.
func TestRegisterUnanswered(t *testing.T) {
	url, requests := rawServer(t, func(c net.Conn, _ *http.Request) { c.Close() })
	_, err := clientFor(t, url, nil).register(t.Context())
	if contract.CodeOf(err) != contract.CodeUnreachable || !failureOf(err).MaybeDelivered || requests.Load() != 1 {
		t.Errorf("got %v, %+v, %d requests, want one, maybe delivered", err, failureOf(err), requests.Load())
	}
}

// TestRegisterCutOff: a 500 that is cut off may be a gateway's.
func TestRegisterCutOff(t *testing.T) {
	url, _ := rawServer(t, func(c net.Conn, _ *http.Request) {
		io.WriteString(c, "HTTP/1.1 500 X\r\nContent-Length: 99\r\n\r\n{")
		c.Close()
	})
	_, err := clientFor(t, url, nil).register(t.Context())
	if contract.CodeOf(err) != contract.CodeUnreachable || !failureOf(err).MaybeDelivered {
		t.Errorf("got %v, %+v, want it maybe delivered", err, failureOf(err))
	}
}

// TestRegisterLosesTheManager: each attempt is judged by itself, and what one
// may have done is not forgotten.
func TestRegisterLosesTheManager(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "9")
		w.WriteHeader(503)
	}))
	tries := 0
	c := clientFor(t, s.URL, func(o *Options) {
		o.Retry.Jitter = func(time.Duration) time.Duration {
			if tries++; tries == 1 {
				s.Listener.Close()
			}
			return 0
		}
	})
	defer s.Close()
	_, err := c.register(t.Context())
	if contract.CodeOf(err) != contract.CodeUnreachable || tries != 3 {
		t.Errorf("got %v after %d tries, want %v, 3", err, tries, contract.CodeUnreachable)
	}
	if failureOf(err).HTTPStatus != 0 || failureOf(err).RetryAfter != 0 || !failureOf(err).MaybeDelivered {
		t.Errorf("got %+v, want no HTTP status, maybe delivered", failureOf(err))
	}
}

// TestRegisterUnreachable: where no connection stood, it is tried again, and
// surely not delivered.
func TestRegisterUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	tries := 0
	c := clientFor(t, "http://"+l.Addr().String(), func(o *Options) {
		o.Retry.Jitter = func(time.Duration) time.Duration { tries++; return 0 }
	})
	_, err = c.register(t.Context())
	want := fmt.Sprintf("cannot reach the manager at http://%s: connection refused", l.Addr())
	if contract.CodeOf(err) != contract.CodeUnreachable || failureOf(err).MaybeDelivered || tries != 3 || err.Error() != want {
		t.Errorf("got %v, %+v, %d tries, want %s after 3", err, failureOf(err), tries, want)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		name, value string
		want        time.Duration
	}{
		{"Retry-After", "12", 12 * time.Second},
		{"Retry-After", " 0 ", time.Second},
		{"Retry-After", "271", 270 * time.Second},
		{"Retry-After", "99999999999999999999999", 270 * time.Second},
		{"Retry-After", "-5", 0},
		{"Retry-After", "1.5", 0},
		{"Retry-After", "soon", 0},
		{"Retry-After", now.Add(time.Minute).Format(http.TimeFormat), time.Minute},
		{"Retry-After", now.Add(-time.Minute).Format(http.TimeFormat), time.Second},
		{"Retry-After", now.Add(9999 * time.Hour).Format(http.TimeFormat), 270 * time.Second},
		{"x-ratelimit-after", "9", 9 * time.Second},
		{"x-ratelimit-limit", "9", 0},
	} {
		h := http.Header{}
		h.Set(c.name, c.value)
		if got := retryAfterOf(h, now); got != c.want {
			t.Errorf("%s: %s gives %v, want %v", c.name, c.value, got, c.want)
		}
	}
}
