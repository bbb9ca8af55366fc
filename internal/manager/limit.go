package manager

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The deployed limit: per source address, for registration and status together.
const (
	limitEvery = 12 * time.Second
	limitBurst = 3
)

type limiter struct {
	mu sync.Mutex
	by map[netip.Addr]*rate.Limiter
}

func newLimiter() *limiter { return &limiter{by: map[netip.Addr]*rate.Limiter{}} }

// allow takes one request from a source's budget, or says how long the source
// has to wait.
func (l *limiter) allow(source netip.Addr, now time.Time) (bool, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.by[source]
	if !ok {
		b = rate.NewLimiter(rate.Every(limitEvery), limitBurst)
		l.by[source] = b
	}
	r := b.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait == 0, wait
}

// sweep forgets the sources whose budget is full again.
func (l *limiter) sweep(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for source, b := range l.by {
		if b.TokensAt(now) >= limitBurst {
			delete(l.by, source)
		}
	}
}
