package pki_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

func here(now time.Time) pki.VerifyOptions {
	return pki.VerifyOptions{
		Now:  now,
		FQDN: pkitest.DefaultFQDN,
		IPs:  []netip.Addr{netip.MustParseAddr(pkitest.DefaultIP)},
	}
}

func TestVerifyAcceptsWithoutWarnings(t *testing.T) {
	now := time.Now()
	root := pkitest.NewCA(t)
	rsaCA := pkitest.NewCA(t, pkitest.Key(pkitest.RSA2048))
	shared := pkitest.NewKey(t, pkitest.P256)
	renewed := root.Intermediate(t, pkitest.WithKey(shared))
	outdated := root.Intermediate(t, pkitest.WithKey(shared), pkitest.Valid(now.AddDate(-2, 0, 0), now.AddDate(-1, 0, 0)))
	for _, c := range []struct {
		name   string
		bundle func() contract.PkiBundle
	}{
		{"as deployed", func() contract.PkiBundle { return root.Issue(t).Bundle(t) }},
		{"RSA", func() contract.PkiBundle { return rsaCA.Issue(t, pkitest.Key(pkitest.RSA2048)).Bundle(t) }},
		{"RSA-PSS", func() contract.PkiBundle { return rsaCA.Issue(t, pkitest.SignedWith(x509.SHA256WithRSAPSS)).Bundle(t) }},
		{"two intermediates", func() contract.PkiBundle { return root.Intermediate(t).Intermediate(t).Issue(t).Bundle(t) }},
		{"chain in the wrong order", func() contract.PkiBundle {
			one := root.Intermediate(t, pkitest.Name("one"))
			two := one.Intermediate(t, pkitest.Name("two"))
			b := two.Issue(t).Bundle(t)
			b.CAChain = one.PEM() + two.PEM()
			return b
		}},
		{"an expired twin of the intermediate", func() contract.PkiBundle {
			b := renewed.Issue(t).Bundle(t)
			b.CAChain = outdated.PEM() + renewed.PEM()
			return b
		}},
		{"certificate backdated before its CA", func() contract.PkiBundle {
			return root.Issue(t, pkitest.Valid(now.AddDate(0, 0, -7), now.AddDate(0, 3, 0))).Bundle(t)
		}},
		{"a name that the constraint permits", func() contract.PkiBundle {
			return root.Intermediate(t, permitDNS("example.test")).Issue(t).Bundle(t)
		}},
		{"an anchor that is itself an intermediate", func() contract.PkiBundle {
			b := renewed.Issue(t).Bundle(t)
			b.CACrt, b.CAChain = renewed.PEM(), ""
			return b
		}},
		{"any extended key usage", func() contract.PkiBundle {
			return root.Issue(t, pkitest.EKU(x509.ExtKeyUsageAny)).Bundle(t)
		}},
		{"a wildcard", func() contract.PkiBundle { return root.Issue(t, pkitest.DNS("*.example.test")).Bundle(t) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := here(now)
			o.Strict = true
			warnings, err := mustParse(t, c.bundle()).Verify(o)
			if err != nil || len(warnings) != 0 {
				t.Errorf("Verify = %q, %v, want 0", warnings, err)
			}
		})
	}
}

func permitDNS(domain string) pkitest.Option {
	return pkitest.Template(func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{domain}
	})
}

