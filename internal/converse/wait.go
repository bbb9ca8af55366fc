package converse

import (
	"context"
	"time"
)

// grace is what an answer on its way gets when a signal comes: it may be the
// bundle, which is handed out once. A run still ends within a second.
const grace = 500 * time.Millisecond

// linger is ctx, ending a moment later: an answer on its way is still taken.
func linger(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(grace, func() { cancel(context.Cause(ctx)) })
	})
	return late, func() { stop(); cancel(nil) }
}
