package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/whitelist"
)

func listOf(t *testing.T, text string) *whitelist.List {
	t.Helper()
	list, err := whitelist.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestDoorDeniesByDefault(t *testing.T) {
	d := newDoor(nil, newLogger(io.Discard, false))
	for _, ip := range []string{"127.0.0.1", "::1", "192.0.2.1"} {
		if d.allows(netip.MustParseAddr(ip)) {
			t.Errorf("%s came in before there was a list", ip)
		}
	}
	if d.allows(netip.Addr{}) {
		t.Error("nobody came in")
	}
}

func TestDoorAllowsWhatTheListSays(t *testing.T) {
	d := newDoor(nil, newLogger(io.Discard, false))
	d.admit(listOf(t, "entries: [192.0.2.1, 198.51.100.0/24, '2001:db8::/64', '::ffff:203.0.113.7', not a name]"))
	d.names = map[string][]netip.Addr{"gone.example.com": {netip.MustParseAddr("192.0.2.99")}}
	for ip, want := range map[string]bool{
		"192.0.2.1": true, "::ffff:192.0.2.1": true, "192.0.2.2": false,
		"198.51.100.200": true, "198.51.101.1": false,
		"2001:db8::5": true, "2001:db8:0:1::5": false, "2001:db8::5%eth0": false,
		"203.0.113.7": true, "192.0.2.99": false,
	} {
		if got := d.allows(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s: %v, want %v", ip, got, want)
		}
	}
	if got, _ := d.entries(maxStatusEntries); !slices.Equal(got, []string{"192.0.2.1", "198.51.100.0/24", "2001:db8::/64", "::ffff:203.0.113.7"}) {
		t.Error(got)
	}
}

// names is a DNS that can be changed and can fail.
type names struct {
	mu     sync.Mutex
	ips    map[string][]netip.Addr
	err    error
	asked  int
	within time.Duration
}

func (n *names) lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	if end, ok := ctx.Deadline(); ok {
		n.within = time.Until(end)
	}
	if n.err != nil {
		return nil, n.err
	}
	ips, ok := n.ips[host]
	if !ok {
		return nil, &net.DNSError{Name: host, IsNotFound: true}
	}
	return slices.Clone(ips), nil
}

func (n *names) set(host, ip string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ips = map[string][]netip.Addr{}
	if ip != "" {
		n.ips[host] = []netip.Addr{netip.MustParseAddr(ip)}
	}
	n.err = err
}

func TestHostNamesAreLookedUpInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dns := &names{}
		dns.set("manager.example.com", "::ffff:192.0.2.1", nil)
		d := newDoor(dns.lookup, newLogger(io.Discard, false))
		d.admit(listOf(t, "entries: [Manager.Example.com., manager.example.com]"))
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go d.resolve(ctx)
		old, now := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		check := func(when string, wantOld, wantNow bool) {
			t.Helper()
			synctest.Wait()
			if d.allows(old) != wantOld || d.allows(now) != wantNow {
				t.Errorf("%s: %v %v, want %v %v", when, d.allows(old), d.allows(now), wantOld, wantNow)
			}
		}
		check("at once", true, false)
		dns.set("manager.example.com", "192.0.2.2", nil)
		check("before the next look-up", true, false)
		time.Sleep(resolveEvery)
		check("after it moved", false, true)
		dns.set("manager.example.com", "", errors.New("no answer"))
		time.Sleep(100 * resolveEvery)
		check("while DNS is out", false, true)
		dns.set("manager.example.com", "", nil)
		time.Sleep(resolveEvery)
		check("after it is gone from DNS", false, false)
		dns.set("manager.example.com", "192.0.2.2", nil)
		time.Sleep(resolveEvery)
		check("after it is back", false, true)
		// A new list counts at once.
		asked := dns.asked
		d.admit(listOf(t, "entries: [other.example.com]"))
		check("after the list changed", false, false)
		if dns.asked == asked || dns.within > resolveWithin || dns.within <= 0 {
			t.Errorf("asked %d times, within %s", dns.asked-asked, dns.within)
		}
	})
}

// TestField2_16_LargeWhitelist: 100,000 entries are more than 1 MiB. They are let
// in, and one that cannot be read leaves them in force.
func TestField2_16_LargeWhitelist(t *testing.T) {
	h := newHost(t)
	h.install(h.leaf())
	h.write("whitelist.yaml", largeWhitelist(100_000))
	r := h.start()
	address := r.listening()
	s := r.status(func(s status) bool { return s.WhitelistEntries == 100_001 })
	if len(s.Whitelist) != maxStatusEntries {
		t.Errorf("the status lists %d entries, want %d", len(s.Whitelist), maxStatusEntries)
	}
	for _, broken := range []string{"entries: [", "entries: 5\n", strings.Repeat("#", hostfs.MaxFile+1)} {
		h.write("whitelist.yaml", broken)
		h.eventually(func() bool { return strings.Contains(h.log.String(), "the whitelist is refused") }, func() string { return "refused" })
		if _, err := ask(address, h.clientTLS()); err != nil {
			t.Errorf("under a broken whitelist: %v, want the last good one in force", err)
		}
		h.log.clear()
	}
	h.write("whitelist.yaml", "entries: []\n")
	r.status(func(s status) bool { return s.WhitelistEntries == 0 })
	if _, err := ask(address, h.clientTLS()); err == nil {
		t.Error("a client came in by an empty whitelist")
	}
}

// largeWhitelist lets the tests in, and count other addresses.
func largeWhitelist(count int) string {
	var b strings.Builder
	b.WriteString("entries:\n")
	for i := range count {
		fmt.Fprintf(&b, "  - 10.%d.%d.%d\n", i>>16, i>>8&255, i&255)
	}
	return b.String() + "  - 127.0.0.1\n"
}