func TestVerifyRefuses(t *testing.T) {
	now := time.Now()
	root := pkitest.NewCA(t)
	rsaCA := pkitest.NewCA(t, pkitest.Key(pkitest.RSA2048))
	withCA := func(b contract.PkiBundle, ca *pkitest.CA) contract.PkiBundle {
		b.CACrt = ca.PEM()
		return b
	}
	for _, c := range []struct {
		name   string
		bundle func() contract.PkiBundle
		want   error
		text   string
	}{
		{"another CA", func() contract.PkiBundle {
			return withCA(root.Issue(t).Bundle(t), pkitest.NewCA(t, pkitest.Name("Other CA")))
		}, pki.ErrUntrusted, "server_crt"},
		{"a CA of the same name", func() contract.PkiBundle {
			return withCA(root.Issue(t).Bundle(t), pkitest.NewCA(t))
		}, pki.ErrUntrusted, "server_crt"},
		{"a CA of the same name and key id", func() contract.PkiBundle {
			return withCA(root.Issue(t).Bundle(t), pkitest.NewCA(t, pkitest.Template(func(c *x509.Certificate) {
				c.SubjectKeyId = root.Cert.SubjectKeyId
			})))
		}, pki.ErrUntrusted, "server_crt"},
		{"an intermediate is missing", func() contract.PkiBundle {
			b := root.Intermediate(t).Issue(t).Bundle(t)
			b.CAChain = ""
			return b
		}, pki.ErrUntrusted, "server_crt"},
		{"the chain brings its own root", func() contract.PkiBundle {
			evil := pkitest.NewCA(t, pkitest.Name("Evil CA"))
			b := withCA(evil.Issue(t).Bundle(t), root)
			b.CAChain = evil.PEM()
			return b
		}, pki.ErrUntrusted, "server_crt"},
		{"an issuer that is no CA", func() contract.PkiBundle {
			return root.Intermediate(t, pkitest.Template(func(c *x509.Certificate) { c.IsCA = false })).Issue(t).Bundle(t)
		}, pki.ErrUntrusted, "server_crt"},
		{"a path too long", func() contract.PkiBundle {
			short := root.Intermediate(t, pkitest.Template(func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true }))
			return short.Intermediate(t).Issue(t).Bundle(t)
		}, pki.ErrUntrusted, "server_crt"},
		{"a name that the intermediate may not issue", func() contract.PkiBundle {
			return root.Intermediate(t, permitDNS("elsewhere.test")).Issue(t).Bundle(t)
		}, pki.ErrUntrusted, "server_crt"},
		{"a name that the CA may not issue", func() contract.PkiBundle {
			return pkitest.NewCA(t, permitDNS("elsewhere.test")).Issue(t).Bundle(t)
		}, pki.ErrUntrusted, "server_crt"},
		{"a CA that is none", func() contract.PkiBundle {
			return pkitest.NewCA(t, pkitest.Template(func(c *x509.Certificate) { c.IsCA = false })).Issue(t).Bundle(t)
		}, pki.ErrUntrusted, "ca_crt"},
		{"a CA without basic constraints", func() contract.PkiBundle {
			return pkitest.NewCA(t, pkitest.Template(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = false, false })).Issue(t).Bundle(t)
		}, pki.ErrUntrusted, "ca_crt"},
		{"a CA that may not sign certificates", func() contract.PkiBundle {
			return pkitest.NewCA(t, pkitest.Template(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })).Issue(t).Bundle(t)
		}, pki.ErrUntrusted, "ca_crt"},
		{"a CA whose own signature is wrong", func() contract.PkiBundle {
			b := root.Issue(t).Bundle(t)
			der := derOf(t, b.CACrt)
			der[len(der)-1] ^= 1
			b.CACrt = pemOf("CERTIFICATE", der)
			return b
		}, pki.ErrUntrusted, "ca_crt"},
		{"the CA as its own server", func() contract.PkiBundle {
			return contract.PkiBundle{CACrt: root.PEM(), ServerCrt: root.PEM(), ServerKey: root.KeyPEM(t)}
		}, pki.ErrUntrusted, "server_crt"},
		{"a critical extension that nobody knows", func() contract.PkiBundle {
			return root.Issue(t, criticalExtension()).Bundle(t)
		}, pki.ErrUntrusted, "server_crt"},
		{"RSA 1024", func() contract.PkiBundle { return root.Issue(t, pkitest.Key(pkitest.RSA1024)).Bundle(t) }, pki.ErrWeak, "server_crt"},
		{"RSA 512", func() contract.PkiBundle { return root.Issue(t, pkitest.WithKey(tinyRSA(t))).Bundle(t) }, pki.ErrWeak, "512 bits"},
		{"CA of RSA 1024", func() contract.PkiBundle { return pkitest.NewCA(t, pkitest.Key(pkitest.RSA1024)).Issue(t).Bundle(t) }, pki.ErrWeak, "ca_crt"},
		{"intermediate of RSA 1024", func() contract.PkiBundle {
			return root.Intermediate(t, pkitest.Key(pkitest.RSA1024)).Issue(t).Bundle(t)
		}, pki.ErrWeak, "intermediate"},
		{"a weak certificate that the chain does not need", func() contract.PkiBundle {
			b := root.Issue(t).Bundle(t)
			b.CAChain = root.Intermediate(t, pkitest.Key(pkitest.RSA1024)).PEM()
			return b
		}, pki.ErrWeak, "intermediate"},
		{"P-224", func() contract.PkiBundle { return root.Issue(t, pkitest.Key(pkitest.P224)).Bundle(t) }, pki.ErrWeak, "server_crt"},
		{"SHA-1", func() contract.PkiBundle { return rsaCA.Issue(t, pkitest.SignedWith(x509.SHA1WithRSA)).Bundle(t) }, pki.ErrWeak, "server_crt"},
		{"SHA-1 with ECDSA", func() contract.PkiBundle { return root.Issue(t, pkitest.SignedWith(x509.ECDSAWithSHA1)).Bundle(t) }, pki.ErrWeak, "SHA1"},
		{"intermediate by SHA-1", func() contract.PkiBundle {
			return rsaCA.Intermediate(t, pkitest.SignedWith(x509.SHA1WithRSA)).Issue(t).Bundle(t)
		}, pki.ErrWeak, "intermediate"},
		{"CA by SHA-1", func() contract.PkiBundle {
			return pkitest.NewCA(t, pkitest.Key(pkitest.RSA2048), pkitest.SignedWith(x509.SHA1WithRSA)).Issue(t).Bundle(t)
		}, pki.ErrWeak, "ca_crt"},
		{"expired", func() contract.PkiBundle {
			return root.Issue(t, pkitest.Valid(now.AddDate(-1, 0, 0), now.Add(-time.Minute))).Bundle(t)
		}, pki.ErrExpired, "server_crt"},
		{"expired CA", func() contract.PkiBundle {
			return pkitest.NewCA(t, pkitest.Valid(now.AddDate(-1, 0, 0), now.Add(-time.Minute))).Issue(t).Bundle(t)
		}, pki.ErrExpired, "ca_crt"},
		{"expired intermediate", func() contract.PkiBundle {
			return root.Intermediate(t, pkitest.Valid(now.AddDate(-1, 0, 0), now.Add(-time.Minute))).Issue(t).Bundle(t)
		}, pki.ErrExpired, "intermediate"},
		{"of the future", func() contract.PkiBundle {
			return root.Issue(t, pkitest.Valid(now.Add(time.Hour), now.AddDate(1, 0, 0))).Bundle(t)
		}, pki.ErrNotYetValid, "server_crt"},
		{"CA of the future", func() contract.PkiBundle {
			return pkitest.NewCA(t, pkitest.Valid(now.Add(time.Hour), now.AddDate(1, 0, 0))).Issue(t).Bundle(t)
		}, pki.ErrNotYetValid, "ca_crt"},
		{"intermediate of the future", func() contract.PkiBundle {
			return root.Intermediate(t, pkitest.Valid(now.Add(time.Hour), now.AddDate(1, 0, 0))).Issue(t).Bundle(t)
		}, pki.ErrNotYetValid, "intermediate"},
		{"expired, below an intermediate of the future: waiting won't help", func() contract.PkiBundle {
			return root.Intermediate(t, pkitest.Valid(now.Add(time.Hour), now.AddDate(1, 0, 0))).
				Issue(t, pkitest.Valid(now.AddDate(-1, 0, 0), now.Add(-time.Minute))).Bundle(t)
		}, pki.ErrExpired, "server_crt"},
		{"intermediates expired and of the future: waiting may help", func() contract.PkiBundle {
			key := pkitest.WithKey(pkitest.NewKey(t, pkitest.P256))
			old := root.Intermediate(t, key, pkitest.Valid(now.AddDate(-1, 0, 0), now.Add(-time.Minute)))
			next := root.Intermediate(t, key, pkitest.Valid(now.Add(time.Hour), now.AddDate(1, 0, 0)))
			b := old.Issue(t).Bundle(t)
			b.CAChain = old.PEM() + next.PEM()
			return b
		}, pki.ErrNotYetValid, "intermediate"},
		{"untrusted and of the future: waiting won't help", func() contract.PkiBundle {
			return withCA(root.Issue(t, pkitest.Valid(now.Add(time.Hour), now.AddDate(1, 0, 0))).Bundle(t), pkitest.NewCA(t))
		}, pki.ErrUntrusted, "server_crt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			warnings, err := mustParse(t, c.bundle()).Verify(here(now))
			if !errors.Is(err, c.want) {
				t.Fatalf("Verify: %v, want %v", err, c.want)
			}
			if !strings.Contains(err.Error(), c.text) || warnings != nil {
				t.Errorf("Verify = %q, %q; want no warnings and a message about %s", warnings, err, c.text)
			}
		})
	}
}

