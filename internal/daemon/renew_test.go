package daemon

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/report"
)

// script is a renewer whose host and manager say what a test wants.
type script struct {
	needs   func(since time.Duration) need
	answers func(since time.Duration) *report.Result
	asked   []time.Duration
}

func (s *script) run(t *testing.T, interval, span time.Duration, u float64) {
	t.Helper()
	begun := time.Now()
	ctx, stop := context.WithTimeout(t.Context(), span)
	defer stop()
	r := &renewer{
		look: func(context.Context) need { return s.needs(time.Since(begun)) },
		ask: func(context.Context) *report.Result {
			s.asked = append(s.asked, time.Since(begun))
			return s.answers(time.Since(begun))
		},
		asking:   func(bool) {},
		interval: interval, log: newLogger(io.Discard, false), now: time.Now, rand: func() float64 { return u },
	}
	r.run(ctx)
	if since := time.Since(begun); since != span {
		t.Errorf("ended after %s, want %s", since, span)
	}
}

func pending(time.Duration) *report.Result {
	return &report.Result{State: contract.StatePending, Msg: "waiting"}
}

func enrolled(time.Duration) *report.Result {
	return &report.Result{State: contract.StateEnrolled, Msg: "enrolled"}
}

func failure(code contract.Code) func(time.Duration) *report.Result {
	return func(time.Duration) *report.Result { return report.Failed(contract.Errorf(code, "failed")) }
}

// From day 83 on a certificate of 90 days is due; an administrator approves
// after another day.
func TestRenewalOverMonths(t *testing.T) {
	const day = 24 * time.Hour
	for _, u := range []float64{0, 0.5, 0.999} {
		synctest.Test(t, func(t *testing.T) {
			renewed := false
			s := &script{}
			s.needs = func(since time.Duration) need {
				if since >= 83*day && !renewed {
					return needRenewal
				}
				return needNothing
			}
			s.answers = func(since time.Duration) *report.Result {
				if since < 84*day {
					return pending(since)
				}
				renewed = true
				return enrolled(since)
			}
			s.run(t, options.DefaultInterval, 90*day, u)
			if !renewed || s.asked[0] < 83*day || s.asked[0] > 83*day+lookDueEvery {
				t.Fatalf("u %v: renewed %v, first asked after %s", u, renewed, s.asked[0])
			}
			for i := 1; i < len(s.asked); i++ {
				if gap := s.asked[i] - s.asked[i-1]; gap >= 300*time.Second || gap < 50*time.Second {
					t.Fatalf("u %v: %s between two polls, want less than %v, %v at least", u, gap, 300*time.Second, 50*time.Second)
				}
			}
			if n := len(s.asked); n < 1300 || n > 1700 {
				t.Errorf("u %v: asked %d times in a day, want 1300 at least, 1700 at most", u, n)
			}
		})
	}
}

// The longest interval with the worst dice stays below the bound that no two
// polls may reach (contract, deployed behaviour).
func TestRenewalPollsOftenEnough(t *testing.T) {
	if worst := time.Duration(float64(options.PollingInterval(new(100000))) * 1.1); worst >= 300*time.Second {
		t.Error(worst)
	}
	for given, want := range map[int]time.Duration{-5: time.Second, 0: time.Second, 30: 30 * time.Second, 1 << 40: options.MaxInterval} {
		if got := options.PollingInterval(&given); got != want {
			t.Errorf("%d: %s, want %s", given, got, want)
		}
	}
	if got := options.PollingInterval(nil); got != options.DefaultInterval {
		t.Error(got)
	}
}

// A request of an hour ago, as a run names it.
func asked(state contract.State, code contract.Code) func(time.Duration) *report.Result {
	return func(time.Duration) *report.Result {
		res := failure(code)(0)
		res.State, res.PendingSince = state, time.Now().Add(-time.Hour).Format(time.RFC3339)
		return res
	}
}

func TestFailedRenewalsBecomeRare(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(time.Duration) *report.Result
		most   int
	}{
		"no request under way": {failure(contract.CodeUnreachable), 14},
		"needs somebody":       {asked(contract.StatePending, contract.CodeTLSUntrusted), 14},
		"denied":               {asked(contract.StateDenied, contract.CodeDenied), 7},
		// Deployed managers delete what they deny.
		"denied and deleted": {asked(contract.StateExpired, contract.CodeTokenUnknown), 7},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{needs: func(time.Duration) need { return needRenewal }, answers: test.answer}
			s.run(t, options.DefaultInterval, 36*time.Hour, 0.5)
			if n := len(s.asked); n > test.most || n < 6 {
				t.Errorf("%s: asked %d times in 36 h, want %v at most, 6 at least", name, n, test.most)
			}
		})
	}
}

