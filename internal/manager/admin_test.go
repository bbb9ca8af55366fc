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

func TestLogin(t *testing.T) {
	l := newLab(t, manager.Options{})
	for name, body := range map[string]string{
		"wrong password": `{"username":"admin","password":"x"}`,
		"empty password": `{"username":"admin","password":""}`,
		"wrong user":     fmt.Sprintf(`{"username":"root","password":%q}`, l.s.AdminToken()),
		"no fields":      `{}`,
	} {
		if r := l.do(l.client, "POST", "/api/v1/auth/login", body); r.code != 401 {
			t.Errorf("%s: %d, want 401", name, r.code)
		}
	}
	if r := l.do(l.client, "POST", "/api/v1/auth/login", `[`); r.code != 400 {
		t.Errorf("no JSON: %d, want 400", r.code)
	}
	bearer := l.login()
	get := func(header string) int {
		return l.do(l.client, "GET", "/api/v1/admin/enrollments", "", "Authorization", header).code
	}
	for header, want := range map[string]int{
		bearer: 200, "": 401, "Bearer ": 401, "Bearer x": 401,
		strings.Replace(bearer, "Bearer", "Basic", 1): 401,
		"Bearer " + l.s.AdminToken():                  401,
	} {
		if got := get(header); got != want {
			t.Errorf("scheme %.6q: %d, want %d", header, got, want)
		}
	}
	l.clock.advance(900*time.Second - time.Nanosecond)
	if got := get(bearer); got != 200 {
		t.Errorf("just before 900 s: %d", got)
	}
	l.clock.advance(time.Nanosecond)
	if got := get(bearer); got != 401 {
		t.Errorf("at 900 s: %d, want 401", got)
	}
}

func TestAdminEndpointsNeedALogin(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	l.enroll(0)
	id := l.pendingID(0)
	for _, e := range [][2]string{
		{"GET", "/api/v1/admin/enrollments"},
		{"POST", "/api/v1/admin/enrollments/" + id + "/approve"},
		{"DELETE", "/api/v1/admin/enrollments/" + id + "/deny"},
		{"GET", "/api/v1/ca/root.crt"},
		{"GET", "/api/v1/admin/hosts"},
		{"DELETE", "/api/v1/admin/hosts/" + id},
		{"POST", "/api/v1/admin/client-certificates"},
		{"POST", "/api/v1/admin/revocations"},
	} {
		r := l.do(l.client, e[0], e[1], `{}`)
		if r.code != 401 || r.header.Get("Www-Authenticate") != "Bearer" {
			t.Errorf("%s %s: %d, want 401", e[0], e[1], r.code)
		}
	}
	if rows, err := l.s.Pending(); err != nil || len(rows) != 1 {
		t.Errorf("pending afterwards: %d, %v", len(rows), err)
	}
}

func TestApproveAndDenyOverTheAPI(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	auth := l.login()
	admin := func(method, path string) reply {
		return l.do(l.client, method, "/api/v1/admin/enrollments"+path, "", "Authorization", auth)
	}
	if r := admin("GET", ""); strings.TrimSpace(r.body) != "[]" {
		t.Errorf("nothing pending: %s", r.body)
	}
	l.enroll(0)
	l.clock.advance(time.Second)
	l.enroll(1)
	var rows []map[string]any
	if err := json.Unmarshal([]byte(admin("GET", "").body), &rows); err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	machineID, fqdn, ip := machine(0)
	first := rows[0]
	if first["machine_id"] != machineID || first["fqdn"] != fqdn || first["ip_address"] != ip {
		t.Errorf("oldest first: %v", first)
	}
	for _, field := range []string{"id", "os_details", "created_at", "expires_at"} {
		if first[field] == nil {
			t.Errorf("field %s is missing", field)
		}
	}
	if strings.Contains(admin("GET", "").body, "token") {
		t.Error("the list says something about tokens")
	}

	id := first["id"].(string)
	if r := admin("POST", "/"+id+"/approve"); r.code != 200 {
		t.Errorf("approve: %d", r.code)
	}
	if r := admin("POST", "/"+id+"/approve"); r.code != 404 {
		t.Errorf("approve twice: %d, want 404", r.code)
	}
	if r := admin("POST", "/nobody/approve"); r.code != 404 {
		t.Errorf("approve an unknown id: %d, want 404", r.code)
	}

	// Another machine that claims an existing host's FQDN, or its address.
	_, fqdn1, ip1 := machine(1)
	for name, swap := range map[string][2]string{
		"same FQDN, in capitals": {fqdn1, strings.ToUpper(fqdn)},
		"same IP":                {ip1, ip},
	} {
		if err := l.s.Deny(l.pendingID(1)); err != nil {
			t.Fatal(err)
		}
		body := strings.ReplaceAll(enrollBody(1), swap[0], swap[1])
		if r := l.do(l.client, "POST", "/api/v1/enroll", body); r.code != 202 {
			t.Fatalf("%s: registration %d", name, r.code)
		}
		if r := admin("POST", "/"+l.pendingID(1)+"/approve"); r.code != 409 {
			t.Errorf("%s: approve %d, want 409", name, r.code)
		}
	}

	for _, id := range []string{l.pendingID(1), l.pendingID(1), "nobody"} {
		if r := admin("DELETE", "/"+id+"/deny"); r.code != 204 || r.body != "" {
			t.Errorf("deny: %d, want 204 always", r.code)
		}
		if rows, _ := l.s.Pending(); len(rows) == 0 {
			break
		}
	}
	if r := admin("DELETE", "/nobody/deny"); r.code != 204 {
		t.Errorf("deny an unknown id: %d, want 204 always", r.code)
	}
	if rows, err := l.s.Pending(); err != nil || len(rows) != 0 {
		t.Errorf("pending after deny: %d, %v", len(rows), err)
	}
}

