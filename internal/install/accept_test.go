package install_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/hosttest"
	"github.com/linux-patch/enroll/internal/install"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/statedir"
)

// TestWhatIsRefusedOfABundle: each with its code, whether the bundle is kept, and
// with nothing written or claimed, in check mode as well.
func TestWhatIsRefusedOfABundle(t *testing.T) {
	hour := time.Hour
	other := pkitest.NewCA(t)
	for _, c := range []struct {
		name   string
		bundle func(s *site) contract.PkiBundle
		change func(*options.Params)
		kept   bool
		code   contract.Code
		want   string
	}{
		{"no PEM", func(s *site) contract.PkiBundle { b := s.bundle(); b.CACrt = "no PEM"; return b }, nil, false, contract.CodeBundleInvalid, "ca_crt"},
		{"nothing where the certificate is to be", func(s *site) contract.PkiBundle { b := s.bundle(); b.ServerCrt = ""; return b }, nil, false, contract.CodeBundleInvalid, "server_crt"},
		{"a key where the certificate is to be", func(s *site) contract.PkiBundle { b := s.bundle(); b.ServerCrt = b.ServerKey; return b }, nil, false, contract.CodeBundleInvalid, "server_crt"},
		{"a certificate cut off", func(s *site) contract.PkiBundle { b := s.bundle(); b.ServerCrt = b.ServerCrt[:200]; return b }, nil, false, contract.CodeBundleInvalid, "server_crt"},
		{"another's key", func(s *site) contract.PkiBundle { b := s.bundle(); b.ServerKey = s.bundle().ServerKey; return b }, nil, false, contract.CodeBundleInvalid, "does not fit"},
		{"another CA's certificate", func(s *site) contract.PkiBundle { b := s.bundle(); b.CACrt = other.PEM(); return b }, nil, false, contract.CodeBundleInvalid, "not trusted"},
		{"a CRL that is none", func(s *site) contract.PkiBundle { b := s.bundle(); b.CRLPEM = b.CACrt; return b }, nil, false, contract.CodeBundleInvalid, "crl_pem"},
		{"another CA's CRL", func(s *site) contract.PkiBundle { b := s.bundle(); b.CRLPEM = other.CRL(t); return b }, nil, false, contract.CodeBundleInvalid, "crl_pem"},
		{"revoked by its own CRL", func(s *site) contract.PkiBundle {
			leaf := s.ca.Issue(t)
			b := leaf.Bundle(t)
			b.CRLPEM = s.ca.CRL(t, leaf.Cert)
			return b
		}, nil, false, contract.CodeBundleInvalid, "revoked"},
		{"a weak key", func(s *site) contract.PkiBundle { return s.bundle(pkitest.Key(pkitest.RSA1024)) }, nil, false, contract.CodeBundleInvalid, "key"},
		{"expired", func(s *site) contract.PkiBundle {
			return s.bundle(pkitest.Valid(s.now().Add(-2*hour), s.now().Add(-hour)))
		}, nil, false, contract.CodeBundleInvalid, "expired"},
		{"not valid yet", func(s *site) contract.PkiBundle {
			return s.bundle(pkitest.Valid(s.now().Add(hour), s.now().Add(24*hour)))
		}, nil, true, contract.CodeIdentity, "clock"},
		{"another CA than was named", func(s *site) contract.PkiBundle { return s.bundle() },
			func(p *options.Params) { p.BundleCAFingerprint = fingerprint(other) }, true, contract.CodeBundleInvalid, "bundle_ca_fingerprint"},
		{"another host's, strictly", func(s *site) contract.PkiBundle { return s.bundle(pkitest.DNS("other.example.test")) },
			func(p *options.Params) { p.StrictIdentity = true }, true, contract.CodeBundleInvalid, "strict_identity"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, check := range []bool{true, false} {
				s := newSite(t)
				b, was := c.bundle(s), s.tree()
				in := s.installer(func(p *options.Params) {
					if p.Check = check; c.change != nil {
						c.change(p)
					}
				})
				err := in.Provision(context.Background(), &b, answered())
				failsWith(t, err, c.code, c.want)
				if got := errors.Is(err, install.ErrKeep); got != c.kept {
					t.Errorf("got kept %v (%v), want %v", got, err, c.kept)
				}
				s.unchanged(was)
				if in.Result.Changed || len(in.Result.Actions) > 0 {
					t.Errorf("got changed %v, %q; want nothing", in.Result.Changed, in.Result.Actions)
				}
				if strings.Contains(err.Error(), "kept") {
					t.Errorf("got %q, want nothing of what only the caller knows", err)
				}
			}
		})
	}
}

