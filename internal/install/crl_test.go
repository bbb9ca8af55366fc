package install_test

import (
	"context"
	"crypto/x509"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/hosttest"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
	"github.com/linux-patch/enroll/internal/statedir"
)

// crl is a list of this number, of so long ago.
func (s *site) crl(ca *pkitest.CA, number int64, age time.Duration, revoked ...*x509.Certificate) string {
	s.t.Helper()
	at := s.now().Add(-age)
	list := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: at, NextUpdate: at.Add(24 * time.Hour)}
	for _, c := range revoked {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: at})
	}
	return ca.SignCRL(s.t, list)
}

// install puts a list in place as the agent does.
func (s *site) install(text string, inForce *pki.CRL) (bool, error) {
	s.t.Helper()
	list, err := pki.ReadCRLHead("the manager's CRL", strings.NewReader(text))
	hosttest.Must(s.t, err)
	return s.installer(nil).InstallCRL(context.Background(), list, inForce)
}

func TestInstallCRL(t *testing.T) {
	hour := time.Hour
	other := pkitest.NewCA(t)
	for _, c := range []struct {
		name  string
		there func(s *site) string
		mode  os.FileMode
		comes func(s *site) string
		// changed, and else code where it is refused.
		changed bool
		code    contract.Code
		want    string
	}{
		{"none there", nil, 0, func(s *site) string { return s.crl(s.ca, 1, hour) }, true, "", ""},
		{"a newer one", func(s *site) string { return s.crl(s.ca, 1, 2*hour) }, 0o644, func(s *site) string { return s.crl(s.ca, 2, hour) }, true, "", ""},
		{"an older one", func(s *site) string { return s.crl(s.ca, 2, hour) }, 0o644, func(s *site) string { return s.crl(s.ca, 1, 2*hour) }, false, contract.CodeBadAnswer, "older than the one in force"},
		{"a lower number of a later time", func(s *site) string { return s.crl(s.ca, 2, 2*hour) }, 0o644, func(s *site) string { return s.crl(s.ca, 1, hour) }, false, contract.CodeBadAnswer, "number 1"},
		{"another CA's comes", func(s *site) string { return s.crl(s.ca, 1, hour) }, 0o644, func(s *site) string { return s.crl(other, 2, 0) }, false, contract.CodeBadAnswer, "the manager's CRL"},
		{"another CA's is there", func(s *site) string { return s.crl(other, 9, 0) }, 0o644, func(s *site) string { return s.crl(s.ca, 1, hour) }, true, "", ""},
		{"what is there is no list", func(*site) string { return "no PEM\n" }, 0o644, func(s *site) string { return s.crl(s.ca, 1, hour) }, true, "", ""},
		{"an empty file is there", func(*site) string { return "" }, 0o644, func(s *site) string { return s.crl(s.ca, 1, hour) }, true, "", ""},
		{"its mode stays", func(s *site) string { return s.crl(s.ca, 1, 2*hour) }, 0o600, func(s *site) string { return s.crl(s.ca, 2, hour) }, true, "", ""},
		{"an open one is closed", func(s *site) string { return s.crl(s.ca, 1, 2*hour) }, 0o666, func(s *site) string { return s.crl(s.ca, 2, hour) }, true, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			s.place(s.bundle())
			was, mode := "", os.FileMode(0o644)
			if c.there != nil {
				was, mode = c.there(s), c.mode
				s.Write(crlFile, was, c.mode)
			}
			text := c.comes(s)
			changed, err := s.install(text, nil)
			if changed != c.changed {
				t.Errorf("got changed %v, %v; want %v", changed, err, c.changed)
			}
			want := was
			if c.changed {
				hosttest.Must(t, err)
				want, mode = text, mode&^0o022
			} else {
				failsWith(t, err, c.code, c.want)
			}
			if got := s.read(crlFile); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if got := s.mode(crlFile); got != mode {
				t.Errorf("got mode %04o, want %04o", got, mode)
			}
			if names, err := os.ReadDir(s.Path("/etc/linux_patch_api/certs")); err != nil || len(names) != 4 {
				t.Errorf("got %d files, %v; want 4, and no temporary one", len(names), err)
			}
			if c.changed {
				if again, err := s.install(text, nil); again || err != nil {
					t.Errorf("again: got changed %v, %v; want nothing", again, err)
				}
			}
		})
	}
}

