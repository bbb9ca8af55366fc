package manager

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

const goodRequest = `{"machine_id":"0123456789abcdef0123456789abcdef","fqdn":"a.example.com","hostname":"a",
"ip_address":"10.0.0.1","ip_addresses":["10.0.0.1","2001:db8::1"],"os_details":{"name":"Debian","version":"13"}}`

// FuzzParseRequest: what is accepted can be issued for, stored and read back
// the same.
func FuzzParseRequest(f *testing.F) {
	for _, seed := range []string{
		goodRequest, `{}`, `null`, `[]`, "", "\x00", `{"machine_id":1}`,
		strings.Replace(goodRequest, "10.0.0.1", "::ffff:10.0.0.1", 1),
		strings.Replace(goodRequest, "10.0.0.1", "fe80::1%eth0", 1),
		strings.Replace(goodRequest, "a.example.com", "xn--bcher-kva.example", 1),
		strings.Replace(goodRequest, `{"name":"Debian","version":"13"}`, "null", 1),
		strings.Replace(goodRequest, `{"name"`, "{ \"\\u0000\" : 1, \"name\"", 1),
	} {
		f.Add([]byte(seed))
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ca := &authority{key: key, rand: rand.Reader}
	if ca.pem, err = ca.selfSign(now); err != nil {
		f.Fatal(err)
	}
	if ca.cert, err = parseCert(ca.pem); err != nil {
		f.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := parseRequest(body)
		if err != nil {
			if strings.ContainsFunc(err.Error(), func(c rune) bool { return c < ' ' || c > '~' }) {
				t.Errorf("the error repeats the body: %q", err)
			}
			return
		}
		raw, err := json.Marshal(storedPending{Pending: p, TokenHash: "x"})
		if err != nil {
			t.Fatal(err)
		}
		var back storedPending
		if err := json.Unmarshal(raw, &back); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(back)
		if err != nil || string(again) != string(raw) {
			t.Errorf("stored %s, read %s, %v, want %v", raw, again, err, string(raw))
		}
		if len(raw) > 16<<10 {
			t.Errorf("a row of %d bytes, want %v at most", len(raw), 16<<10)
		}
		crt, _, _, err := ca.issueHost(hostTemplate(p.FQDN, p.IPAddress, validity{now, now.Add(time.Hour)}, false))
		if err != nil {
			t.Fatal(err)
		}
		c, err := parseCert(crt)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{p.FQDN, p.IPAddress.String()} {
			if _, err := c.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: now}); err != nil {
				t.Errorf("certificate for %q: got %v, want no error", name, err)
			}
		}
	})
}

// FuzzHideSecrets: no token survives, wherever in a path it stands.
func FuzzHideSecrets(f *testing.F) {
	const token = "Xy0Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9StXy0Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St"
	for _, seed := range [][2]string{
		{"/api/v1/enroll/status/", ""}, {"//api/v1/enroll/status//", "/x"}, {"", ""},
		{"/api/v1/enroll/status/x", "y"}, {strings.Repeat("/a", 600), ""}, {strings.Repeat("/a", 507), ""},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, before, after string) {
		got := hideSecrets(before + token + after)
		for i := range len(token) - 11 {
			piece := token[i : i+12]
			if strings.Contains(got, piece) && !strings.Contains(before, piece) && !strings.Contains(after, piece) {
				t.Errorf("%q is in %q", piece, got)
			}
		}
		for part := range strings.SplitSeq(got, "/") {
			if len(part) > 36 {
				t.Errorf("a part of %d characters, want 36 at most", len(part))
			}
		}
	})
}

// FuzzParseCSR: an accepted request has a name that fits a certificate.
func FuzzParseCSR(f *testing.F) {
	f.Add("")
	f.Add("-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		cn, pub, err := parseCSR(text)
		if err == nil && (pub == nil || cn == "" || len(cn) > 64) {
			t.Errorf("accepted %q", cn)
		}
	})
}
