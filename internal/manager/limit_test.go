package manager_test

import (
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/manager"
)

func TestRateLimit(t *testing.T) {
	l := newLab(t, manager.Options{})
	token := l.enroll(0)
	for i := range 2 {
		if r := l.poll(token); r.code != 200 {
			t.Fatalf("poll %d of the burst: got %d, want 200", i, r.code)
		}
	}
	for _, header := range []string{"X-Real-Ip", "Forwarded", "X-Nothing"} {
		r := l.do(l.client, "GET", "/api/v1/enroll/status/"+token, "", header, "192.0.2.1")
		if r.code != 429 || r.header.Get("Retry-After") != "12" || r.header.Get("X-Ratelimit-After") != "12" {
			t.Errorf(`4th request, %s: got %d, Retry-After %q, want 429, "12", "12"`, header, r.code, r.header.Get("Retry-After"))
		}
	}
	if r := l.do(l.client, "POST", "/api/v1/enroll", enrollBody(1)); r.code != 429 {
		t.Errorf("POST shares the limit: got %d, want 429", r.code)
	}
	for _, from := range []string{"192.0.2.1", "junk, 192.0.2.2", "2001:db8::1, 10.0.0.1"} {
		if r := l.do(l.client, "GET", "/api/v1/enroll/status/"+token, "", "X-Forwarded-For", from); r.code != 200 {
			t.Errorf("X-Forwarded-For %s, a budget of its own: %d, want 200", from, r.code)
		}
	}
	if r := l.do(l.clientFrom("127.0.0.2"), "POST", "/api/v1/enroll", enrollBody(1)); r.code != 202 {
		t.Errorf("another source has its own limit: got %d, want 202", r.code)
	}
	if r := l.do(l.client, "GET", "/api/v1/pki/crl.pem", ""); r.code != 200 {
		t.Errorf("other endpoints have none: got %d, want 200", r.code)
	}
	l.clock.advance(5500 * time.Millisecond)
	if r := l.poll(token); r.code != 429 || r.header.Get("Retry-After") != "6" {
		t.Errorf("after 5.5 s: %d, Retry-After %q, want 6", r.code, r.header.Get("Retry-After"))
	}
	l.clock.advance(6500 * time.Millisecond)
	if got := l.state(2, l.poll(token)); got != "pending" {
		t.Errorf(`after 12 s: got %s, want "pending"`, got)
	}
	if r := l.poll(token); r.code != 429 {
		t.Errorf("one request per 12 s: got %d, want 429", r.code)
	}
}

func TestRateLimitedPollDoesNotConsumeTheBundle(t *testing.T) {
	l := newLab(t, manager.Options{})
	token := l.enroll(0)
	l.poll(token)
	l.poll(token)
	l.approve(0)
	if r := l.poll(token); r.code != 429 {
		t.Fatalf("%d, want 429", r.code)
	}
	l.clock.advance(12 * time.Second)
	if got := l.state(2, l.poll(token)); got != "approved" {
		t.Errorf("%s, want approved", got)
	}
}
