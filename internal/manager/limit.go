package manager

import (
	"io"
	"maps"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limit is a deployed limit, per address.
type limit struct {
	burst int
	every time.Duration
}

// The deployed limits. Registration and status share one.
var (
	enrollLimit = limit{3, 12 * time.Second}
	authLimit   = limit{10, 3 * time.Second}
	apiLimit    = limit{30, 500 * time.Millisecond}
)

type limitKey struct {
	limit limit
	from  netip.Addr
}

type limiter struct {
	mu sync.Mutex
	by map[limitKey]*rate.Limiter
}

func newLimiter() *limiter { return &limiter{by: map[limitKey]*rate.Limiter{}} }

// allow takes one request from an address's budget, or says how long it has to
// wait.
func (l *limiter) allow(kind limit, from netip.Addr, now time.Time) (bool, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.by[limitKey{kind, from}]
	if !ok {
		b = rate.NewLimiter(rate.Every(kind.every), kind.burst)
		l.by[limitKey{kind, from}] = b
	}
	r := b.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait == 0, wait
}

// sweep forgets the addresses whose budget is full again.
func (l *limiter) sweep(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.by, func(k limitKey, b *rate.Limiter) bool { return b.TokensAt(now) >= float64(k.limit.burst) })
}

// limited applies a limit, before a byte of the body is read. The answer is
// that of deployed managers: both headers in whole seconds, rounded down to
// what may be 0, and a text without a content type.
func (s *Server) limited(kind limit, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.limits != nil {
			if ok, wait := s.limits.allow(kind, claimedSource(r), s.opt.Now()); !ok {
				seconds := strconv.Itoa(int(wait / time.Second))
				w.Header().Set("Retry-After", seconds)
				w.Header().Set("X-Ratelimit-After", seconds)
				// nil, since net/http would find a type out.
				w.Header()["Content-Type"] = nil
				w.WriteHeader(http.StatusTooManyRequests)
				_, _ = io.WriteString(w, "Too Many Requests! Wait for "+seconds+"s")
				return
			}
		}
		next(w, r)
	}
}

// claimedSource is whose budget a request is taken from: as deployed, the
// first address of X-Forwarded-For goes before the connection's own. Anyone
// can claim one, so nothing but the limits looks at it.
func claimedSource(r *http.Request) netip.Addr {
	for _, header := range r.Header.Values("X-Forwarded-For") {
		for text := range strings.SplitSeq(header, ",") {
			if ip, err := netip.ParseAddr(strings.TrimSpace(text)); err == nil {
				return ip.Unmap().WithZone("")
			}
		}
	}
	return source(r)
}
