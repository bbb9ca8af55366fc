package converse

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/linux-patch/enroll/internal/install"
	"github.com/linux-patch/enroll/internal/observe"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/report"
)

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

// A wait ends with wait_timeout, however long it is to be.
func TestWaitEndsWithTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		view := &observe.View{Now: time.Now, Settings: &options.Settings{}, Result: report.New()}
		r := &Conversation{Installer: &install.Installer{View: view}, Progress: func(Progress) {}}
		start := time.Now()
		r.Deadline = start.Add(5 * time.Second)
		if err := r.waitFor(t.Context(), time.Minute); err != nil || time.Since(start) != 5*time.Second {
			t.Errorf("got %s, %v, want 5s", time.Since(start), err)
		}
	})
}
