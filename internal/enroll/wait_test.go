package enroll

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/linux-patch/enroll/internal/config"
	"github.com/linux-patch/enroll/internal/managerclient"
)

// No two polls may be 300 s or more apart, whatever the interval and the dice
// (contract, deployed behaviour: a bundle is kept for 600 s).
func TestWaitsStayBelowTheHandOutWindow(t *testing.T) {
	for _, interval := range []time.Duration{MinInterval, DefaultInterval, MaxInterval} {
		for _, u := range []float64{0, 0.25, 0.5, 0.999999} {
			w := jittered(interval, u)
			if w >= 300*time.Second || w < time.Duration(0.89*float64(interval)) || w > time.Duration(1.11*float64(interval)) {
				t.Errorf("jittered(%s, %v) = %s", interval, u, w)
			}
			if f := firstWait(interval, u); f <= 0 || f > interval {
				t.Errorf("firstWait(%s, %v) = %s", interval, u, f)
			}
		}
	}
}

func TestIntervalIsBounded(t *testing.T) {
	for given, want := range map[int]time.Duration{
		-5: MinInterval, 0: MinInterval, 1: MinInterval, 45: 45 * time.Second, 270: MaxInterval, 271: MaxInterval, 1 << 62: MaxInterval,
	} {
		s := &settings{Params: Params{PollingIntervalSeconds: &given}, config: &config.Config{}}
		s.settleWaiting()
		if told := len(s.warnings) > 0; s.interval != want || told != (time.Duration(given) != want/time.Second) {
			t.Errorf("%d: %s, want %s; warnings %q", given, s.interval, want, s.warnings)
		}
	}
}

func TestPauseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := pause(context.Background(), time.Hour); err != nil || time.Since(start) != time.Hour {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		start = time.Now()
		if err := pause(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

// An answer on its way is still taken for a moment after a signal.
func TestLingerOutlivesItsContextBriefly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		late, end := linger(ctx)
		defer end()
		cancel()
		time.Sleep(grace - time.Millisecond)
		if late.Err() != nil {
			t.Error("ended with its context")
		}
		time.Sleep(2 * time.Millisecond)
		if late.Err() == nil {
			t.Error("did not end")
		}
	})
}

// After a failure a waiting run comes back sooner than the interval, then ever
// later; on 429 never earlier than it was told; and never past its deadline.
func TestWaitsBackOff(t *testing.T) {
	const told = 40 * time.Second
	for _, c := range []struct {
		name        string
		verdict     managerclient.Verdict
		failures    int
		retryAfter  time.Duration
		deadline    time.Duration
		least, most time.Duration
	}{
		{"pending", managerclient.Pending, 0, 0, 0, 54 * time.Second, 66 * time.Second},
		{"first failure", managerclient.ManagerError, 1, 0, 0, 9 * time.Second, 11 * time.Second},
		{"second failure", managerclient.ManagerError, 2, 0, 0, 18 * time.Second, 22 * time.Second},
		{"third failure", managerclient.ManagerError, 3, 0, 0, 36 * time.Second, 44 * time.Second},
		{"fourth failure", managerclient.ManagerError, 4, 0, 0, 54 * time.Second, 66 * time.Second},
		{"429", managerclient.RateLimited, 0, told, 0, told, told + told/10},
		{"429, untold", managerclient.RateLimited, 0, 0, 0, rateLimitPause, rateLimitPause + rateLimitPause/10},
		{"429, told an hour", managerclient.RateLimited, 0, time.Hour, 0, MaxInterval, 299 * time.Second},
		{"429, no time left", managerclient.RateLimited, 0, told, 5 * time.Second, 5 * time.Second, 5 * time.Second},
	} {
		for _, u := range []float64{0, 0.5, 0.999999} {
			synctest.Test(t, func(t *testing.T) {
				r := &run{
					Enroller: &Enroller{Now: time.Now, Rand: func() float64 { return u }, Progress: func(Progress) {}},
					settings: &settings{interval: DefaultInterval},
					res:      newResult(),
				}
				start := time.Now()
				if c.deadline > 0 {
					r.deadline = start.Add(c.deadline)
				}
				answer := &spooledAnswer{retryAfter: c.retryAfter}
				if err := r.waitForNext(t.Context(), 1, c.failures, c.verdict, answer); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took < c.least || took > c.most {
					t.Errorf("%s, %v: waited %s, want %s to %s", c.name, u, took, c.least, c.most)
				}
			})
		}
	}
}