// TestWhatIsTakenOfABundle: text that is odd, and still means one thing.
func TestWhatIsTakenOfABundle(t *testing.T) {
	for name, change := range map[string]func(b *contract.PkiBundle){
		"CRLF":            func(b *contract.PkiBundle) { b.CACrt = strings.ReplaceAll(b.CACrt, "\n", "\r\n") },
		"mixed line ends": func(b *contract.PkiBundle) { b.ServerCrt = strings.Replace(b.ServerCrt, "\n", "\r\n", 3) },
		"text before":     func(b *contract.PkiBundle) { b.ServerCrt = "subject=host\n" + b.ServerCrt },
		"text after":      func(b *contract.PkiBundle) { b.ServerKey += "\n\ntrailing text\n" },
		"a blank CRL":     func(b *contract.PkiBundle) { b.CRLPEM = " \n" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			plain := s.bundle()
			b := plain
			change(&b)
			s.provision(b, nil)
			s.is(plain)
		})
	}
}

// TestExpiredOnArrival: no manager issues such a one, so that the clock is wrong.
func TestExpiredOnArrival(t *testing.T) {
	for _, c := range []struct {
		name string
		came time.Duration
		kept bool
		code contract.Code
	}{
		{"it came expired", 0, true, contract.CodeIdentity},
		{"it expired on disk", -90 * time.Minute, false, contract.CodeBundleInvalid},
	} {
		s := newSite(t)
		b := s.bundle(pkitest.Valid(s.now().Add(-2*time.Hour), s.now().Add(-time.Hour)))
		in := s.installer(nil)
		in.Disk.Hold(statedir.Answer{URL: managerURL, At: s.now().Add(c.came)})
		err := in.Provision(context.Background(), &b, answered())
		failsWith(t, err, c.code, "expired")
		if got := errors.Is(err, install.ErrKeep); got != c.kept {
			t.Errorf("%s: got kept %v, want %v", c.name, got, c.kept)
		}
	}
}

// TestAnotherCA: only allow_ca_change replaces the one that is known, whatever
// tells which that is.
func TestAnotherCA(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(s *site, known *pkitest.CA)
		change func(*options.Params)
		taken  bool
	}{
		{"of the installed set", func(s *site, known *pkitest.CA) { s.place(known.Issue(s.t).Bundle(s.t)) }, nil, false},
		{"of a CA file alone", func(s *site, known *pkitest.CA) { s.Write(caFile, known.PEM(), 0o644) }, nil, false},
		{"of the record", func(s *site, known *pkitest.CA) {
			hosttest.Must(s.t, s.installer(nil).Disk.Remember(func(p *statedir.Provenance) { p.CAFingerprint = fingerprint(known) }))
		}, nil, false},
		{"allowed", func(s *site, known *pkitest.CA) { s.place(known.Issue(s.t).Bundle(s.t)) },
			func(p *options.Params) { p.AllowCAChange = true }, true},
		{"one of several that were placed", func(s *site, known *pkitest.CA) { s.Write(caFile, known.PEM()+s.ca.PEM(), 0o644) }, nil, true},
		{"none known", func(*site, *pkitest.CA) {}, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			known := pkitest.NewCA(t)
			c.before(s, known)
			was, b := s.tree(), s.bundle()
			err := s.installer(c.change).Provision(context.Background(), &b, answered())
			if c.taken {
				hosttest.Must(t, err)
				s.is(b)
				return
			}
			failsWith(t, err, contract.CodeBundleInvalid, fingerprint(known), fingerprint(s.ca), "allow_ca_change")
			if !errors.Is(err, install.ErrKeep) {
				t.Errorf("got %v, want the bundle kept", err)
			}
			s.unchanged(was)
		})
	}
}

// TestFurtherRoots: each is a CA for clients too, so that a bundle brings none
// that no one asked for.
func TestFurtherRoots(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*options.Params)
		placed bool
		taken  bool
	}{
		"unasked":          {},
		"trusted already":  {placed: true, taken: true},
		"a change allowed": {change: func(p *options.Params) { p.AllowCAChange = true }, taken: true},
	} {
		s := newSite(t)
		other := pkitest.NewCA(t, pkitest.Name("Other CA"))
		if c.placed {
			s.Write(caFile, s.ca.PEM()+other.PEM(), 0o644)
		}
		b := s.bundle()
		b.CACrt += other.PEM()
		res := s.provision(b, c.change)
		if got := strings.Contains(s.read(caFile), other.PEM()); got != c.taken {
			t.Errorf("%s: got the further root taken: %v, want %v", name, got, c.taken)
		}
		if !c.taken {
			warns(t, res, fingerprint(other))
		}
	}
}
