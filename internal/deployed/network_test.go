package deployed_test

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/deployed"
)

// The address that a host reports is that of the connection which carries the
// request, IPv4 where both work.
func TestField1_3_AddressOfTheConnectionOnRealLinks(t *testing.T) {
	const name = "manager.example.test"
	for number, c := range []struct {
		title      string
		has4, has6 bool
		listens6   bool
		names      func(*deployed.Network) []netip.Addr
		want       func(*deployed.Network) netip.Addr
	}{
		{"A and AAAA, manager on IPv4 only", true, true, false,
			func(n *deployed.Network) []netip.Addr { return []netip.Addr{n.Manager6, n.Manager4} },
			func(n *deployed.Network) netip.Addr { return n.Host4 }},
		{"AAAA leads nowhere", true, true, false,
			func(n *deployed.Network) []netip.Addr { return []netip.Addr{n.Nowhere6, n.Manager4} },
			func(n *deployed.Network) netip.Addr { return n.Host4 }},
		{"A only", true, false, false,
			func(n *deployed.Network) []netip.Addr { return []netip.Addr{n.Manager4} },
			func(n *deployed.Network) netip.Addr { return n.Host4 }},
		{"AAAA only, on a host with both", true, true, true,
			func(n *deployed.Network) []netip.Addr { return []netip.Addr{n.Manager6} },
			func(n *deployed.Network) netip.Addr { return n.Host6 }},
		{"IPv6 only", false, true, true,
			func(n *deployed.Network) []netip.Addr { return []netip.Addr{n.Manager6} },
			func(n *deployed.Network) netip.Addr { return n.Host6 }},
		{"A leads to nobody, manager on IPv6 only", true, true, true,
			func(n *deployed.Network) []netip.Addr { return []netip.Addr{n.Manager4, n.Manager6} },
			func(n *deployed.Network) netip.Addr { return n.Host6 }},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			n := deployed.NewNetwork(t, number, c.has4, c.has6)
			n.Names(t, name, c.names(n)...)
			at := n.Manager4
			if c.listens6 {
				at = n.Manager6
			}
			s := newSite(t, net.JoinHostPort(at.String(), "0"), name)
			s.within = n
			r := s.must("pending")
			got := s.manager.Requests()[0]
			if want := c.want(n).String(); got.IPAddress != want || got.Peer != want {
				t.Errorf("got %s from %s, want %s", got.IPAddress, got.Peer, want)
			}
			if warned := strings.Contains(strings.Join(r.Warnings, "\n"), "IPv6"); warned != c.listens6 {
				t.Errorf("got warnings %q, want one of IPv6: %t", r.Warnings, c.listens6)
			}
			s.must("pending")
			s.approve()
			s.must("enrolled")
			if !c.listens6 {
				s.deployedAgentStarts(n.Manager4)
			}
		})
	}
}

// The agent does so too.
func TestField1_3_AgentReportsTheAddressOfTheConnection(t *testing.T) {
	const name = "manager.example.test"
	n := deployed.NewNetwork(t, 100, true, true)
	n.Names(t, name, n.Nowhere6, n.Manager4)
	s := newSite(t, net.JoinHostPort(n.Manager4.String(), "0"), name)
	s.within = n
	a := s.startAgent()
	s.waitRequest()
	if got := s.manager.Requests()[0]; got.IPAddress != n.Host4.String() {
		t.Errorf("got %s, want %s", got.IPAddress, n.Host4)
	}
	s.approve()
	a.until("listening")
	a.untilDone(s.ended, func() {})
	s.deployedAgentStarts(n.Manager4)
}
