package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var errCRL = errors.New("malformed crl")

// crlEntries are entries that were judged.
type crlEntries struct {
	der   []byte
	count int
}

func makeCRL(list *CRLHead, entries crlEntries) *CRL {
	c := &CRL{CRLHead: *list, entries: entries.der, serials: makeSerials(entries.count)}
	eachSerial(entries.der, c.serials.add)
	c.serials.sort()
	return c
}

// parseCRL accepts what x509.ParseRevocationList accepts: that parser is given
// the list without its entries, and these are walked here by its rules.
func parseCRL(der []byte) (list *CRLHead, entries crlEntries, err error) {
	p, ok := cutEntries(der)
	if !ok {
		return nil, entries, errCRL
	}
	head, err := x509.ParseRevocationList(p.withoutEntries())
	if err != nil {
		return nil, entries, err
	}
	head.RawTBSRevocationList, head.Raw = p.tbs, der[:len(der)-trailing(der)]
	list = &CRLHead{
		Number: head.Number, ThisUpdate: head.ThisUpdate, NextUpdate: head.NextUpdate, RawIssuer: head.RawIssuer,
		head:    head,
		partial: slices.ContainsFunc(head.Extensions, func(e pkix.Extension) bool { return e.Critical }),
	}
	entries.der = p.entries
	err = eachEntry(p.entries, func([]byte, time.Time) { entries.count++ })
	return list, entries, err
}

// crlParts are a CRL taken apart (RFC 5280, 5.1).
type crlParts struct {
	// tbs is the signed part: what stands before its entries, the entries and
	// what stands after them. outer is what follows the signed part.
	tbs, before, entries, after, outer cryptobyte.String
}

// cutEntries judges no more than what it takes to find the entries.
func cutEntries(der []byte) (p crlParts, ok bool) {
	input := cryptobyte.String(der)
	if !input.ReadASN1(&p.outer, cryptobyte_asn1.SEQUENCE) || !p.outer.ReadASN1Element(&p.tbs, cryptobyte_asn1.SEQUENCE) {
		return p, false
	}
	var content, skipped cryptobyte.String
	signed := p.tbs
	if !signed.ReadASN1(&content, cryptobyte_asn1.SEQUENCE) {
		return p, false
	}
	p.after = content
	// version, signature, issuer, thisUpdate
	for range 4 {
		if !p.after.ReadAnyASN1Element(&skipped, new(cryptobyte_asn1.Tag)) {
			return p, false
		}
	}
	if p.after.PeekASN1Tag(cryptobyte_asn1.GeneralizedTime) || p.after.PeekASN1Tag(cryptobyte_asn1.UTCTime) {
		if !p.after.ReadAnyASN1Element(&skipped, new(cryptobyte_asn1.Tag)) {
			return p, false
		}
	}
	p.before = content[:len(content)-len(p.after)]
	return p, p.after.ReadOptionalASN1(&p.entries, nil, cryptobyte_asn1.SEQUENCE)
}

func (p crlParts) withoutEntries() []byte {
	sequence := func(content ...[]byte) []byte {
		// It fails for no bytes.
		der, _ := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: slices.Concat(content...)})
		return der
	}
	return sequence(sequence(p.before, p.after), p.outer)
}

// trailing is how many bytes follow the list.
func trailing(der []byte) int {
	input := cryptobyte.String(der)
	var list cryptobyte.String
	_ = input.ReadASN1Element(&list, cryptobyte_asn1.SEQUENCE)
	return len(input)
}

// eachEntry walks the entries of a CRL as x509.ParseRevocationList does, and
// gives the content octets of each serial number.
func eachEntry(entries []byte, do func(serial []byte, at time.Time)) error {
	for rest := cryptobyte.String(entries); !rest.Empty(); {
		var entry, serial, extensions cryptobyte.String
		var present bool
		if !rest.ReadASN1(&entry, cryptobyte_asn1.SEQUENCE) {
			return errCRL
		}
		if !readInteger(&entry, &serial) {
			return errors.New("malformed serial number")
		}
		at, ok := readTime(&entry)
		if !ok {
			return errors.New("malformed revocation time")
		}
		if !entry.ReadOptionalASN1(&extensions, &present, cryptobyte_asn1.SEQUENCE) || !checkEntryExtensions(extensions) {
			return errors.New("malformed extension of an entry")
		}
		do(serial, at)
	}
	return nil
}

