package manager_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/manager"
)

func TestRemovedHostIsRevokedAndItsBundleTakenBack(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	token := l.enroll(0)
	h := l.approve(0)
	auth := l.login()
	before := crlOf(t, l.do(l.client, "GET", "/api/v1/pki/crl.pem", "").body)
	if r := l.do(l.client, "DELETE", "/api/v1/hosts/"+h.ID, "", "Authorization", auth); r.code != 200 || strings.TrimSpace(r.body) != `{"message":"Host removed"}` {
		t.Fatalf("remove: %d", r.code)
	}
	if r := l.do(l.client, "DELETE", "/api/v1/hosts/"+h.ID, "", "Authorization", auth); r.code != 404 {
		t.Errorf("remove twice: %d, want 404", r.code)
	}
	if got := l.state(2, l.poll(token)); got != "notfound" {
		t.Errorf(`the bundle of a removed host: got %s, want "notfound"`, got)
	}
	after := crlOf(t, l.do(l.client, "GET", "/api/v1/pki/crl.pem", "").body)
	revoked := map[string]bool{}
	for _, e := range after.RevokedCertificateEntries {
		revoked[e.SerialNumber.Text(16)] = true
	}
	if len(revoked) != 2 || !revoked[h.Serial] || !revoked[h.ClientSerial] {
		t.Errorf("the CRL lists %v, want %s and %s", revoked, h.Serial, h.ClientSerial)
	}
	if after.Number.Cmp(before.Number) <= 0 {
		t.Errorf("CRL number %v after %v", after.Number, before.Number)
	}
	root := l.do(l.client, "GET", "/api/v1/ca/root.crt", "", "Authorization", auth)
	if err := after.CheckSignatureFrom(certOf(t, root.body)); err != nil {
		t.Error(err)
	}
}

func TestRevokeAndCRLLifetime(t *testing.T) {
	dir := t.TempDir()
	l := newLab(t, manager.Options{Dir: dir, NoRateLimit: true})
	l.enroll(0)
	h := l.approve(0)
	auth := "Bearer " + l.s.AdminToken()
	for range 2 {
		body := fmt.Sprintf(`{"serial":%q}`, h.Serial)
		if r := l.do(l.client, "POST", "/api/v1/reference/revocations", body, "Authorization", auth); r.code != 200 {
			t.Errorf("revoke: got %d, want 200", r.code)
		}
	}
	for _, body := range []string{`{"serial":"01"}`, `{}`, `{"serial":"../x"}`} {
		if r := l.do(l.client, "POST", "/api/v1/reference/revocations", body, "Authorization", auth); r.code != 404 {
			t.Errorf("revoke %s: %d, want 404", body, r.code)
		}
	}
	l.clock.advance(40 * 24 * time.Hour)
	list := crlOf(t, l.do(l.client, "GET", "/api/v1/pki/crl.pem", "").body)
	if now := l.clock.Now(); list.ThisUpdate.After(now) || !list.NextUpdate.After(now) {
		t.Errorf("after 40 days the CRL is of %v until %v", list.ThisUpdate, list.NextUpdate)
	}
	if len(list.RevokedCertificateEntries) != 1 {
		t.Errorf("%d entries, want 1", len(list.RevokedCertificateEntries))
	}
	l.stop()
	l = newLab(t, manager.Options{Dir: dir})
	again := crlOf(t, l.do(l.client, "GET", "/api/v1/pki/crl.pem", "").body)
	if len(again.RevokedCertificateEntries) != 1 || again.Number.Cmp(list.Number) <= 0 {
		t.Errorf("after a restart: %d entries, number %v after %v", len(again.RevokedCertificateEntries), again.Number, list.Number)
	}
}

func csrOf(t *testing.T, cn string, key any) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}}, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]string{"csr": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestClientCertificate(t *testing.T) {
	l := newLab(t, manager.Options{})
	auth := "Bearer " + l.s.AdminToken()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	r := l.do(l.client, "POST", "/api/v1/reference/client-certificates", csrOf(t, "ops", key), "Authorization", auth)
	if r.code != 201 {
		t.Fatalf("got %d, want 201", r.code)
	}
	crt := certOf(t, r.json(t)["certificate"])
	if crt.Subject.CommonName != "ops" || !key.PublicKey.Equal(crt.PublicKey) {
		t.Errorf("CN %q, or another key", crt.Subject.CommonName)
	}
	roots := x509.NewCertPool()
	roots.AddCert(certOf(t, r.json(t)["ca_crt"]))
	for usage, want := range map[x509.ExtKeyUsage]bool{x509.ExtKeyUsageClientAuth: true, x509.ExtKeyUsageServerAuth: false} {
		_, err := crt.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: l.clock.Now(), KeyUsages: []x509.ExtKeyUsage{usage}})
		if (err == nil) != want {
			t.Errorf("usage %v: got %v, want %v", usage, err, want)
		}
	}
	for name, body := range map[string]string{
		"no CN":           csrOf(t, "", key),
		"long CN":         csrOf(t, strings.Repeat("x", 65), key),
		"control in CN":   csrOf(t, "a\nb", key),
		"RSA":             csrOf(t, "ops", weak),
		"not PEM":         `{"csr":"x"}`,
		"not JSON":        `x`,
		"broken contents": `{"csr":"-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"}`,
	} {
		if r := l.do(l.client, "POST", "/api/v1/reference/client-certificates", body, "Authorization", auth); r.code != 400 {
			t.Errorf("%s: %d, want 400", name, r.code)
		}
	}
	body := fmt.Sprintf(`{"serial":%q}`, crt.SerialNumber.Text(16))
	if r := l.do(l.client, "POST", "/api/v1/reference/revocations", body, "Authorization", auth); r.code != 200 {
		t.Errorf("revoke the client's certificate: got %d, want 200", r.code)
	}
}
