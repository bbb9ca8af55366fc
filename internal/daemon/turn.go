package daemon

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// errAnotherList ends the fetch of a list.
var errAnotherList = errors.New("a CRL from disk is loaded first")

// turn lets one list at a time be in memory as a whole: with a million entries
// two would take more than the agent may. A list on disk does not wait for a slow
// manager: to load it ends a fetch, which is tried again.
type turn struct {
	mu   sync.Mutex
	stop atomic.Pointer[context.CancelCauseFunc]
}

// fetch calls do with a context that ends when a list on disk is to be loaded.
func (t *turn) fetch(ctx context.Context, do func(context.Context) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	// Before the lock: a load that comes in between ends this fetch too.
	t.stop.Store(&stop)
	t.mu.Lock()
	defer t.mu.Unlock()
	err := do(ctx)
	if err != nil && errors.Is(context.Cause(ctx), errAnotherList) {
		return errAnotherList
	}
	return err
}

// load calls do once no list is fetched.
func (t *turn) load(do func()) {
	if stop := t.stop.Load(); stop != nil {
		(*stop)(errAnotherList)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	do()
}
