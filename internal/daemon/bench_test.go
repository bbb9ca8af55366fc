package daemon

import (
	"fmt"
	"testing"
)

// BenchmarkHandshake is one connection and one request, by how many
// certificates the CRL lists.
func BenchmarkHandshake(b *testing.B) {
	for _, c := range []struct {
		name  string
		count int
	}{{"revoked=0", 0}, {"revoked=1000000", 1_000_000}} {
		b.Run(c.name, func(b *testing.B) {
			h := newHost(b)
			h.install(h.leaf())
			h.log.discard = true
			if c.count > 0 {
				h.write("certs/crl.pem", h.ca.LargeCRL(b, c.count))
			}
			address := h.start().listening()
			config := h.clientTLS()
			for b.Loop() {
				if _, err := ask(address, config); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAccept is one connection and one request, by how many entries the
// whitelist has.
func BenchmarkAccept(b *testing.B) {
	for _, count := range []int{1, 100_000} {
		b.Run(fmt.Sprintf("entries=%d", count), func(b *testing.B) {
			h := newHost(b)
			h.install(h.leaf())
			h.log.discard = true
			h.write("whitelist.yaml", largeWhitelist(count-1))
			address := h.start().listening()
			config := h.clientTLS()
			for b.Loop() {
				if _, err := ask(address, config); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
