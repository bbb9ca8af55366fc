package options

import (
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/config"
)

func TestIntervalIsBounded(t *testing.T) {
	for given, want := range map[int]time.Duration{
		-5: MinInterval, 0: MinInterval, 1: MinInterval, 45: 45 * time.Second, 270: MaxInterval, 271: MaxInterval, 1 << 62: MaxInterval,
	} {
		s := &Settings{Params: Params{PollingIntervalSeconds: &given}, Config: &config.Config{}}
		s.settleWaiting()
		if told := len(s.Warnings) > 0; s.Interval != want || told != (time.Duration(given) != want/time.Second) {
			t.Errorf("%d: %s, want %s; warnings %q", given, s.Interval, want, s.Warnings)
		}
	}
}