// A denial is not asked about every few minutes because the requests in between
// were pending for a while.
func TestDeniedRenewalsAreRareThoughTheyWerePending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{needs: func(time.Duration) need { return needRenewal }}
		s.answers = func(since time.Duration) *report.Result {
			if len(s.asked)%2 == 1 {
				return pending(since)
			}
			return asked(contract.StateExpired, contract.CodeTokenUnknown)(since)
		}
		s.run(t, options.DefaultInterval, 36*time.Hour, 0.5)
		if n := len(s.asked); n > 14 {
			t.Errorf("asked %d times in 36 h, want 14 at most", n)
		}
	})
}

// While a request may be approved at any moment, an outage of the manager keeps
// no two polls 300 s apart: it holds the bundle for 600 s only. After it, an
// answer makes the failures forgotten.
func TestAnOutageDoesNotMissTheApproval(t *testing.T) {
	for _, interval := range []time.Duration{options.DefaultInterval, options.MaxInterval} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{needs: func(time.Duration) need { return needEnd }}
			s.answers = func(since time.Duration) *report.Result {
				if since%(12*time.Hour) < 3*time.Hour {
					return pending(since)
				}
				return asked(contract.StatePending, contract.CodeUnreachable)(since)
			}
			s.run(t, interval, 48*time.Hour, 0.999)
			for i := 1; i < len(s.asked); i++ {
				if gap := s.asked[i] - s.asked[i-1]; gap >= 300*time.Second {
					t.Fatalf("%s between two polls, after %s, want less than %v", gap, s.asked[i-1], 300*time.Second)
				}
			}
		})
	}
	// config.yaml is broken for ten minutes while an administrator edits it.
	synctest.Test(t, func(t *testing.T) {
		s := &script{}
		s.needs = func(since time.Duration) need {
			if since > 5*time.Minute && since < 15*time.Minute {
				return needUnknown
			}
			return needEnd
		}
		s.answers = func(since time.Duration) *report.Result {
			if s.needs(since) == needUnknown {
				return failure(contract.CodeConfig)(since)
			}
			return pending(since)
		}
		s.run(t, options.DefaultInterval, time.Hour, 0.5)
		for i := 1; i < len(s.asked); i++ {
			if gap := s.asked[i] - s.asked[i-1]; gap >= 300*time.Second {
				t.Fatalf("%s between two polls, after %s, want less than %v", gap, s.asked[i-1], 300*time.Second)
			}
		}
	})
	// Two failures that need someone, far apart, with pending answers between.
	synctest.Test(t, func(t *testing.T) {
		s := &script{needs: func(time.Duration) need { return needEnd }}
		s.answers = func(since time.Duration) *report.Result {
			if len(s.asked)%10 == 0 {
				return asked(contract.StatePending, contract.CodeTLSUntrusted)(since)
			}
			return pending(since)
		}
		s.run(t, options.DefaultInterval, 24*time.Hour, 0.5)
		for i := 1; i < len(s.asked); i++ {
			if gap := s.asked[i] - s.asked[i-1]; gap > 330*time.Second {
				t.Fatalf("%s between two polls, after %s, want %v at most", gap, s.asked[i-1], 330*time.Second)
			}
		}
	})
}

// What an earlier run began is gone on with at once; what is taken away
// meanwhile is not asked for again.
func TestRenewalGoesOnAndStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: pending}
		s.needs = func(since time.Duration) need {
			if since < 10*time.Minute {
				return needEnd
			}
			return needNothing
		}
		s.run(t, options.DefaultInterval, 24*time.Hour, 0.5)
		if n := len(s.asked); s.asked[0] != 0 || n != 10 {
			t.Errorf("asked %d times, first after %s, want 0, 10", n, s.asked[0])
		}
	})
}

