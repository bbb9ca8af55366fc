package managerclient

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

// dialer connects by one family of addresses, and by the other where the first
// leads nowhere. IPv4 comes first: what is deployed around a manager listens on
// it, and takes nothing else into a whitelist (contract, agent).
type dialer struct {
	net.Dialer
	// budget bounds the look-ups and all attempts together.
	budget time.Duration
	ipv6   bool // first
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

func (d *dialer) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.budget)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return d.Dialer.DialContext(ctx, "tcp", address)
	}
	var failed error
	families := []string{"ip4", "ip6"}
	if d.ipv6 {
		slices.Reverse(families)
	}
	for i, network := range families {
		conn, err := d.dialFamily(ctx, network, host, port, time.Duration(len(families)-i))
		if err == nil {
			return conn, nil
		}
		failed = tellingMore(failed, err)
	}
	return nil, failed
}

// dialFamily looks up one family only: a question for the other one may lead
// nowhere too.
func (d *dialer) dialFamily(ctx context.Context, network, host, port string, share time.Duration) (net.Conn, error) {
	ctx, cancel := part(ctx, share)
	defer cancel()
	addrs, err := d.lookup(ctx, network, host)
	if err != nil {
		return nil, err
	}
	for i, addr := range addrs {
		conn, failed := d.dialOne(ctx, net.JoinHostPort(addr.Unmap().String(), port), time.Duration(len(addrs)-i))
		if failed == nil {
			return conn, nil
		}
		err = tellingMore(err, failed)
	}
	return nil, err
}

func (d *dialer) dialOne(ctx context.Context, address string, share time.Duration) (net.Conn, error) {
	ctx, cancel := part(ctx, share)
	defer cancel()
	return d.Dialer.DialContext(ctx, "tcp", address)
}

// part is ctx for its share of the time that is left.
func part(ctx context.Context, share time.Duration) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok || share <= 1 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(end)/share)
}

// tellingMore is the error that says more: that a family has no address says less
// than why the other one can't be reached.
func tellingMore(first, second error) error {
	if first == nil || hasNoAddress(first) {
		return second
	}
	return first
}

func hasNoAddress(err error) bool {
	dns, ok := errors.AsType[*net.DNSError](err)
	return ok && dns.IsNotFound || errors.As(err, new(*net.AddrError))
}
