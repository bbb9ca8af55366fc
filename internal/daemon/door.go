package daemon

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/linux-patch/enroll/internal/whitelist"
)

const (
	// resolveEvery is how often the names of a whitelist are looked up anew.
	resolveEvery = time.Minute
	// resolveWithin bounds one look-up.
	resolveWithin = 5 * time.Second
	// resolveAtOnce is how many look-ups run side by side.
	resolveAtOnce = 8
)

// door knows who may come in: nobody, until it is told.
type door struct {
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	log    *logrus.Logger

	list atomic.Pointer[whitelist.List]
	// names are the addresses of the list's host names.
	names atomic.Pointer[map[string][]netip.Addr]
	// changed asks for a look-up at once.
	changed chan struct{}
}

func newDoor(lookup func(context.Context, string, string) ([]netip.Addr, error), log *logrus.Logger) *door {
	d := &door{lookup: lookup, log: log, changed: make(chan struct{}, 1)}
	d.list.Store(&whitelist.List{})
	d.names.Store(&map[string][]netip.Addr{})
	return d
}

// admit puts a list in force.
func (d *door) admit(list *whitelist.List) {
	d.list.Store(list)
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

// allows tells whether an address may connect. Addresses with a zone may not:
// no entry can name one.
func (d *door) allows(ip netip.Addr) bool {
	list := d.list.Load()
	if _, ok := list.Covering(ip); ok {
		return true
	}
	names := *d.names.Load()
	for _, e := range list.Entries {
		if e.Host != "" && slices.Contains(names[e.Host], ip.Unmap()) {
			return true
		}
	}
	return false
}

// entries are those that are in force, as they are written.
func (d *door) entries() []string {
	entries := []string{}
	for _, e := range d.list.Load().Entries {
		if e.Host != "" || e.Prefix.IsValid() {
			entries = append(entries, e.Text)
		}
	}
	return entries
}

// resolve keeps the addresses of host names current until ctx ends, so that no
// connection ever waits for DNS.
func (d *door) resolve(ctx context.Context) {
	for {
		names := d.lookUpAll(ctx, d.hosts())
		if ctx.Err() != nil {
			return
		}
		d.names.Store(&names)
		timer := time.NewTimer(resolveEvery)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-d.changed:
		}
		timer.Stop()
	}
}

func (d *door) hosts() []string {
	var hosts []string
	for _, e := range d.list.Load().Entries {
		if e.Host != "" && !slices.Contains(hosts, e.Host) {
			hosts = append(hosts, e.Host)
		}
	}
	return hosts
}

func (d *door) lookUpAll(ctx context.Context, hosts []string) map[string][]netip.Addr {
	var mu sync.Mutex
	var running sync.WaitGroup
	slots := make(chan struct{}, resolveAtOnce)
	names := map[string][]netip.Addr{}
	for _, host := range hosts {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			ips := d.lookUp(ctx, host)
			mu.Lock()
			defer mu.Unlock()
			names[host] = ips
		})
	}
	running.Wait()
	return names
}

// lookUp returns the addresses of a name. While DNS does not answer those of
// the last answer stand: an outage must not lock the manager out. A name that
// DNS says is not there has none.
func (d *door) lookUp(ctx context.Context, host string) []netip.Addr {
	ctx, cancel := context.WithTimeout(ctx, resolveWithin)
	defer cancel()
	before := (*d.names.Load())[host]
	found, err := d.lookup(ctx, "ip", host)
	var dns *net.DNSError
	switch {
	case err == nil:
		for i, ip := range found {
			found[i] = ip.Unmap()
		}
		return found
	case errors.As(err, &dns) && dns.IsNotFound:
		if before != nil {
			d.log.WithField("host", host).Warn("a host name of the whitelist is not known to DNS any more: it lets nobody in")
		}
		return nil
	default:
		d.log.WithFields(logrus.Fields{"host": host, "error": err}).Debug("a host name of the whitelist could not be looked up")
		return before
	}
}
