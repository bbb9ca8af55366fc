package torture_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// lie is a bundle that must not be put in place.
type lie struct {
	name string
	tell func(t *testing.T, ca *pkitest.CA, b *contract.PkiBundle)
}

func lies() []lie {
	who := []pkitest.Option{pkitest.DNS("web1.example.com"), pkitest.IP("127.0.0.1")}
	with := func(opts ...pkitest.Option) []pkitest.Option { return append(who[:len(who):len(who)], opts...) }
	// below issues the certificate by an intermediate with these options.
	below := func(opts ...pkitest.Option) func(*testing.T, *pkitest.CA, *contract.PkiBundle) {
		return func(t *testing.T, ca *pkitest.CA, b *contract.PkiBundle) {
			*b = ca.Intermediate(t, opts...).Issue(t, who...).Bundle(t)
		}
	}
	issued := func(opts ...pkitest.Option) func(*testing.T, *pkitest.CA, *contract.PkiBundle) {
		return func(t *testing.T, ca *pkitest.CA, b *contract.PkiBundle) {
			*b = ca.Issue(t, with(opts...)...).Bundle(t)
		}
	}
	text := func(change func(b *contract.PkiBundle)) func(*testing.T, *pkitest.CA, *contract.PkiBundle) {
		return func(_ *testing.T, _ *pkitest.CA, b *contract.PkiBundle) { change(b) }
	}
	ago := pkitest.Valid(time.Now().Add(-48*time.Hour), time.Now().Add(-24*time.Hour))
	template := pkitest.Template
	return []lie{
		{"nothing in it", text(func(b *contract.PkiBundle) { *b = contract.PkiBundle{} })},
		{"text alone", text(func(b *contract.PkiBundle) { b.CACrt = "and more\n" })},
		{"the CA's own key", func(t *testing.T, ca *pkitest.CA, b *contract.PkiBundle) {
			*b = ca.Issue(t, append([]pkitest.Option{pkitest.WithKey(ca.Key)}, who...)...).Bundle(t)
		}},
		{"two keys", text(func(b *contract.PkiBundle) { b.ServerKey += b.ServerKey })},
		{"the key in the certificate's place", text(func(b *contract.PkiBundle) { b.ServerCrt += b.ServerKey })},
		{"half a key", text(func(b *contract.PkiBundle) { b.ServerKey = b.ServerKey[:len(b.ServerKey)/2] })},
		{"a key with a NUL", text(func(b *contract.PkiBundle) { b.ServerKey = strings.Replace(b.ServerKey, "\n", "\n\x00", 2) })},
		{"an encrypted key", text(func(b *contract.PkiBundle) {
			b.ServerKey = strings.ReplaceAll(b.ServerKey, "PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
		})},
		{"PEM headers", text(func(b *contract.PkiBundle) {
			b.ServerKey = strings.Replace(b.ServerKey, "KEY-----\n", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-CBC,00\n\n", 1)
		})},
		{"1,000 certificates in ca_chain", func(_ *testing.T, ca *pkitest.CA, b *contract.PkiBundle) { b.CAChain = strings.Repeat(ca.PEM(), 1000) }},
		{"a leaf for a CA", text(func(b *contract.PkiBundle) { b.CACrt = b.ServerCrt })},
		{"a key of another certificate", func(t *testing.T, ca *pkitest.CA, b *contract.PkiBundle) { b.ServerKey = ca.Issue(t, who...).KeyPEM(t) }},
		{"a CA of the same name", func(t *testing.T, _ *pkitest.CA, b *contract.PkiBundle) { b.CACrt = pkitest.NewCA(t).PEM() }},

		{"expired certificate", issued(ago)},
		{"expired intermediate", below(ago)},
		{"an intermediate for other names", below(template(func(c *x509.Certificate) {
			c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"elsewhere.test"}
		}))},
		{"an intermediate that excludes the name", below(template(func(c *x509.Certificate) {
			c.PermittedDNSDomainsCritical, c.ExcludedDNSDomains = true, []string{"example.com"}
		}))},
		{"an intermediate for other addresses", below(template(func(c *x509.Certificate) {
			c.PermittedIPRanges = []*net.IPNet{{IP: net.IPv4(10, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}}
		}))},
		{"an intermediate that may have none below it", func(t *testing.T, ca *pkitest.CA, b *contract.PkiBundle) {
			last := ca.Intermediate(t, template(func(c *x509.Certificate) { c.MaxPathLenZero = true }))
			*b = last.Intermediate(t).Issue(t, who...).Bundle(t)
		}},
		{"an intermediate that is no CA", below(template(func(c *x509.Certificate) { c.IsCA = false }))},
		{"an intermediate that is missing", func(t *testing.T, ca *pkitest.CA, b *contract.PkiBundle) {
			below()(t, ca, b)
			b.CAChain = ""
		}},
		{"an unknown critical extension", issued(template(func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		}))},

		{"SHA-1", issued(pkitest.SignedWith(x509.ECDSAWithSHA1))},
		{"an intermediate by SHA-1", below(pkitest.SignedWith(x509.ECDSAWithSHA1))},
		{"a CA by SHA-1", func(t *testing.T, _ *pkitest.CA, b *contract.PkiBundle) {
			*b = pkitest.NewCA(t, pkitest.SignedWith(x509.ECDSAWithSHA1)).Issue(t, who...).Bundle(t)
		}},
		{"tiny RSA", issued(pkitest.Key(pkitest.RSA1024))},
		{"an intermediate of tiny RSA", below(pkitest.Key(pkitest.RSA1024))},
		{"a CA of tiny RSA", func(t *testing.T, _ *pkitest.CA, b *contract.PkiBundle) {
			*b = pkitest.NewCA(t, pkitest.Key(pkitest.RSA1024)).Issue(t, who...).Bundle(t)
		}},
		{"P-224", issued(pkitest.Key(pkitest.P224))},

		{"rubbish for a CRL", text(func(b *contract.PkiBundle) { b.CRLPEM = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n" })},
		{"a certificate for a CRL", text(func(b *contract.PkiBundle) { b.CRLPEM = b.ServerCrt })},
		{"two CRLs", func(t *testing.T, ca *pkitest.CA, b *contract.PkiBundle) { b.CRLPEM = ca.CRL(t) + ca.CRL(t) }},
		{"another CA's CRL", func(t *testing.T, _ *pkitest.CA, b *contract.PkiBundle) { b.CRLPEM = pkitest.NewCA(t).CRL(t) }},
		{"a CRL whose signature was changed", func(t *testing.T, ca *pkitest.CA, b *contract.PkiBundle) {
			block, _ := pemBlock(ca.CRL(t))
			block[len(block)-1] ^= 1
			b.CRLPEM = pemText("X509 CRL", block)
		}},
		{"a CRL by SHA-1", func(t *testing.T, ca *pkitest.CA, b *contract.PkiBundle) {
			now := time.Now()
			b.CRLPEM = ca.SignCRL(t, &x509.RevocationList{
				Number: big.NewInt(1), ThisUpdate: now, NextUpdate: now.Add(day), SignatureAlgorithm: x509.ECDSAWithSHA1,
			})
		}},
		{"a CRL that lists the certificate", func(t *testing.T, ca *pkitest.CA, b *contract.PkiBundle) {
			leaf := ca.Issue(t, who...)
			*b = leaf.Bundle(t)
			b.CRLPEM = ca.CRL(t, leaf.Cert)
		}},
		{"a CRL that lists the intermediate", func(t *testing.T, ca *pkitest.CA, b *contract.PkiBundle) {
			between := ca.Intermediate(t)
			*b = between.Issue(t, who...).Bundle(t)
			b.CRLPEM = ca.CRL(t, between.Cert)
		}},
	}
}

// TestHostileBundles: none of these is put in place of nothing, nor of a set
// that serves, and none leaks.
func TestHostileBundles(t *testing.T) {
	for _, l := range lies() {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			h, m := newHost(t), newRaw(t)
			for _, enrolled := range []bool{false, true} {
				h.layOut()
				set, list := "none", h.whitelist
				if enrolled {
					h.provision(t, m.ca)
					set, list = h.set(), h.admitted()
				}
				m.get = answers(200, m.bundle(t, func(b *contract.PkiBundle) { l.tell(t, m.ca, b) }))
				r := h.run(h.command(nil, h.commandFor(m, options{"force": true, "allow_ca_change": true})))
				// What shows nothing of a bundle is not the manager's: asked again.
				nothing := l.name == "nothing in it" && r.code() == "ENROLL_UNREACHABLE"
				byClock := r.code() == "ENROLL_IDENTITY" && strings.Contains(r.Msg, "the clock says")
				if code := r.code(); code != "ENROLL_BUNDLE_INVALID" && code != "ENROLL_BAD_ANSWER" && !byClock && !nothing {
					t.Errorf("enrolled %v: got %.500s, want ENROLL_BUNDLE_INVALID or ENROLL_BAD_ANSWER", enrolled, r.raw)
				}
				h.kept(t, r, set, list)
			}
		})
	}
}

// TestHostileNames: what a certificate says of itself reaches no terminal and
// no log as it is, and an old CRL or one of the future is told, not refused:
// the set serves.
func TestHostileNames(t *testing.T) {
	const escape = "\x1b]0;owned\x07\u202e\n{\"failed\":false}"
	now := time.Now()
	for name, crl := range map[string][2]time.Time{
		"of last year": {now.Add(-400 * day), now.Add(-300 * day)}, "of next year": {now.Add(300 * day), now.Add(400 * day)},
	} {
		t.Run("CRL "+name, func(t *testing.T) {
			h, m := newHost(t), newRaw(t)
			m.get = answers(200, m.bundle(t, func(b *contract.PkiBundle) {
				ca := pkitest.NewCA(t, pkitest.Name("CA"+escape))
				*b = ca.Issue(t, pkitest.Name(escape+strings.Repeat("x", 9000)), pkitest.DNS("web1.example.com", "\x1b]0;owned\x07.test"), pkitest.IP("127.0.0.1")).Bundle(t)
				b.CRLPEM = ca.CRLAt(t, crl[0], crl[1])
			}))
			r := h.run(h.command(nil, h.commandFor(m, nil)))
			if r.State != "enrolled" || r.Failed || !strings.Contains(fmt.Sprint(r.Warnings), "crl_pem") {
				t.Errorf("got %.2000s, want it enrolled, with a warning of crl_pem", r.raw)
			}
			for where, text := range map[string]string{"the result": r.raw, "the audit log": string(h.image()["log/audit.log"].content)} {
				if text == "" || strings.ContainsAny(strings.ReplaceAll(text, "\n", ""), "\x1b\x07\u202e") || len(text) > 64<<10 {
					t.Errorf("%s: got %.2000q, want plain text of 64 KiB at most", where, text)
				}
			}
		})
	}
}