// eachSerial is eachEntry for entries that it has judged.
func eachSerial(entries []byte, do func(serial []byte)) {
	for rest := cryptobyte.String(entries); !rest.Empty(); {
		var entry, serial cryptobyte.String
		if !rest.ReadASN1(&entry, cryptobyte_asn1.SEQUENCE) || !entry.ReadASN1(&serial, cryptobyte_asn1.INTEGER) {
			return
		}
		do(serial)
	}
}

// readInteger reads an INTEGER in its shortest form (X.690, 8.3.2).
func readInteger(from, content *cryptobyte.String) bool {
	if !from.ReadASN1(content, cryptobyte_asn1.INTEGER) || len(*content) == 0 {
		return false
	}
	b := *content
	return len(b) == 1 || !(b[0] == 0 && b[1]&0x80 == 0 || b[0] == 0xff && b[1]&0x80 != 0)
}

func readTime(from *cryptobyte.String) (at time.Time, ok bool) {
	if at, ok = readPlainTime(from); ok {
		return at, true
	}
	if from.PeekASN1Tag(cryptobyte_asn1.UTCTime) {
		return at, from.ReadASN1UTCTime(&at)
	}
	return at, from.ReadASN1GeneralizedTime(&at)
}

// readPlainTime reads a UTCTime as nearly all are, and leaves others to the
// general parser, whose layouts would take most of the time of a large list.
func readPlainTime(from *cryptobyte.String) (at time.Time, ok bool) {
	const header, digits = 2, 12
	b := *from
	if len(b) < header+digits+1 || b[0] != byte(cryptobyte_asn1.UTCTime) || b[1] != digits+1 || b[header+digits] != 'Z' {
		return at, false
	}
	var two [digits / 2]int
	for i := range two {
		tens, ones := b[header+2*i]-'0', b[header+2*i+1]-'0'
		if tens > 9 || ones > 9 {
			return at, false
		}
		two[i] = int(tens)*10 + int(ones)
	}
	year, month, day, hour, minute, second := 2000+two[0], two[1], two[2], two[3], two[4], two[5]
	// How long a month is, the general parser knows.
	if month < 1 || month > 12 || day < 1 || day > 28 || hour > 23 || minute > 59 || second > 59 {
		return at, false
	}
	if year >= 2050 {
		year -= 100
	}
	*from = b[header+digits+1:]
	return time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC), true
}

func checkEntryExtensions(extensions cryptobyte.String) bool {
	reason := asn1.ObjectIdentifier{2, 5, 29, 21}
	for !extensions.Empty() {
		var extension, value cryptobyte.String
		var id asn1.ObjectIdentifier
		var critical bool
		var code int
		if !extensions.ReadASN1(&extension, cryptobyte_asn1.SEQUENCE) || !extension.ReadASN1ObjectIdentifier(&id) ||
			extension.PeekASN1Tag(cryptobyte_asn1.BOOLEAN) && !extension.ReadASN1Boolean(&critical) ||
			!extension.ReadASN1(&value, cryptobyte_asn1.OCTET_STRING) ||
			id.Equal(reason) && !value.ReadASN1Enum(&code) {
			return false
		}
	}
	return true
}

// derInteger returns the content octets of an INTEGER.
func derInteger(n *big.Int) []byte {
	var b cryptobyte.Builder
	b.AddASN1BigInt(n)
	der := cryptobyte.String(b.BytesOrPanic())
	var content cryptobyte.String
	der.ReadASN1(&content, cryptobyte_asn1.INTEGER)
	return content
}
