package pki_test

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

func TestFactsAsJSON(t *testing.T) {
	begin := time.Date(2030, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	leaf := pkitest.NewCA(t).Issue(t, pkitest.Serial(0xbeef), pkitest.Valid(begin, begin.AddDate(1, 0, 0)),
		pkitest.IP("192.0.2.10", "2001:db8::1"), pkitest.Template(func(c *x509.Certificate) {
			c.EmailAddresses = []string{"root@example.test"}
			c.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.test", Path: "/host"}}
		}))
	got, err := json.Marshal(pki.FactsOf(leaf.Cert))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"subject":"CN=host.example.test-server","issuer":"CN=Test CA","serial":"beef","fingerprint":"%s",`+
		`"not_before":"2030-01-02T02:04:05Z","not_after":"2031-01-02T02:04:05Z",`+
		`"san":["DNS:host.example.test","IP:192.0.2.10","IP:2001:db8::1","email:root@example.test","URI:spiffe://example.test/host"]}`,
		pki.Fingerprint(leaf.Cert.Raw))
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	bare, err := json.Marshal(pki.FactsOf(pkitest.NewCA(t).Issue(t, pkitest.DNS(), pkitest.IP()).Cert))
	if err != nil || !strings.Contains(string(bare), `"san":[]`) {
		t.Errorf(`without SAN: got %s, %v, want "san":[] in it`, bare, err)
	}
}

func TestHostileNamesAreTamed(t *testing.T) {
	names := make([]string, 100)
	for i := range names {
		names[i] = fmt.Sprintf("n%d.example.test", i)
	}
	cn := "a\nmsg: all is well\x1b[2J\u202e\u2028\x00" + strings.Repeat("x", 5000)
	c := pkitest.NewCA(t, pkitest.Name(cn)).Issue(t, pkitest.Name(cn), pkitest.DNS(names...)).Cert
	f := pki.FactsOf(c)
	for _, text := range append([]string{f.Subject, f.Issuer}, f.SAN...) {
		assertTame(t, text)
	}
	if n := len([]rune(f.Subject)); n > 300 {
		t.Errorf("a subject of %d characters, want 300 at most", n)
	}
	if n := len(f.SAN); n != 65 || f.SAN[64] != "and 37 more" {
		t.Errorf(`got %d SAN entries, the last %q, want 65, "and 37 more"`, n, f.SAN[n-1])
	}
	if lines := strings.Split(pki.DescribeCertificate([]byte(pemOf("CERTIFICATE", c.Raw))), "\n"); !strings.HasPrefix(lines[1], "issuer: ") {
		t.Errorf(`the subject broke out of its line: got %q, want "issuer: " first`, lines[:2])
	}
}

func assertTame(t testing.TB, text string) {
	t.Helper()
	if i := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) && r != unicode.ReplacementChar }); i >= 0 {
		t.Errorf("unprintable text: got %q, want less than 0", text)
	}
}

func TestNormalizeFingerprint(t *testing.T) {
	plain := strings.Repeat("0123456789abcdef", 4)
	colons := strings.Join(slices.Collect(func(yield func(string) bool) {
		for i := 0; i < 64; i += 2 {
			if !yield(plain[i : i+2]) {
				return
			}
		}
	}), ":")
	for _, good := range []string{
		plain, strings.ToUpper(plain), colons, strings.ToUpper(colons), " " + plain + "\n",
		"sha256:" + plain, "SHA256:" + colons, "SHA256: " + colons, "SHA-256:" + plain,
		"SHA256 Fingerprint=" + strings.ToUpper(colons), "sha256 Fingerprint=" + colons,
	} {
		if got, err := pki.NormalizeFingerprint(good); err != nil || got != plain {
			t.Errorf("%q: got %q, %v, want %v", good, got, err, plain)
		}
	}
	for _, bad := range []string{
		"", "sha256:", plain[:62], plain + "00", plain[:63] + "g", "sha1:" + plain[:40], plain[:40],
		strings.Replace(colons, ":", "", 1), colons + ":", ":" + colons, strings.Repeat(":", 31),
		strings.Replace(colons, ":", "-", 1), "SHA256:" + strings.Repeat("A", 43), "\x1b[2J",
	} {
		got, err := pki.NormalizeFingerprint(bad)
		if err == nil {
			t.Errorf("%q was taken as %q, want an error", bad, got)
			continue
		}
		assertTame(t, err.Error())
	}
}
