package managerclient

import (
	"cmp"
	"net/http"
	"time"

	"github.com/linux-patch/enroll/internal/pace"
)

// Retry says when a request is sent again inside one call.
type Retry struct {
	// Attempts bounds how often a request is sent that meets no manager, and a
	// registration that meets a 5xx; 0 means 3, the burst that deployed managers'
	// rate limit allows.
	Attempts int
	// Wait stands between the first two attempts and doubles; 0 means 2 s.
	Wait time.Duration
	// Wait429 lets a registration wait out the rate limit, as often as it is
	// told to and Until leaves time. Without it, 429 fails.
	Wait429 bool
	// Until, where set, is when no request is sent again. One that is on its
	// way is not cut off: its answer may be the token.
	Until time.Time
	// Jitter, where set, changes each wait, so that a fleet behind one address
	// does not come back in step.
	Jitter func(time.Duration) time.Duration
}

const maxWait = 30 * time.Second

func (r Retry) withDefaults() Retry {
	if r.Attempts <= 0 {
		r.Attempts = 3
	}
	if r.Wait <= 0 {
		r.Wait = 2 * time.Second
	}
	if r.Jitter == nil {
		r.Jitter = func(d time.Duration) time.Duration { return d }
	}
	return r
}

// outcome is what one attempt came to.
type outcome struct {
	method string
	// status is 0 where no answer came.
	status int
	// delivered says that the request may have reached the manager.
	delivered bool
	// hopeless marks a failure that no repetition fixes: an untrusted
	// certificate.
	hopeless   bool
	retryAfter time.Duration
}

// next is the whole policy: whether a request is sent again after its n-th
// counted attempt, and after which wait. counted is false where the attempt
// does not use up one. A poll that may have reached the manager is never sent
// again: its lost answer may have been the bundle, which is handed out once.
func (r Retry) next(n int, o outcome) (wait time.Duration, again, counted bool) {
	switch {
	case o.method == http.MethodPost && o.status == http.StatusTooManyRequests:
		return r.Jitter(cmp.Or(o.retryAfter, pace.RateLimit)), r.Wait429, false
	case o.status == 0 && !o.delivered && !o.hopeless:
	case o.method == http.MethodPost && isServerTrouble(o.status):
		// Repeating a registration does no harm: a manager that has acted on
		// the first answers 409 or 500 to the second.
	default:
		return 0, false, true
	}
	if o.retryAfter > maxWait && !r.Wait429 {
		return 0, false, true // who does not wait is told, and comes back
	}
	wait = max(min(r.Wait<<min(n-1, 10), maxWait), o.retryAfter)
	return r.Jitter(wait), n < r.Attempts, true
}

// isServerTrouble says whether status is a 5xx that may pass.
func isServerTrouble(status int) bool {
	return status >= 500 && status <= 599 && status != http.StatusNotImplemented
}
