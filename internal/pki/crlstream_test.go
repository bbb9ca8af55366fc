package pki

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

func crlSeeds(t testing.TB) [][]byte {
	ca, now := pkitest.NewCA(t), time.Now()
	wide := new(big.Int).Lsh(big.NewInt(1), 159)
	list := func(entries ...x509.RevocationListEntry) string {
		return ca.SignCRL(t, &x509.RevocationList{Number: big.NewInt(7), ThisUpdate: now, NextUpdate: now.AddDate(0, 0, 1), RevokedCertificateEntries: entries})
	}
	at := func(n *big.Int) x509.RevocationListEntry {
		return x509.RevocationListEntry{SerialNumber: n, RevocationTime: now}
	}
	odd := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}}
	var seeds [][]byte
	for _, text := range []string{
		list(), list(at(big.NewInt(0)), at(big.NewInt(127)), at(big.NewInt(128)), at(big.NewInt(-1))),
		list(at(wide), at(new(big.Int).Lsh(wide, 1)), at(new(big.Int).Lsh(wide, 9))),
		list(x509.RevocationListEntry{SerialNumber: big.NewInt(5), RevocationTime: now.AddDate(60, 0, 0), ReasonCode: 4}),
		list(x509.RevocationListEntry{SerialNumber: big.NewInt(5), RevocationTime: now, ExtraExtensions: []pkix.Extension{odd}, ReasonCode: 1}),
		ca.Enlarge(t, ca.CRL(t), 300),
	} {
		block, _ := pem.Decode([]byte(text))
		seeds = append(seeds, block.Bytes)
	}
	return seeds
}

// sameAsStandard holds the streaming parser against the standard library's.
func sameAsStandard(t *testing.T, der []byte) {
	t.Helper()
	want, wantErr := x509.ParseRevocationList(der)
	list, entries, err := parseCRL(der)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("got %v, want %v as the standard library for %x", err, wantErr, der)
	}
	if err != nil {
		return
	}
	got := makeCRL(list, entries)
	if !bytes.Equal(got.head.Raw, want.Raw) || !bytes.Equal(got.head.RawTBSRevocationList, want.RawTBSRevocationList) || !bytes.Equal(got.RawIssuer, want.RawIssuer) ||
		!got.ThisUpdate.Equal(want.ThisUpdate) || !got.NextUpdate.Equal(want.NextUpdate) || (got.Number == nil) != (want.Number == nil) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	for _, e := range want.RevokedCertificateEntries {
		if !got.Lists(e.SerialNumber) {
			t.Errorf("%v is not listed", e.SerialNumber)
		}
		if next := new(big.Int).Add(e.SerialNumber, big.NewInt(1)); got.Lists(next) != listed(want, next) {
			t.Errorf("%v: got %v, want %v", next, got.Lists(next), listed(want, next))
		}
	}
}

func listed(l *x509.RevocationList, serial *big.Int) bool {
	for _, e := range l.RevokedCertificateEntries {
		if e.SerialNumber.Cmp(serial) == 0 {
			return true
		}
	}
	return false
}

// TestField2_16_StreamedAsTheStandardParserReads: each seed, each with one byte
// changed anywhere, and each cut off anywhere.
func TestField2_16_StreamedAsTheStandardParserReads(t *testing.T) {
	for _, der := range crlSeeds(t) {
		sameAsStandard(t, der)
		step := 1 + len(der)/400
		for i := 0; i < len(der); i += step {
			for _, flip := range []byte{0x01, 0x80, 0x20} {
				changed := bytes.Clone(der)
				changed[i] ^= flip
				sameAsStandard(t, changed)
			}
			sameAsStandard(t, der[:i])
		}
	}
}

func FuzzStreamedCRL(f *testing.F) {
	for _, der := range crlSeeds(f) {
		f.Add(der)
	}
	f.Fuzz(sameAsStandard)
}
