package fleet_test

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/manager"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/report"
)

// clocked is a manager with the rate limit of deployed ones (one request per
// 12 s, burst 3, per source address) and their 600 s hold, whose clock is that
// of the simulation. It answers over real sockets, outside the simulation.
type clocked struct {
	*manager.Server
	url      string
	now      atomic.Int64
	requests atomic.Int64
	refused  atomic.Int64

	mu sync.Mutex
	// at is when each request came that was not refused.
	at []time.Time
}

// Write counts the requests by the manager's access log.
func (c *clocked) Write(line []byte) (int, error) {
	switch {
	case !contains(line, `/api/v1/enroll`):
	case contains(line, `"status":429`):
		c.refused.Add(1)
	default:
		c.requests.Add(1)
		c.mu.Lock()
		c.at = append(c.at, time.Unix(0, c.now.Load()))
		c.mu.Unlock()
	}
	return len(line), nil
}

func newClocked(t *testing.T, limited bool) *clocked {
	t.Helper()
	c := &clocked{}
	c.now.Store(today.UnixNano())
	server, err := manager.New(manager.Options{
		Dir: fleetDir(t) + "/manager", AccessLog: c, NoRateLimit: !limited,
		Now: func() time.Time { return time.Unix(0, c.now.Load()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Server = server
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.url = "http://" + listener.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, listener, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// today is where the simulated clock starts: no host believes in the year 2000,
// where a bubble's does.
var today = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// follow keeps the manager's clock at that of the bubble it is called in.
func (c *clocked) follow(ctx context.Context) {
	for tick := time.NewTicker(250 * time.Millisecond); ; {
		c.now.Store(time.Now().UnixNano())
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return
		}
	}
}

// approveAll approves once so many requests wait; a day is too long for that.
func (c *clocked) approveAll(t *testing.T, want int) {
	t.Helper()
	for range 24 * 60 * 60 {
		pending, err := c.Pending()
		if err != nil {
			t.Error(err)
			return
		}
		if len(pending) < want {
			time.Sleep(time.Second)
			continue
		}
		for _, p := range pending {
			if _, err := c.Approve(p.ID); err != nil {
				t.Error(err)
			}
		}
		return
	}
	t.Fatalf("there never were %d requests", want)
}

// TestFleetBehindOneAddress: hosts behind one address, approved in batches of 40, all get their bundles although the manager lets through fewer
// than 54 requests in the 600 s for which it holds one. The clock is simulated.
func TestFleetBehindOneAddress(t *testing.T) {
	const batch = 40
	hosts := 2 * batch
	if os.Getenv("LINUX_PATCH_BENCH") != "" {
		hosts = 5 * batch
	}
	c, dir := newClocked(t, true), fleetDir(t)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(today))
		ctx, done := context.WithCancel(t.Context())
		go c.follow(ctx)
		defer done()
		f := newFleet(t, dir, c.url, "", 60)
		start := time.Now()
		var slowest time.Duration
		for first := 0; first < hosts; first += batch {
			results := make(chan *report.Result, batch)
			for n := range batch {
				go func() { results <- f.enroll(ctx, simulated(first+n)) }()
			}
			c.approveAll(t, batch)
			approved := time.Now()
			for range batch {
				if res := <-results; res.State != contract.StateEnrolled {
					t.Errorf("%s: %s: got %s, want %v", res.FQDN, res.State, res.Msg, contract.StateEnrolled)
				}
			}
			slowest = max(slowest, time.Since(approved))
		}
		printed(t, "behind one address", map[string]any{
			"hosts": hosts, "batch": batch, "minutes": minutes(time.Since(start)),
			"slowest minutes from approval to provisioned": minutes(slowest),
			"requests": c.requests.Load(), "answered 429": c.refused.Load(), "lost": 0,
		})
		if slowest >= manager.DefaultHandout {
			t.Errorf("the last host of a batch had its bundle %s after the approval, want less than %v", slowest, manager.DefaultHandout)
		}
	})
}

// TestFleetBehindOneAddressAtOnce shows why: approved all at once, the same
// fleet is handed no more bundles than the limit lets through.
func TestFleetBehindOneAddressAtOnce(t *testing.T) {
	hosts := 80
	if os.Getenv("LINUX_PATCH_BENCH") != "" {
		hosts = 120
	}
	c, dir := newClocked(t, true), fleetDir(t)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(today))
		ctx, done := context.WithCancel(t.Context())
		go c.follow(ctx)
		defer done()
		f := newFleet(t, dir, c.url, "", 60)
		results := make(chan *report.Result, hosts)
		for n := range hosts {
			go func() { results <- f.enroll(ctx, simulated(n)) }()
		}
		c.approveAll(t, hosts)
		lost := 0
		for range hosts {
			if res := <-results; res.State != contract.StateEnrolled {
				lost++
			}
		}
		printed(t, "behind one address, at once", map[string]any{"hosts": hosts, "lost": lost})
		if lost < hosts-54 {
			t.Errorf("only %d of %d bundles were lost: the manager's limit is not that of deployed ones, want %v at least", lost, hosts, hosts-54)
		}
	})
}

// TestPollsSpread: a fleet that was started at one moment asks evenly over the
// interval from the second poll on, and never again all at once.
func TestPollsSpread(t *testing.T) {
	const hosts, interval, window = 120, 60, 10 * time.Second
	c, dir := newClocked(t, false), fleetDir(t)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(today))
		ctx, done := context.WithCancel(t.Context())
		go c.follow(ctx)
		defer done()
		f := newFleet(t, dir, c.url, "", interval)
		results := make(chan *report.Result, hosts)
		limit := func(p *options.Params) { p.WaitTimeout = options.Span(5 * interval * time.Second) }
		start := time.Now()
		for n := range hosts {
			go func() { results <- f.enroll(ctx, simulated(n), limit) }()
		}
		for range hosts {
			if res := <-results; res.State != contract.StatePending {
				t.Errorf("%s: %s: got %s, want %v", res.FQDN, res.State, res.Msg, contract.StatePending)
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		var windows [5 * interval * time.Second / window]int
		for _, at := range c.at {
			if i := int(at.Sub(start) / window); i >= 0 && i < len(windows) {
				windows[i]++
			}
		}
		t.Logf("requests in each %s: %v", window, windows)
		// The first two windows are the start and the pause that follows it.
		even := hosts * int(window/time.Second) / interval
		for i, n := range windows[2 : len(windows)-1] {
			if n == 0 || n > 3*even {
				t.Errorf("got %d requests in the %s after %s, %d would be even, want n some, n %v at most", n, window, time.Duration(i+2)*window, even, 3*even)
			}
		}
	})
}