// TestCRLsThatAreNotInstalled: where the state of the host does not allow it.
func TestCRLsThatAreNotInstalled(t *testing.T) {
	for _, c := range []struct {
		name  string
		there func(s *site)
		code  contract.Code
		want  string
	}{
		{"no set", func(s *site) { hosttest.Must(s.t, os.Remove(s.Path(certFile))) }, contract.CodeInternal, "server certificate file"},
		{"a key that does not fit", func(s *site) { s.Write(keyFile, s.ca.KeyPEM(s.t), 0o600) }, contract.CodeInternal, "fit"},
		{"an interrupted run", func(s *site) { s.Write(stateDir+"/journal", "{}", 0o600) }, contract.CodeInternal, "interrupted run"},
		{"a directory at its place", func(s *site) { hosttest.Must(s.t, os.Mkdir(s.Path(crlFile), 0o755)) }, contract.CodeFilesystem, "is a directory"},
		{"a link at its place", func(s *site) { hosttest.Must(s.t, os.Symlink("/etc/passwd", s.Path(crlFile))) }, contract.CodeFilesystem, "is a symbolic link"},
	} {
		s := newSite(t)
		s.place(s.bundle())
		list, err := pki.ReadCRLHead("the manager's CRL", strings.NewReader(s.ca.CRL(t)))
		hosttest.Must(t, err)
		in := s.installer(nil)
		c.there(s)
		was := s.tree()
		changed, err := in.InstallCRL(context.Background(), list, nil)
		if err == nil || changed || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got changed %v, %v; want %q in the error", c.name, changed, err, c.want)
		}
		s.unchanged(was)
	}
}

// TestTheListInForceIsNeverGoneBackFrom: also where its file was removed.
func TestTheListInForceIsNeverGoneBackFrom(t *testing.T) {
	s := newSite(t)
	s.place(s.bundle())
	inForce, err := pki.ReadCRL("CRL", strings.NewReader(s.crl(s.ca, 5, time.Hour)))
	hosttest.Must(t, err)
	changed, err := s.install(s.crl(s.ca, 4, 2*time.Hour), inForce)
	failsWith(t, err, contract.CodeBadAnswer, "older than the one in force")
	if changed || s.exists(crlFile) {
		t.Errorf("got changed %v, want no list", changed)
	}
}

// TestWhoseAnInstalledCRLIs: one that this program fetched goes with the
// enrollment, one that stood there by hand stays.
func TestWhoseAnInstalledCRLIs(t *testing.T) {
	for _, c := range []struct {
		name  string
		there func(s *site)
		ours  bool
	}{
		{"it came with the bundle", func(s *site) {
			b := s.bundle()
			b.CRLPEM = s.crl(s.ca, 1, 2*time.Hour)
			s.provision(b, nil)
		}, true},
		{"the bundle had none", func(s *site) { s.provision(s.bundle(), nil) }, true},
		{"one was put there by hand", func(s *site) {
			s.provision(s.bundle(), nil)
			s.Write(crlFile, s.crl(s.ca, 1, 2*time.Hour), 0o644)
		}, false},
		{"one stood there before the bundle, which had none", func(s *site) {
			s.Write(crlFile, s.crl(s.ca, 1, 2*time.Hour), 0o644)
			s.provision(s.bundle(), nil)
		}, false},
		{"one was put there by hand before a renewal without one", func(s *site) {
			b := s.bundle()
			b.CRLPEM = s.crl(s.ca, 0, 3*time.Hour)
			s.provision(b, nil)
			s.Write(crlFile, s.crl(s.ca, 1, 2*time.Hour), 0o644)
			s.provision(s.bundle(), nil)
		}, false},
		{"it stays at a renewal without one", func(s *site) {
			b := s.bundle()
			b.CRLPEM = s.crl(s.ca, 1, 2*time.Hour)
			s.provision(b, nil)
			s.provision(s.bundle(), nil)
		}, true},
		{"the set is someone else's", func(s *site) { s.place(s.bundle()) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			c.there(s)
			text := s.crl(s.ca, 2, time.Hour)
			if changed, err := s.install(text, nil); !changed || err != nil {
				t.Fatalf("got changed %v, %v; want the list in place", changed, err)
			}
			in := s.installer(nil)
			if got := in.Disk.Provenance().Owns(crlFile, statedir.Digest([]byte(text))); got != c.ours {
				t.Errorf("got it ours: %v, want %v", got, c.ours)
			}
			hosttest.Must(t, in.Remove(context.Background()))
			if got := s.exists(crlFile); got == c.ours {
				t.Errorf("after the removal: got it there: %v, want %v", got, !c.ours)
			}
		})
	}
}

// TestACertificateThatTheStandingCRLRevokes is not put in place of a good one.
func TestACertificateThatTheStandingCRLRevokes(t *testing.T) {
	s := newSite(t)
	good := s.bundle()
	s.provision(good, nil)
	leaf := s.ca.Issue(t)
	good.CRLPEM = s.crl(s.ca, 2, 0, leaf.Cert)
	if _, err := s.install(good.CRLPEM, nil); err != nil {
		t.Fatalf("got %v, want the list in place", err)
	}
	b := leaf.Bundle(t)
	in := s.installer(func(p *options.Params) { p.Force = true })
	failsWith(t, in.Provision(context.Background(), &b, answered()), contract.CodeBundleInvalid, "revoked by", crlFile)
	s.is(good)
	if in.Result.Changed {
		t.Errorf("got changed with %q, want nothing", in.Result.Actions)
	}
}
