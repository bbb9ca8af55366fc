package managerclient

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// defaultTimeout bounds one request, dialTimeout the connection for it.
	defaultTimeout = 30 * time.Second
	dialTimeout    = 10 * time.Second
)

// patience is a deadline in time in which this process runs. A process that is
// stopped, or starved, while the answer arrives finds it in its socket: what has
// arrived is read before the deadline counts.
type patience struct {
	ctx    context.Context //nolint:containedctx // what it ends
	tick   time.Duration
	left   atomic.Int64 // ticks
	last   time.Time
	timer  *time.Timer
	cancel context.CancelCauseFunc
	over   atomic.Bool
}

const (
	ticksOfRequest = 30
	// bytesOfTick is what must be received for one more tick, so that a large
	// list of revoked certificates comes whole over a slow line, and an endless
	// answer still ends.
	bytesOfTick = 100 << 10
	// maxDelay is how late a busy machine may run a timer.
	maxDelay = 250 * time.Millisecond
)

// tooSlowError says that a request took longer than it may.
type tooSlowError struct{}

func (tooSlowError) Error() string { return "no answer in time" }
func (tooSlowError) Timeout() bool { return true }

func withPatience(ctx context.Context, d time.Duration) (context.Context, *patience) {
	ctx, cancel := context.WithCancelCause(ctx)
	p := &patience{ctx: ctx, tick: d / ticksOfRequest, last: time.Now(), cancel: cancel}
	p.left.Store(ticksOfRequest)
	armed := make(chan struct{})
	p.timer = time.AfterFunc(p.tick, func() { <-armed; p.pass() })
	close(armed)
	return ctx, p
}

// pass counts one tick, unless it came so late that the process did not run.
func (p *patience) pass() {
	now := time.Now()
	late := now.Sub(p.last) > p.tick+max(p.tick/2, maxDelay)
	p.last = now
	if p.ctx.Err() != nil {
		return
	}
	if !late && p.left.Add(-1) <= 0 {
		p.over.Store(true)
		p.cancel(tooSlowError{})
		return
	}
	p.timer.Reset(p.tick)
}

func (p *patience) stop() {
	p.timer.Stop()
	p.cancel(nil)
}

// explain is err, or that time is over.
func (p *patience) explain(err error) error {
	if err != nil && p.over.Load() {
		return tooSlowError{}
	}
	return err
}

// patientBody is an answer's body, which ends with its patience.
type patientBody struct {
	io.ReadCloser
	patience *patience
	received int64
}

func (b *patientBody) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into)
	before := b.received / bytesOfTick
	b.received += int64(n)
	b.patience.left.Add(b.received/bytesOfTick - before)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.patience.explain(err)
	}
	return n, err
}

// Close ends the request before it closes the body: closing must not wait for
// what the other side may still send.
func (b *patientBody) Close() error {
	b.patience.stop()
	return b.ReadCloser.Close()
}

// attempt sends one request: it connects, has the request written for that
// connection, and bounds the time until the answer's last byte.
type attempt struct {
	transport *http.Transport
	timeout   time.Duration
	// dial is nil through a proxy.
	dial *dialer
}

func (a attempt) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, p := withPatience(r.Context(), a.timeout)
	resp, err := a.send(ctx, r)
	if err != nil {
		err = p.explain(err)
		p.stop()
		return nil, err
	}
	resp.Body = &patientBody{ReadCloser: resp.Body, patience: p}
	if resp.StatusCode < 200 {
		// The connection is someone's own protocol now: there is no body.
		err := resp.Body.Close()
		resp.Body = http.NoBody
		return resp, err
	}
	return resp, nil
}

func (a attempt) send(ctx context.Context, r *http.Request) (*http.Response, error) {
	f, ok := ctx.Value(flightKey{}).(*flight)
	if !ok {
		return a.transport.RoundTrip(r.WithContext(ctx))
	}
	if a.dial != nil {
		conn, err := a.dial.DialContext(ctx, "tcp", HostPort(r.URL))
		if err != nil {
			return nil, err
		}
		ready := &readyConn{conn: conn}
		defer ready.discard()
		f.local = addressOf(conn.LocalAddr())
		ctx = context.WithValue(ctx, readyKey{}, ready)
	}
	r, err := f.write(r.Clone(ctx))
	if err != nil {
		return nil, err
	}
	return a.transport.RoundTrip(r)
}

// flightKey finds the flight that a request belongs to, readyKey the connection
// that was made for it.
type (
	flightKey struct{}
	readyKey  struct{}
)

// readyConn is a connection that waits to be taken by the transport.
type readyConn struct {
	mu   sync.Mutex
	conn net.Conn
}

func (c *readyConn) take() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn := c.conn
	c.conn = nil
	return conn
}

func (c *readyConn) discard() {
	if conn := c.take(); conn != nil {
		_ = conn.Close()
	}
}

// dialReady hands the transport the connection that was made for its request.
func (d *dialer) dialReady(ctx context.Context, network, address string) (net.Conn, error) {
	if ready, ok := ctx.Value(readyKey{}).(*readyConn); ok {
		if conn := ready.take(); conn != nil {
			return conn, nil
		}
	}
	return d.DialContext(ctx, network, address)
}

// HostPort is where to connect for a URL. The port is a number: names need
// /etc/services, which small images do not have.
func HostPort(u *url.URL) string {
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), defaultPorts[u.Scheme]))
}

func addressOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