// tinyRSA makes a key of 512 bits by hand: crypto/rsa refuses to.
func tinyRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	e, one := big.NewInt(65537), big.NewInt(1)
	for {
		p, err := rand.Prime(rand.Reader, 256)
		if err != nil {
			t.Fatal(err)
		}
		q, err := rand.Prime(rand.Reader, 256)
		if err != nil {
			t.Fatal(err)
		}
		d := new(big.Int).ModInverse(e, new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one)))
		if n := new(big.Int).Mul(p, q); n.BitLen() == 512 && d != nil && p.Cmp(q) != 0 {
			return &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: 65537}, D: d, Primes: []*big.Int{p, q}}
		}
	}
}

func criticalExtension() pkitest.Option {
	return pkitest.Template(func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, unknownCritical)
	})
}

func TestVerifyAtDifferentClocks(t *testing.T) {
	issued := time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)
	end := issued.AddDate(1, 0, 0)
	ca := pkitest.NewCA(t, pkitest.Valid(issued.Add(-time.Hour), issued.AddDate(10, 0, 0)))
	s := mustParse(t, ca.Issue(t, pkitest.Valid(issued, end)).Bundle(t))
	for _, c := range []struct {
		name string
		now  time.Time
		want error
	}{
		{"1970", time.Unix(0, 0), pki.ErrNotYetValid},
		{"before 1970", time.Time{}, pki.ErrNotYetValid},
		{"6 minutes behind", issued.Add(-6 * time.Minute), pki.ErrNotYetValid},
		{"5 minutes and 1 ns behind", issued.Add(-5*time.Minute - 1), pki.ErrNotYetValid},
		{"5 minutes behind", issued.Add(-5 * time.Minute), nil},
		{"4 minutes behind", issued.Add(-4 * time.Minute), nil},
		{"on time", issued, nil},
		{"the last moment", end, nil},
		{"over", end.Add(1), pki.ErrExpired},
		{"ahead by a year and a day", issued.AddDate(1, 0, 1), pki.ErrExpired},
		{"CA is over too", issued.AddDate(20, 0, 0), pki.ErrExpired},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := s.Verify(here(c.now)); !errors.Is(err, c.want) {
				t.Errorf("Verify: %v, want %v", err, c.want)
			}
		})
	}
}