// What the disk says is needed.
func TestNeedIsReadFromDisk(t *testing.T) {
	now := time.Now()
	soon, later := valid(now, 24*time.Hour), valid(now, 90*24*time.Hour)
	for name, test := range map[string]struct {
		prepare func(h *host)
		args    []string
		want    need
	}{
		"nothing installed": {func(*host) {}, []string{"--enroll", "https://192.0.2.1"}, needNothing},
		"long valid":        {func(h *host) { h.install(h.leaf(later)) }, []string{"--enroll", "https://192.0.2.1"}, needNothing},
		"near its end": {func(h *host) {
			h.install(h.leaf(soon))
			h.write("whitelist.yaml", "entries: [192.0.2.1]\n")
		}, []string{"--enroll", "https://192.0.2.1"}, needRenewal},
		"somebody else's, near its end": {func(h *host) {
			h.install(h.leaf(soon))
			h.write("whitelist.yaml", "entries: [192.0.2.0/24]\n")
		}, []string{"--enroll", "https://192.0.2.1"}, needNothing},
		"but no manager": {func(h *host) { h.install(h.leaf(soon)) }, nil, needNothing},
		"revoked": {func(h *host) {
			leaf := h.leaf(later)
			h.install(leaf)
			h.write("certs/crl.pem", h.ca.CRL(h.t, leaf.Cert))
		}, []string{"--enroll", "https://192.0.2.1"}, needRenewal},
		"the clock has gone back": {func(h *host) {
			h.install(h.leaf(pkitest.Valid(now.Add(time.Hour), now.Add(48*time.Hour))))
		}, []string{"--enroll", "https://192.0.2.1"}, needNothing},
		"a request under way": {func(h *host) {
			h.install(h.leaf(later))
			h.write("state/token", `{"token":"x123456789","manager_url":"https://192.0.2.1","since":"2026-01-01T00:00:00Z"}`)
		}, []string{"--enroll", "https://192.0.2.1"}, needEnd},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			if err := os.Mkdir(h.path("state"), 0o700); err != nil {
				t.Fatal(err)
			}
			test.prepare(h)
			d := h.daemon(test.args...)
			if got := d.look(t.Context()); got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}

// What cannot be read is told of at each look, with what to do: else renewal
// would have ended without a word. Nothing is begun, and a request under way is
// gone on with.
func TestRenewalThatCannotBeJudgedIsToldOf(t *testing.T) {
	for name, content := range map[string]string{"config.yaml": "tls: [", "state/provenance.json": "{"} {
		h := newHost(t)
		h.install(h.leaf(valid(time.Now(), 24*time.Hour)))
		d := h.daemon("--enroll", "https://192.0.2.1")
		h.write(name, content)
		for range 2 {
			if got := d.look(t.Context()); got != needUnknown {
				t.Errorf("%s: got %d, want %v", name, got, needUnknown)
			}
		}
		log := h.log.String()
		if strings.Count(log, "level=error") != 2 || !strings.Contains(log, h.path(name)) || !strings.Contains(log, "code=ENROLL_") || !strings.Contains(log, "hint=") {
			t.Errorf("%s: %s", name, log)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := &script{needs: func(time.Duration) need { return needUnknown }, answers: pending}
		if s.run(t, options.DefaultInterval, 24*time.Hour, 0.5); len(s.asked) > 0 {
			t.Errorf("asked %d times, want none", len(s.asked))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: pending}
		s.needs = func(since time.Duration) need {
			if since < time.Minute {
				return needEnd
			}
			return needUnknown
		}
		if s.run(t, options.DefaultInterval, time.Hour, 0.5); len(s.asked) < 50 {
			t.Errorf("asked %d times, want 50 at least", len(s.asked))
		}
	})
}

// No request is made for a host that was taken out, not even where that
// happens after the daemon has looked.
func TestUnaskedEnrollmentStopsAtARemoval(t *testing.T) {
	h := newHost(t)
	h.write("state/provenance.json", `{"removed":"2026-01-01T00:00:00Z"}`)
	d := h.daemon("--enroll", "https://192.0.2.1")
	p := d.params()
	p.Wait = false
	res := d.unasked().Run(t.Context(), p)
	if !res.Failed || res.Msg != errTakenOut.Error() {
		t.Errorf("%+v", res)
	}
	// With a request that was begun after it, the host is wanted back.
	h.write("state/token", `{"token":"x123456789","manager_url":"https://192.0.2.1","since":"2026-01-01T00:00:00Z"}`)
	if since, err := d.enroller.TakenOut(d.params()); err != nil || since != nil {
		t.Errorf("%v, %v", since, err)
	}
}

func TestCourse(t *testing.T) {
	broken := errors.New("broken")
	const managed = "enrollment: {manager_url: 'https://192.0.2.1'}\n"
	told := []string{"--enroll", "https://192.0.2.1"}
	for name, test := range map[string]struct {
		args    []string
		config  string
		removed bool
		why     error
		want    course
		fails   string
	}{
		"valid":                         {want: courseListen},
		"valid, with a manager":         {args: told, want: courseListen},
		"none, told to":                 {args: told, why: errTaken, want: courseEnroll},
		"none, by configuration":        {config: managed, why: errTaken, want: courseEnroll},
		"broken, by configuration":      {config: managed, why: broken, want: courseEnroll},
		"the clock is behind":           {config: managed, why: pki.ErrNotYetValid, want: courseWait},
		"the clock is behind, told to":  {args: told, why: pki.ErrNotYetValid, want: courseWait},
		"taken out, by configuration":   {config: managed, removed: true, why: errTaken, want: courseWait},
		"taken out, told to":            {args: told, removed: true, why: errTaken, want: courseEnroll},
		"taken out, valid ones by hand": {removed: true, want: courseListen},
		"none, and no manager":          {why: errTaken, fails: "certificate, key or CA is missing"},
		"broken, and no manager":        {why: broken, fails: "broken"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			if test.config != "" {
				h.write("config.yaml", test.config)
			}
			if test.removed {
				h.write("state/provenance.json", `{"removed":"2026-01-01T00:00:00Z"}`)
			}
			got, err := h.daemon(test.args...).course(test.why)
			switch {
			case test.fails == "" && (err != nil || got != test.want):
				t.Errorf("%d, %v, want %d", got, err, test.want)
			case test.fails != "" && (err == nil || !strings.Contains(err.Error(), test.fails) || contract.CodeOf(err) != contract.CodeConfig):
				t.Error(err)
			}
		})
	}
}
