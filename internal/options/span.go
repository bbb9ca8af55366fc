package options

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// Span is a time span as an option gives it: a number of seconds, or a number
// with one of the units s, m, h, d, w.
type Span time.Duration

// maxSpan keeps sums of spans far from overflowing: a century.
const maxSpan = 100 * 366 * 24 * time.Hour

// ParseSpan reads a time span.
func ParseSpan(text string) (Span, error) {
	units := map[string]time.Duration{
		"": time.Second, "s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
	}
	text = strings.TrimSpace(text)
	number := strings.TrimRight(text, "smhdw")
	unit, ok := units[strings.TrimPrefix(text, number)]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !ok || math.IsNaN(n) || n < 0 || n*float64(unit) > float64(maxSpan) {
		return 0, errors.New("is not a number of seconds, or a number with one of the units s, m, h, d, w")
	}
	return Span(n * float64(unit)), nil
}
