package manager_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/manager"
)

func TestStatusOfEveryState(t *testing.T) {
	eachDialect(t, func(t *testing.T, dialect int) {
		l := newLab(t, manager.Options{Dialect: dialect, NoRateLimit: true})
		expect := func(when, token, want string) {
			t.Helper()
			if got := l.state(dialect, l.poll(token)); got != want {
				t.Errorf("%s: %s, want %s", when, got, want)
			}
		}
		token := l.enroll(0)
		expect("after registration", token, "pending")
		if dialect == 1 && l.poll(token).body != "" {
			t.Error("dialect 1: a pending answer has a body")
		}
		expect("again", token, "pending")
		expect("another token of that shape", strings.Repeat("a", 64), "notfound")
		expect("not of that shape", "short", "notfound")
		expect("with an escape", "%2e%2e%2fx", "notfound")
		l.approve(0)
		expect("after approval", token, "approved")
		expect("after the hand-out", token, "notfound")

		token = l.enroll(1)
		if err := l.s.Deny(l.pendingID(1)); err != nil {
			t.Fatal(err)
		}
		expect("after denial, as deployed", token, "notfound")
		token = l.enroll(1)
		l.clock.advance(24*time.Hour - time.Nanosecond)
		expect("just before expiry", token, "pending")
		l.clock.advance(time.Nanosecond)
		expect("at expiry", token, "notfound")
		if rows, err := l.s.Pending(); err != nil || len(rows) != 0 {
			t.Errorf("an expired request is listed: got %v, %v, want 0", rows, err)
		}
		if again := l.enroll(1); again == token {
			t.Error("the same token twice")
		}
	})
}

func TestDeniedIsRememberedWhenAsked(t *testing.T) {
	eachDialect(t, func(t *testing.T, dialect int) {
		dir := t.TempDir()
		l := newLab(t, manager.Options{Dir: dir, Dialect: dialect, RememberDenied: true, NoRateLimit: true})
		token := l.enroll(0)
		if err := l.s.Deny(l.pendingID(0)); err != nil {
			t.Fatal(err)
		}
		l.stop()
		l2 := newLab(t, manager.Options{Dir: dir, Dialect: dialect, RememberDenied: true, NoRateLimit: true})
		for range 2 {
			if got := l2.state(dialect, l2.poll(token)); got != "denied" {
				t.Errorf("%s, want denied", got)
			}
		}
		l2.enroll(0)
		if got := l2.state(dialect, l2.poll(token)); got != "denied" {
			t.Errorf(`after registering anew the old token says %s, want "denied"`, got)
		}
		l2.clock.advance(24 * time.Hour)
		if got := l2.state(dialect, l2.poll(token)); got != "notfound" {
			t.Errorf("when the request would have expired: %s, want notfound", got)
		}
	})
}

func TestNotFoundHasTwoSpellings(t *testing.T) {
	l := newLab(t, manager.Options{NotFoundAlt: true})
	if got := l.state(2, l.poll(strings.Repeat("b", 64))); got != "not_found" {
		t.Errorf(`got %s, want "not_found"`, got)
	}
}

func TestHandOutWindow(t *testing.T) {
	eachDialect(t, func(t *testing.T, dialect int) {
		for _, tc := range []struct {
			after time.Duration
			want  string
		}{{600*time.Second - time.Nanosecond, "approved"}, {600 * time.Second, "notfound"}} {
			l := newLab(t, manager.Options{Dialect: dialect})
			token := l.enroll(0)
			l.approve(0)
			l.clock.advance(tc.after)
			if got := l.state(dialect, l.poll(token)); got != tc.want {
				t.Errorf("after %v: %s, want %s", tc.after, got, tc.want)
			}
		}
	})
}

func TestBundleIsHandedOutOnceUnderConcurrentPolls(t *testing.T) {
	eachDialect(t, func(t *testing.T, dialect int) {
		l := newLab(t, manager.Options{Dialect: dialect, NoRateLimit: true})
		token := l.enroll(0)
		id := l.pendingID(0)
		const polls = 50
		states := make(chan string, polls)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for range polls {
			wg.Go(func() {
				<-start
				states <- l.pollUntilDecided(dialect, token)
			})
		}
		close(start)
		if _, err := l.s.Approve(id); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		close(states)
		count := map[string]int{}
		for s := range states {
			count[s]++
		}
		if count["approved"] != 1 || count["notfound"] != polls-1 {
			t.Errorf("%v, want approved once and notfound %d times", count, polls-1)
		}
	})
}

func TestNoPollSeesNotFoundBetweenPendingAndApproved(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	for n := range 20 {
		token := l.enroll(n)
		id := l.pendingID(n)
		done := make(chan string, 1)
		go func() { done <- l.pollUntilDecided(2, token) }()
		if _, err := l.s.Approve(id); err != nil {
			t.Fatal(err)
		}
		if got := <-done; got != "approved" {
			t.Fatalf(`the first answer after pending is %s: a client would give up its token, want "approved"`, got)
		}
	}
}

func TestHeadDoesNotConsumeTheBundle(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	token := l.enroll(0)
	l.approve(0)
	if r := l.do(l.client, "HEAD", "/api/v1/enroll/status/"+token, ""); r.code != 405 {
		t.Errorf("HEAD: %d, want 405", r.code)
	}
	if got := l.state(2, l.poll(token)); got != "approved" {
		t.Errorf(`after HEAD: got %s, want "approved"`, got)
	}
}

func TestRestartForgetsBundlesAndKeepsTheRest(t *testing.T) {
	eachDialect(t, func(t *testing.T, dialect int) {
		dir := t.TempDir()
		opt := manager.Options{Dir: dir, Dialect: dialect, NoRateLimit: true}
		l := newLab(t, opt)
		approved, pending := l.enroll(0), l.enroll(1)
		l.approve(0)
		ca, admin := string(l.s.CAPEM()), l.s.AdminToken()
		l.stop()

		l = newLab(t, opt)
		if got := l.state(dialect, l.poll(approved)); got != "notfound" {
			t.Errorf("approved before the restart: %s, want notfound", got)
		}
		if got := l.state(dialect, l.poll(pending)); got != "pending" {
			t.Errorf(`pending before the restart: got %s, want "pending"`, got)
		}
		if string(l.s.CAPEM()) != ca || l.s.AdminToken() != admin {
			t.Error("CA or admin token changed")
		}
		hosts, err := l.s.Hosts()
		if err != nil || len(hosts) != 1 {
			t.Fatalf("got %d hosts, %v, want 1", len(hosts), err)
		}
		// The host that lost its bundle registers anew, and no admin can
		// approve it before removing the host.
		again := l.enroll(0)
		if _, err := l.s.Approve(l.pendingID(0)); !errors.Is(err, manager.ErrHostExists) {
			t.Errorf("approval of an existing host: got %v, want %v", err, manager.ErrHostExists)
		}
		if got := l.state(dialect, l.poll(again)); got != "pending" {
			t.Errorf("after the refused approval: %s, want pending", got)
		}
		if err := l.s.RemoveHost(hosts[0].ID); err != nil {
			t.Fatal(err)
		}
		l.approve(0)
		if got := l.state(dialect, l.poll(again)); got != "approved" {
			t.Errorf(`after the host was removed: got %s, want "approved"`, got)
		}
	})
}
