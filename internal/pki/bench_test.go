package pki_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// BenchmarkConverged is what a run that finds all in order does with the
// installed files, on each task of each host.
func BenchmarkConverged(b *testing.B) {
	for _, k := range []pkitest.KeyType{pkitest.P256, pkitest.RSA2048, pkitest.Ed25519} {
		b.Run(string(k), func(b *testing.B) {
			ca := pkitest.NewCA(b, pkitest.Key(k))
			bundle := ca.Issue(b, pkitest.Key(k)).Bundle(b)
			files := [3][]byte{[]byte(bundle.CACrt), []byte(bundle.ServerCrt), []byte(bundle.ServerKey)}
			o := pki.VerifyOptions{Now: time.Now(), FQDN: pkitest.DefaultFQDN, IPs: []netip.Addr{netip.MustParseAddr(pkitest.DefaultIP)}}
			b.ReportAllocs()
			for b.Loop() {
				s, err := pki.ParseFiles(files[0], files[1], files[2], nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := s.Verify(o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
