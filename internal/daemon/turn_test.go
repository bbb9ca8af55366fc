package daemon

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/pki"
)

// TestALoadEndsAFetch: they exclude each other, and that is no failure of the
// manager's.
func TestALoadEndsAFetch(t *testing.T) {
	var turn turn
	excluded := func(who string) {
		if turn.mu.TryLock() {
			t.Errorf("got another list beside that of the %s, want one at a time", who)
			turn.mu.Unlock()
		}
	}
	began, done := make(chan struct{}), make(chan time.Duration, 1)
	r := &refresher{
		fetch: func(ctx context.Context, _ *pki.CRL) (bool, []string, error) {
			return false, nil, turn.fetch(ctx, func(ctx context.Context) error {
				close(began)
				<-ctx.Done()
				excluded("fetch")
				return ctx.Err()
			})
		},
		log: newLogger(io.Discard, false), rand: func() float64 { return 0.5 }, warned: map[string]bool{},
	}
	go func() { done <- r.refresh(t.Context(), nil) }()
	<-began
	turn.load(func() { excluded("load") })
	if wait := <-done; wait != 0 || r.failures != 0 {
		t.Errorf("got a wait of %s after %d failures, want none", wait, r.failures)
	}
}

// TestAFetchAfterALoad is not ended by that, and its own error is told.
func TestAFetchAfterALoad(t *testing.T) {
	var turn turn
	down := errors.New("down")
	turn.load(func() {})
	for range 2 {
		if err := turn.fetch(t.Context(), func(ctx context.Context) error { return errors.Join(ctx.Err(), down) }); !errors.Is(err, down) || errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, down)
		}
		turn.load(func() {})
	}
}
