package identity

import (
	"net/netip"
	"strings"
)

// hostsEntry is one line of hosts(5).
type hostsEntry struct {
	addr  netip.Addr
	names []string // at least one, the canonical one first
}

// parseHosts reads hosts(5), and skips lines that are not of its form.
func parseHosts(data []byte) []hostsEntry {
	var entries []hostsEntry
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if addr, err := netip.ParseAddr(fields[0]); err == nil {
			entries = append(entries, hostsEntry{addr, fields[1:]})
		}
	}
	return entries
}
