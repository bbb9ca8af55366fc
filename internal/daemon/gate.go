package daemon

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"
)

const (
	// maxConnections are open at once, maxPerSource of them from one address,
	// so that a few clients cannot keep the others out.
	maxConnections = 512
	maxPerSource   = 128
	// lingerFor is how long a refused client gets to read why.
	lingerFor = time.Second
)

// gate is a listener that drops, without an answer and before TLS, those whom the
// door does not allow, and those who are too many.
type gate struct {
	net.Listener
	door *door
	log  *sparse
	*crowd
}

// crowd counts the open connections of all listeners.
type crowd struct {
	mu   sync.Mutex
	open map[netip.Addr]int
	all  int
}

func newCrowd() *crowd { return &crowd{open: map[netip.Addr]int{}} }

// Accept returns the next connection that may speak.
func (g *gate) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := sourceOf(conn.RemoteAddr())
		switch {
		case !g.door.allows(from):
			g.log.warn(logrus.Fields{"source": from.String()}, "dropped a connection: its address is not in the whitelist")
		case !g.enter(from):
			g.log.warn(logrus.Fields{"source": from.String()}, "dropped a connection: too many are open")
		default:
			return &passed{Conn: conn, leave: sync.OnceFunc(func() { g.leave(from) })}, nil
		}
		_ = conn.Close()
	}
}

func sourceOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func (c *crowd) enter(from netip.Addr) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all >= maxConnections || c.open[from] >= maxPerSource {
		return false
	}
	c.all++
	c.open[from]++
	return true
}

func (c *crowd) leave(from netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.open[from]--; c.open[from] == 0 {
		delete(c.open, from)
	}
}

// passed is a connection that is counted until it is closed.
type passed struct {
	net.Conn
	leave func()
	// admitted is set once the client's certificate was found good.
	admitted atomic.Bool
}

// Close closes the connection. A refused client has an alert under way that
// says why, and has mostly sent its request already, since in TLS 1.3 it speaks
// before it is judged. Closing over unread bytes makes the kernel send a reset,
// and a client whose writing fails does not look for an alert, so what it sends
// is read for a while, in the background: a stop waits for no one.
func (p *passed) Close() error {
	half, ok := p.Conn.(interface{ CloseWrite() error })
	if p.admitted.Load() || !ok || half.CloseWrite() != nil {
		defer p.leave()
		return p.Conn.Close()
	}
	go func() {
		defer p.leave()
		if p.SetReadDeadline(time.Now().Add(lingerFor)) == nil {
			_, _ = io.Copy(io.Discard, p.Conn)
		}
		_ = p.Conn.Close()
	}()
	return nil
}