func TestExpiredRequestCannotBeApproved(t *testing.T) {
	l := newLab(t, manager.Options{})
	l.enroll(0)
	id := l.pendingID(0)
	l.clock.advance(24 * time.Hour)
	if r := l.do(l.client, "POST", "/api/v1/admin/enrollments/"+id+"/approve", "", "Authorization", l.login()); r.code != 404 {
		t.Errorf("%d, want 404", r.code)
	}
	if hosts, err := l.s.Hosts(); err != nil || len(hosts) != 0 {
		t.Errorf("hosts %v, %v", hosts, err)
	}
}

func TestRemovedHostIsRevokedAndItsBundleTakenBack(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	token := l.enroll(0)
	h := l.approve(0)
	auth := l.login()
	before := crlOf(t, l.do(l.client, "GET", "/api/v1/pki/crl.pem", "").body)
	if r := l.do(l.client, "DELETE", "/api/v1/admin/hosts/"+h.ID, "", "Authorization", auth); r.code != 204 {
		t.Fatalf("remove: %d", r.code)
	}
	if r := l.do(l.client, "DELETE", "/api/v1/admin/hosts/"+h.ID, "", "Authorization", auth); r.code != 404 {
		t.Errorf("remove twice: %d, want 404", r.code)
	}
	if got := l.state(2, l.poll(token)); got != "notfound" {
		t.Errorf("the bundle of a removed host: %s", got)
	}
	after := crlOf(t, l.do(l.client, "GET", "/api/v1/pki/crl.pem", "").body)
	if len(after.RevokedCertificateEntries) != 1 || after.RevokedCertificateEntries[0].SerialNumber.Text(16) != h.Serial {
		t.Errorf("the CRL lists %v, want %s", after.RevokedCertificateEntries, h.Serial)
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
	auth := l.login()
	for range 2 {
		body := fmt.Sprintf(`{"serial":%q}`, h.Serial)
		if r := l.do(l.client, "POST", "/api/v1/admin/revocations", body, "Authorization", auth); r.code != 200 {
			t.Errorf("revoke: %d", r.code)
		}
	}
	for _, body := range []string{`{"serial":"01"}`, `{}`, `{"serial":"../x"}`} {
		if r := l.do(l.client, "POST", "/api/v1/admin/revocations", body, "Authorization", auth); r.code != 404 {
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
	auth := l.login()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	r := l.do(l.client, "POST", "/api/v1/admin/client-certificates", csrOf(t, "ops", key), "Authorization", auth)
	if r.code != 201 {
		t.Fatalf("%d", r.code)
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
			t.Errorf("usage %v: %v", usage, err)
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
		if r := l.do(l.client, "POST", "/api/v1/admin/client-certificates", body, "Authorization", auth); r.code != 400 {
			t.Errorf("%s: %d, want 400", name, r.code)
		}
	}
	body := fmt.Sprintf(`{"serial":%q}`, crt.SerialNumber.Text(16))
	if r := l.do(l.client, "POST", "/api/v1/admin/revocations", body, "Authorization", auth); r.code != 200 {
		t.Errorf("revoke the client's certificate: %d", r.code)
	}
}

func TestPageSaysWhatThisIsAndNotWhoWaits(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	empty := l.do(l.client, "GET", "/", "")
	if !strings.Contains(empty.body, "NOT the production manager") || !strings.HasPrefix(empty.header.Get("Content-Type"), "text/html") {
		t.Error("the page does not say that this is not the production manager")
	}
	l.enroll(0)
	if l.do(l.client, "GET", "/", "").body != empty.body {
		t.Error("the page changes when a request waits")
	}
	if r := l.do(l.client, "GET", "/nothing", ""); r.code != 404 {
		t.Errorf("unknown path: %d", r.code)
	}
}
