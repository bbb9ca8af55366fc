package pace

import (
	"testing"
	"time"
)

const interval = time.Minute

var dice = []float64{0, 0.25, 0.5, 0.999999}

// ask asks again after each of heard, and returns the last wait.
func ask(caller Caller, u float64, told time.Duration, heard ...Heard) (wait time.Duration, again bool) {
	a := Asker{Caller: caller, Interval: interval, Rand: func() float64 { return u }}
	for _, h := range heard {
		if wait, again = a.Next(h, told); !again {
			return 0, false
		}
	}
	return wait, true
}

func TestTable(t *testing.T) {
	const s, m, h = time.Second, time.Minute, time.Hour
	four := []Heard{Trouble, Trouble, Trouble, Trouble}
	five := []Heard{Trouble, Trouble, Trouble, Trouble, Trouble}
	for _, c := range []struct {
		name        string
		caller      Caller
		told        time.Duration
		heard       []Heard
		least, most time.Duration // both 0 where nobody asks again
	}{
		{"pending, first", Wait, 0, []Heard{Pending}, 3 * s, 60 * s},
		{"pending", Wait, 0, []Heard{Pending, Pending}, 54 * s, 66 * s},
		{"pending, told", Wait, 100 * s, []Heard{Pending, Pending}, 100 * s, 110 * s},
		{"trouble", Wait, 0, four[:1], 9 * s, 11 * s},
		{"second trouble", Wait, 0, four[:2], 18 * s, 22 * s},
		{"third trouble", First, 0, four[:3], 36 * s, 44 * s},
		{"fourth trouble", First, 0, four, 54 * s, 66 * s},
		{"fifth trouble", Wait, 0, five, 0, 0},
		{"fifth trouble of the first enrollment", First, 0, five, 0, 0},
		{"fifth trouble while serving", Renewal, 0, five, 54 * s, 66 * s},
		{"trouble that passed", Wait, 0, append(append(four[:4:4], Pending), four...), 54 * s, 66 * s},
		{"trouble, told", Wait, 100 * s, four[:1], 100 * s, 110 * s},
		{"429", Wait, 40 * s, []Heard{RateLimited}, 40 * s, 44 * s},
		{"429, untold", Wait, 0, []Heard{RateLimited}, 12 * s, 13200 * time.Millisecond},
		{"429, in a moment", First, Moment, []Heard{RateLimited}, 1 * s, 1100 * time.Millisecond},
		{"429, told a day", Wait, 24 * h, []Heard{RateLimited}, 270 * s, 297 * s},
		{"429 while serving", Renewal, 0, []Heard{RateLimited}, 54 * s, 66 * s},
		{"429 again and again", Wait, 0, []Heard{RateLimited, RateLimited, RateLimited, RateLimited, RateLimited, RateLimited}, 12 * s, 14 * s},
		{"failed", Wait, 0, []Heard{Failed}, 0, 0},
		{"failed at first", First, 0, []Heard{Failed}, 0, 0},
		{"failed while serving", Renewal, 0, []Heard{Failed}, 270 * s, 330 * s},
		{"failed twice while serving", Renewal, 0, []Heard{Failed, Failed}, 9 * m, 11 * m},
		{"failed for long", Renewal, 0, []Heard{Failed, Failed, Failed, Failed, Failed, Failed, Failed, Failed, Failed}, 324 * m, 396 * m},
		{"denied", First, 0, []Heard{Refused}, 0, 0},
		{"denied while serving", Renewal, 0, []Heard{Refused}, 324 * m, 396 * m},
		{"broken config.yaml", Wait, 0, []Heard{Edited}, 0, 0},
		{"broken config.yaml at first", First, 0, []Heard{Edited}, 54 * s, 66 * s},
	} {
		for _, u := range dice {
			wait, again := ask(c.caller, u, c.told, c.heard...)
			if again != (c.most > 0) || wait < c.least || wait > c.most {
				t.Errorf("%s, %v: got %s (again %v), want %s to %s", c.name, u, wait, again, c.least, c.most)
			}
		}
	}
}

// No two polls of a request under way may be 300 s or more apart, whatever the
// interval, the dice and what the manager asks for.
func TestWaitsStayBelowTheHandOutWindow(t *testing.T) {
	for _, u := range dice {
		for caller := range callers {
			for _, h := range []Heard{Pending, RateLimited, Trouble, Edited} {
				a := Asker{Caller: caller, Interval: Longest, Rand: func() float64 { return u }}
				for range Tries {
					if wait, _ := a.Next(h, 1000*time.Hour); wait >= 300*time.Second {
						t.Errorf("caller %d, heard %d, %v: got %s, want less than 300s", caller, h, u, wait)
					}
				}
			}
		}
	}
}
