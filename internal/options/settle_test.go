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

// A number of config.yaml that is not gone by is told, as one of an option is.
func TestField4_7_NumbersThatAreNotGoneBy(t *testing.T) {
	for _, c := range []struct {
		days, polls int
		within      time.Duration
		warnings    int
	}{
		{0, 0, 0, 0}, {30, 5, 30 * 24 * time.Hour, 0}, {36500, 1, 36500 * 24 * time.Hour, 0},
		{-5, 1, DefaultRenewBefore, 1}, {36501, 1, DefaultRenewBefore, 1}, {1 << 62, -1, DefaultRenewBefore, 2}, {30, -1, 30 * 24 * time.Hour, 1},
	} {
		s := &Settings{Config: &config.Config{Enrollment: config.Enrollment{CertRenewalThresholdDays: &c.days, MaxPollAttempts: &c.polls}}}
		s.settleWaiting()
		if s.RenewWithin != c.within || s.MaxAttempts != max(c.polls, 0) || len(s.Warnings) != c.warnings {
			t.Errorf("%d days, %d polls: got %s, %d, %q; want %s, %d warnings", c.days, c.polls, s.RenewWithin, s.MaxAttempts, s.Warnings, c.within, c.warnings)
		}
	}
}
