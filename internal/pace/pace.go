// Package pace says when a manager is asked again. One table holds it for the
// module's wait, the agent's first enrollment and its renewal. It is pure: what
// was heard and a random number go in, a wait comes out.
//
// It promises that two polls of a request under way are less than 300 s apart,
// since an approved bundle is kept for 600 s (contract, deployed behaviour), and
// within that, that a manager is not asked earlier than it said.
package pace

import "time"

const (
	// RateLimit is the interval of the deployed rate limit (contract: one request
	// per 12 s), for a 429 that does not say how long to wait.
	RateLimit = 12 * time.Second
	// Tries is how many failures in a row end a run that waits.
	Tries = 5
	// Jitter spreads each wait by this part of it.
	Jitter = 0.10
	// Longest is the longest wait between two polls, before jitter.
	Longest = 270 * time.Second
	// Moment is the wait of a Retry-After of 0, which means "in a moment".
	Moment = time.Second
)

const (
	soon       = 10 * time.Second
	later      = 5 * time.Minute
	muchLater  = 6 * time.Hour
	maxDoubled = 10
)

// Heard is what asking came to.
type Heard int

// What asking comes to.
const (
	// Pending: no one has decided yet.
	Pending Heard = iota
	// RateLimited: 429.
	RateLimited
	// Trouble leaves a request under way: no answer, a 5xx, or an answer of
	// something between this host and the manager.
	Trouble
	// Failed leaves no request under way, or is not fixed by asking again.
	Failed
	// Refused: an administrator has denied the request.
	Refused
	// Forgotten: the request has expired at the manager.
	Forgotten
	// Edited: config.yaml is broken while a request is under way.
	Edited
	kinds
)

// Caller is who asks.
type Caller int

// The callers.
const (
	// Wait is the module with wait, and --enroll-only.
	Wait Caller = iota
	// First is the agent's first enrollment.
	First
	// Renewal is the agent's renewal while it serves.
	Renewal
	callers
)

// rule is how long one caller waits after one thing heard.
type rule struct {
	ends bool
	// first doubles with each failure in a row, up to most; 0 is the interval.
	first, most time.Duration
	// tries is how many failures in a row end it; 0 is no limit.
	tries int
	// fails says that it counts as a failure in a row.
	fails bool
	// atOnce says that there is no wait.
	atOnce bool
}

// table is the whole policy: a row for what was heard, a column for who asks.
func table() [kinds][callers]rule {
	ends := rule{ends: true}
	interval := rule{}
	trouble := rule{first: soon, fails: true, tries: Tries}
	keepOn := rule{fails: true}
	backOff := rule{first: later, most: muchLater, fails: true}
	return [kinds][callers]rule{
		//             Wait      First                Renewal
		Pending:     {interval, interval, interval},
		RateLimited: {interval, interval, interval},
		Trouble:     {trouble, trouble, keepOn},
		Failed:      {ends, ends, backOff},
		Refused:     {ends, ends, {first: muchLater, most: muchLater, fails: true}},
		Forgotten:   {ends, {atOnce: true}, backOff},
		Edited:      {ends, interval, keepOn},
	}
}

// Asker counts for one caller.
type Asker struct {
	Caller   Caller
	Interval time.Duration
	// Rand is uniform in [0, 1).
	Rand func() float64

	rounds, failures int
}

// Next says whether to ask again, and after which wait. told is how long the
// manager asks to wait, 0 where it does not say.
func (a *Asker) Next(h Heard, told time.Duration) (wait time.Duration, again bool) {
	r := table()[h][a.Caller]
	if !r.fails {
		a.failures = 0
	}
	if r.ends || r.tries > 0 && a.failures+1 >= r.tries {
		return 0, false
	}
	wait = a.spread(r, h)
	if r.fails {
		a.failures++
	}
	a.rounds++
	return max(wait, a.told(h, told)), true
}

// spread is the wait by the rule, ±10 %.
func (a *Asker) spread(r rule, h Heard) time.Duration {
	switch {
	case r.atOnce:
		return 0
	case h == RateLimited && a.Caller != Renewal:
		return 0 // as told
	case r.first > 0 && r.most > 0:
		return Spread(min(r.first<<min(a.failures, maxDoubled), r.most), a.Rand())
	case r.first > 0:
		return min(Spread(a.Interval, a.Rand()), Spread(r.first<<min(a.failures, maxDoubled), a.Rand()))
	case a.rounds == 0 && a.Caller != Renewal && h == Pending:
		return FirstWait(a.Interval, a.Rand())
	}
	return Spread(a.Interval, a.Rand())
}

// told is never earlier than the manager said, and not the same moment for
// every host.
func (a *Asker) told(h Heard, told time.Duration) time.Duration {
	if told <= 0 {
		if h != RateLimited {
			return 0
		}
		told = RateLimit
	}
	told = min(told, Longest)
	return told + time.Duration(float64(told)*Jitter*a.Rand())
}

// Spread spreads d by ±10 %. u is uniform in [0, 1).
func Spread(d time.Duration, u float64) time.Duration {
	return time.Duration(float64(d) * (1 - Jitter + 2*Jitter*u))
}

// FirstWait spreads the first wait over the whole interval, so that a fleet
// that was registered at once does not poll at once ever after.
func FirstWait(interval time.Duration, u float64) time.Duration {
	return time.Duration(float64(interval) * (0.05 + 0.95*u))
}