func TestYearOneIsNotMistakenForNoTime(t *testing.T) {
	begin := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	s := mustParse(t, pkitest.NewCA(t).Issue(t, pkitest.Valid(begin, begin.Add(time.Hour))).Bundle(t))
	if _, err := s.Verify(here(time.Now())); !errors.Is(err, pki.ErrExpired) {
		t.Errorf("Verify: %v, want ErrExpired", err)
	}
}

func TestVerifyPinsTheCA(t *testing.T) {
	ca := pkitest.NewCA(t)
	s := mustParse(t, ca.Issue(t).Bundle(t))
	right := pki.Fingerprint(ca.Cert.Raw)
	for _, c := range []struct {
		name, pin string
		ok, is    bool
	}{
		{"any", "", true, false},
		{"right", right, true, false},
		{"right, in capitals", "SHA256:" + strings.ToUpper(right), true, false},
		{"of the server certificate", pki.Fingerprint(s.Server.Raw), false, true},
		{"not a fingerprint", "abc", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := here(time.Now())
			o.CAFingerprint = c.pin
			_, err := s.Verify(o)
			if (err == nil) != c.ok || errors.Is(err, pki.ErrCAMismatch) != c.is {
				t.Errorf("Verify: %v", err)
			}
		})
	}
}

