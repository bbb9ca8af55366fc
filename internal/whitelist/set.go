package whitelist

import (
	"net/netip"
	"slices"
)

// Set holds the addresses that a list's IP and CIDR entries let in. A look-up
// takes the same time for one entry as for many.
type Set struct {
	// disjoint are the networks in their order; none lies in another.
	disjoint []netip.Prefix
}

// Set makes the set of l.
func (l *List) Set() Set {
	var all []netip.Prefix
	for _, e := range l.Entries {
		if e.Prefix.IsValid() {
			all = append(all, e.Prefix)
		}
	}
	// A network comes before what lies in it.
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	kept := all[:0]
	for _, p := range all {
		if len(kept) == 0 || !kept[len(kept)-1].Contains(p.Addr()) {
			kept = append(kept, p)
		}
	}
	return Set{slices.Clip(kept)}
}

// Contains reports whether ip is let in, by the rules of List.Covering.
func (s Set) Contains(ip netip.Addr) bool {
	if ip.Zone() != "" {
		return false
	}
	ip = ip.Unmap()
	at, found := slices.BinarySearchFunc(s.disjoint, ip, func(p netip.Prefix, ip netip.Addr) int { return p.Addr().Compare(ip) })
	return found || at > 0 && s.disjoint[at-1].Contains(ip)
}
