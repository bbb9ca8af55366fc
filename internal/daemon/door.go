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

// door knows who may come in: no one, until it is told.
type door struct {
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	log    *logrus.Logger

	rules atomic.Pointer[rules]
	// names are the addresses of host names, by the last look-up, and byName all
	// those of the list in force.
	names  map[string][]netip.Addr
	byName atomic.Pointer[map[netip.Addr]bool]
	// mu guards names, and that byName is of the newest rules and names.
	mu sync.Mutex
	// changed asks for a look-up at once.
	changed chan struct{}
}

// rules are a whitelist in the form in which it is asked.
type rules struct {
	list  *whitelist.List
	set   whitelist.Set
	hosts []string
}

func newRules(list *whitelist.List) *rules {
	r := &rules{list: list, set: list.Set()}
	for _, e := range list.Entries {
		if e.Host != "" {
			r.hosts = append(r.hosts, e.Host)
		}
	}
	slices.Sort(r.hosts)
	r.hosts = slices.Compact(r.hosts)
	return r
}

func newDoor(lookup func(context.Context, string, string) ([]netip.Addr, error), log *logrus.Logger) *door {
	d := &door{lookup: lookup, log: log, changed: make(chan struct{}, 1)}
	d.rules.Store(newRules(&whitelist.List{}))
	d.byName.Store(&map[netip.Addr]bool{})
	return d
}

// admit puts a list in force.
func (d *door) admit(list *whitelist.List) {
	r := newRules(list)
	d.mu.Lock()
	d.rules.Store(r)
	d.resolved()
	d.mu.Unlock()
	poke(d.changed)
}

// resolved brings byName up to date; d.mu is held.
func (d *door) resolved() {
	byName := map[netip.Addr]bool{}
	for _, host := range d.rules.Load().hosts {
		for _, ip := range d.names[host] {
			byName[ip] = true
		}
	}
	d.byName.Store(&byName)
}

// allows tells whether an address may connect. Addresses with a zone may not:
// no entry can name one.
func (d *door) allows(ip netip.Addr) bool {
	return d.rules.Load().set.Contains(ip) || (*d.byName.Load())[ip.Unmap()]
}

// entries are those that are in force, as they are written, up to limit of
// them, and how many there are.
func (d *door) entries(limit int) (entries []string, all int) {
	list := d.rules.Load().list
	entries = []string{}
	for _, e := range list.Entries {
		if len(entries) == limit {
			break
		}
		if e.Host != "" || e.Prefix.IsValid() {
			entries = append(entries, e.Text)
		}
	}
	return entries, len(list.Entries) - len(list.Invalid)
}

// resolve keeps the addresses of host names current until ctx ends, so that no
// connection ever waits for DNS.
func (d *door) resolve(ctx context.Context) {
	for {
		names := d.lookUpAll(ctx, d.rules.Load().hosts)
		if ctx.Err() != nil {
			return
		}
		d.mu.Lock()
		d.names = names
		d.resolved()
		d.mu.Unlock()
		timer := time.NewTimer(resolveEvery)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-d.changed:
		}
		timer.Stop()
	}
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
	d.mu.Lock()
	before := d.names[host]
	d.mu.Unlock()
	found, err := d.lookup(ctx, "ip", host)
	dns, _ := errors.AsType[*net.DNSError](err)
	switch {
	case err == nil:
		for i, ip := range found {
			found[i] = ip.Unmap()
		}
		return found
	case dns != nil && dns.IsNotFound:
		if before != nil {
			d.log.WithField("host", host).Warn("a host name of the whitelist is not known to DNS any more: it lets no one in")
		}
		return nil
	default:
		d.log.WithFields(logrus.Fields{"host": host, "error": err}).Debug("a host name of the whitelist could not be looked up")
		return before
	}
}