func TestIdentityWarnsOrRefuses(t *testing.T) {
	now := time.Now()
	ca := pkitest.NewCA(t)
	for _, c := range []struct {
		name   string
		opts   []pkitest.Option
		change func(*pki.VerifyOptions)
		want   []string
	}{
		{"an old manager's", []pkitest.Option{pkitest.DNS(), pkitest.IP(), pkitest.EKU(x509.ExtKeyUsageClientAuth)}, nil,
			[]string{"does not name host.example.test", "none of this host's addresses", "serverAuth"}},
		{"no extended key usage", []pkitest.Option{pkitest.EKU()}, nil, []string{"serverAuth"}},
		{"another name", []pkitest.Option{pkitest.DNS("other.example.test")}, nil, []string{"does not name host.example.test"}},
		{"another address", []pkitest.Option{pkitest.IP("192.0.2.11")}, nil, []string{"none of this host's addresses"}},
		{"one address of several", []pkitest.Option{pkitest.IP("192.0.2.11", "2001:db8::1")}, func(o *pki.VerifyOptions) {
			o.IPs = append(o.IPs, netip.MustParseAddr("2001:db8::1"))
		}, nil},
		{"mapped and scoped addresses", []pkitest.Option{pkitest.IP("192.0.2.10", "fe80::1")}, func(o *pki.VerifyOptions) {
			o.IPs = []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.10")}
		}, nil},
		{"a scoped address", []pkitest.Option{pkitest.IP("fe80::1")}, func(o *pki.VerifyOptions) {
			o.IPs = []netip.Addr{netip.MustParseAddr("fe80::1%eth0")}
		}, nil},
		{"nothing asked", []pkitest.Option{pkitest.DNS(), pkitest.IP()}, func(o *pki.VerifyOptions) { o.FQDN, o.IPs = "", nil }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustParse(t, ca.Issue(t, c.opts...).Bundle(t))
			o := here(now)
			if c.change != nil {
				c.change(&o)
			}
			warnings, err := s.Verify(o)
			assertWarnings(t, warnings, err, c.want)

			o.Strict = true
			_, err = s.Verify(o)
			if len(c.want) == 0 && err != nil || len(c.want) > 0 && !errors.Is(err, pki.ErrIdentity) {
				t.Errorf("strict: %v", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("strict: got %q, want %q in it", err, w)
				}
			}
		})
	}
}

func assertWarnings(t *testing.T, got []string, err error, want []string) {
	t.Helper()
	if err != nil {
		t.Fatalf("Verify: got %v, want no error", err)
	}
	if !slices.EqualFunc(got, want, strings.Contains) {
		t.Errorf("warnings %q, want %q", got, want)
	}
}

func TestExpiryWarnsAlsoInStrictMode(t *testing.T) {
	now := time.Now()
	ca := pkitest.NewCA(t, pkitest.Valid(now.Add(-time.Hour), now.Add(20*24*time.Hour+time.Hour)))
	s := mustParse(t, ca.Issue(t, pkitest.Valid(now.Add(-time.Hour), now.Add(10*24*time.Hour+time.Hour))).Bundle(t))
	o := here(now)
	o.Strict = true
	warnings, err := s.Verify(o)
	assertWarnings(t, warnings, err, []string{"in 10 days", "the CA expires"})

	far := mustParse(t, pkitest.NewCA(t).Issue(t, pkitest.Valid(now.Add(-time.Hour), now.AddDate(0, 0, 31))).Bundle(t))
	warnings, err = far.Verify(o)
	assertWarnings(t, warnings, err, nil)
}
