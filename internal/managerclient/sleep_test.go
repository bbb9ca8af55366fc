package managerclient_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/linux-patch/enroll/internal/managerclient"
)

func TestSleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := managerclient.Sleep(context.Background(), time.Hour); err != nil || time.Since(start) != time.Hour {
			t.Errorf("got %v after %s, want %v", err, time.Since(start), time.Hour)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		start = time.Now()
		if err := managerclient.Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("got %v after %s, want %v, %v", err, time.Since(start), context.DeadlineExceeded, time.Minute)
		}
	})
}
