package manager_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/manager"
)

func TestIssuedBundle(t *testing.T) {
	eachDialect(t, func(t *testing.T, dialect int) {
		l := newLab(t, manager.Options{Dialect: dialect})
		token := l.enroll(0)
		l.clock.advance(90 * time.Second)
		now := l.clock.Now()
		h := l.approve(0)
		l.clock.advance(time.Minute)
		b := l.poll(token).json(t)
		_, fqdn, ip := machine(0)
		ca, crt := certOf(t, b["ca_crt"]), certOf(t, b["server_crt"])
		text, _ := b["server_key"].(string)
		block, _ := pem.Decode([]byte(text))
		if block == nil || block.Type != "PRIVATE KEY" {
			t.Fatal("server_key is not PKCS#8 PEM")
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		key, ok := parsed.(*ecdsa.PrivateKey)
		if !ok || key.Curve != elliptic.P256() || !key.PublicKey.Equal(crt.PublicKey) {
			t.Error("the key is not the certificate's P-256 key")
		}
		if crt.Subject.CommonName != fqdn+"-server" {
			t.Errorf("CN %q, want %v", crt.Subject.CommonName, fqdn+"-server")
		}
		if !crt.NotBefore.Equal(now) || !crt.NotAfter.Equal(now.Add(365*24*time.Hour)) {
			t.Errorf("valid %v to %v, approved at %v", crt.NotBefore, crt.NotAfter, now)
		}
		if len(crt.DNSNames) != 1 || crt.DNSNames[0] != fqdn || len(crt.IPAddresses) != 1 || crt.IPAddresses[0].String() != ip {
			t.Errorf("SAN %v %v", crt.DNSNames, crt.IPAddresses)
		}
		if len(crt.ExtKeyUsage) != 1 || crt.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth {
			t.Errorf("EKU %v", crt.ExtKeyUsage)
		}
		if !ca.IsCA || ca.CheckSignatureFrom(ca) != nil {
			t.Error("ca_crt is not a self-signed CA")
		}
		roots := x509.NewCertPool()
		roots.AddCert(ca)
		if _, err := crt.Verify(x509.VerifyOptions{Roots: roots, DNSName: fqdn, CurrentTime: now.Add(time.Minute)}); err != nil {
			t.Error(err)
		}
		if crt.SerialNumber.Text(16) != h.Serial {
			t.Errorf("recorded serial %s, issued %x, want %v", h.Serial, crt.SerialNumber, h.Serial)
		}
		chain, hasChain := b["ca_chain"]
		crl, hasCRL := b["crl_pem"].(string)
		if newer := dialect == 2; hasChain != newer || hasCRL != newer {
			t.Fatalf("ca_chain %v, crl_pem %v; newer managers send both, older none, want %v, %v", hasChain, hasCRL, newer, newer)
		}
		if dialect == 2 {
			if chain != "" {
				t.Errorf("ca_chain %q, want an empty text", chain)
			}
			if list := crlOf(t, crl); list.CheckSignatureFrom(ca) != nil || len(list.RevokedCertificateEntries) != 0 {
				t.Error("crl_pem is not an empty CRL of the CA")
			}
		}
	})
}

func crlOf(t *testing.T, text string) *x509.RevocationList {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "X509 CRL" {
		t.Fatal("not a PEM CRL")
	}
	list, err := x509.ParseRevocationList(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestNewerBundleCanBeChosen(t *testing.T) {
	for _, tc := range []struct {
		dialect int
		newer   string
		want    bool
	}{{1, "on", true}, {1, "auto", false}, {2, "off", false}, {2, "auto", true}} {
		l := newLab(t, manager.Options{Dialect: tc.dialect, NewerBundle: tc.newer})
		token := l.enroll(0)
		l.approve(0)
		b := l.poll(token).json(t)
		_, chain := b["ca_chain"]
		_, crl := b["crl_pem"]
		if chain != tc.want || crl != tc.want {
			t.Errorf("dialect %d, %s: ca_chain %v, crl_pem %v, want chain %v, crl %v", tc.dialect, tc.newer, chain, crl, tc.want, tc.want)
		}
	}
}

func TestLegacyAndShortCertificates(t *testing.T) {
	l := newLab(t, manager.Options{LegacyCerts: true, CertFor: 48 * time.Hour})
	token := l.enroll(0)
	l.approve(0)
	crt := certOf(t, l.poll(token).json(t)["server_crt"])
	if len(crt.DNSNames)+len(crt.IPAddresses) != 0 {
		t.Error("an older manager writes no SAN")
	}
	if len(crt.ExtKeyUsage) != 1 || crt.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
		t.Errorf("EKU %v, want clientAuth only", crt.ExtKeyUsage)
	}
	if !crt.NotAfter.Equal(l.clock.Now().Add(48 * time.Hour)) {
		t.Errorf("until %v", crt.NotAfter)
	}
}
