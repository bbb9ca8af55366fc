package identity

import (
	"net/netip"
	"strings"
)

// parseHosts reads hosts(5): the names of each line, at least one, the canonical
// one first. Lines that are not of its form are skipped.
func parseHosts(data []byte) [][]string {
	var entries [][]string
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if _, err := netip.ParseAddr(fields[0]); err == nil {
			entries = append(entries, fields[1:])
		}
	}
	return entries
}
