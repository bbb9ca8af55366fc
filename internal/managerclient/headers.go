package managerclient

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// retryAfterOf reads how long the manager asks to wait, 0 if it does not say:
// Retry-After in seconds or as a date (RFC 9110, 10.2.3), or the
// x-ratelimit-after of deployed managers. It is capped, since the waiting host
// must not miss the time in which its bundle is kept.
func retryAfterOf(h http.Header, now time.Time) time.Duration {
	for _, name := range []string{"Retry-After", "X-Ratelimit-After"} {
		v := strings.TrimSpace(h.Get(name))
		if v == "" {
			continue
		}
		if strings.Trim(v, "0123456789") == "" {
			seconds, err := strconv.Atoi(v)
			if err != nil || seconds > int(maxRetryAfter/time.Second) {
				return maxRetryAfter
			}
			return time.Duration(seconds) * time.Second
		}
		if at, err := http.ParseTime(v); err == nil {
			return min(max(at.Sub(now), 0), maxRetryAfter)
		}
	}
	return 0
}
