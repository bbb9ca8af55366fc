package managerclient

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/linux-patch/enroll/internal/pace"
)

// retryAfterOf reads how long the manager asks to wait, 0 if it does not say:
// Retry-After in seconds or as a date (RFC 9110, 10.2.3), or the
// x-ratelimit-after of deployed managers. A wait of 0 means "in a moment". It is
// capped, since the waiting host must not miss the time in which its bundle is
// kept.
func retryAfterOf(h http.Header, now time.Time) time.Duration {
	for _, name := range []string{"Retry-After", "X-Ratelimit-After"} {
		for _, v := range h.Values(name) {
			if wait, ok := parseWait(strings.TrimSpace(v), now); ok {
				return min(max(wait, pace.Moment), pace.Longest)
			}
		}
	}
	return 0
}

func parseWait(v string, now time.Time) (time.Duration, bool) {
	if at, err := http.ParseTime(v); err == nil {
		return at.Sub(now), true
	}
	if v == "" || strings.Trim(v, "0123456789") != "" {
		return 0, false
	}
	seconds, err := strconv.ParseUint(v, 10, 16)
	if err != nil {
		return pace.Longest, true // more digits than it can mean
	}
	return time.Duration(seconds) * time.Second, true
}
