package identity

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/plaintext"
)

const addressHint = "set report_ip to the address by which the manager reaches this host, or report_interface"

// insideKinds are the kinds of interface whose addresses are known to this host
// alone, or to containers, guests and tunnels on it. No range of addresses says
// that: 172.16.0.0/12 is a real network elsewhere.
var insideKinds = map[string]bool{
	"bridge": true, "veth": true, "dummy": true, "ifb": true, "tun": true, "wireguard": true, "vxlan": true, "geneve": true,
	"gre": true, "gretap": true, "ip6gre": true, "ip6gretap": true, "erspan": true, "ip6erspan": true, "ipip": true, "ip6tnl": true,
	"sit": true, "vti": true, "vti6": true, "xfrm": true, "netkit": true, "nlmon": true, "vrf": true,
}

// addresses returns the address to be reached by, and all global ones. The
// first is the option, else that of the named interface, else the local address
// of the route to the manager, else the first global one.
func (s Source) addresses(ctx context.Context, o Options, w *warnings) (netip.Addr, []netip.Addr, error) {
	interfaces, err := s.Interfaces()
	if err != nil {
		w.add("the network interfaces can't be listed: %v", err)
	}
	global := globalAddresses(interfaces)
	ip, err := s.address(ctx, o, interfaces, global, w)
	if err != nil {
		return netip.Addr{}, nil, err
	}
	others := slices.DeleteFunc(global, func(a netip.Addr) bool { return a == ip })
	return ip, append([]netip.Addr{ip}, others...), nil
}

func (s Source) address(ctx context.Context, o Options, interfaces []Interface, global []netip.Addr, w *warnings) (netip.Addr, error) {
	if o.ReportIP != "" {
		ip, err := netip.ParseAddr(o.ReportIP)
		if err != nil || ip.Zone() != "" || ip.IsUnspecified() || ip.IsMulticast() || ip.Unmap() == broadcast {
			return netip.Addr{}, contract.Errorf(contract.CodeInvalidArgument, "%sreport_ip is not the address of a host%s", o.ReportedIn, plaintext.Got(o.ReportIP))
		}
		return ip.Unmap(), nil
	}
	if o.ReportInterface != "" {
		return addressOf(o, interfaces)
	}
	var routed netip.Addr
	if o.Manager != "" {
		ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
		defer cancel()
		var err error
		if routed, err = s.Route(ctx, o.Manager); err != nil {
			w.add("no route to %s was found, so that the first global address is sent: %v", o.Manager, err)
		} else if isGlobal(routed) {
			return routed, nil
		}
	}
	if len(global) > 0 {
		return global[0], nil
	}
	if routed.IsValid() {
		w.add("this host has no global address, so %s is sent, which other hosts can't reach", routed)
		return routed, nil
	}
	return netip.Addr{}, contract.Errorf(contract.CodeIdentity, "this host has no global address").WithHint(addressHint)
}

// addressOf returns the first global address of the interface, IPv4 first.
func addressOf(o Options, interfaces []Interface) (netip.Addr, error) {
	var names []string
	for _, i := range interfaces {
		if i.Name != o.ReportInterface {
			names = append(names, i.Name)
			continue
		}
		for _, a := range sorted(i.Addrs) {
			if isGlobal(a) {
				return a, nil
			}
		}
		return netip.Addr{}, contract.Errorf(contract.CodeIdentity, "%sreport_interface: %s has no global address", o.ReportedIn, i.Name).WithHint(addressHint)
	}
	return netip.Addr{}, contract.Errorf(contract.CodeIdentity, "%sreport_interface: there is no interface %q, but there are: %s",
		o.ReportedIn, clean(o.ReportInterface), strings.Join(names, ", ")).WithHint(addressHint)
}

// globalAddresses returns the addresses that others may reach, IPv4 first. Only
// a host without any, such as a container, whose one interface is a veth, has
// those of its inside interfaces looked at.
func globalAddresses(interfaces []Interface) []netip.Addr {
	var outside, inside []netip.Addr
	for _, i := range interfaces {
		if !i.Up {
			continue
		}
		to := &outside
		if isInside(i, interfaces) {
			to = &inside
		}
		for _, a := range i.Addrs {
			if isGlobal(a) && !slices.Contains(*to, a) {
				*to = append(*to, a)
			}
		}
	}
	if len(outside) == 0 {
		return sorted(inside)
	}
	return sorted(outside)
}

// isInside says whether an interface leads nowhere but into this host. A bridge
// leads outside if one of its ports does.
func isInside(i Interface, all []Interface) bool {
	if i.Kind == "bridge" {
		return !slices.ContainsFunc(all, func(port Interface) bool {
			return port.Master == i.Index && !insideKinds[port.Kind]
		})
	}
	return i.Loopback || insideKinds[i.Kind]
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

func isGlobal(a netip.Addr) bool { return a.IsGlobalUnicast() && a != broadcast }

// sorted puts IPv4 first: the agent listens on 0.0.0.0 unless told otherwise.
func sorted(addrs []netip.Addr) []netip.Addr {
	addrs = slices.Clone(addrs)
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int { return cmp.Compare(a.BitLen(), b.BitLen()) })
	return addrs
}
