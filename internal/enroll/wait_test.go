package enroll

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
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
