package manager_test

import (
	"encoding/json"
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
		t.Errorf("just before 900 s: got %d, want 200", got)
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
		{"GET", "/api/v1/hosts"},
		{"DELETE", "/api/v1/hosts/" + id},
		{"POST", "/api/v1/hosts/" + id + "/groups"},
		{"POST", "/api/v1/hosts/" + id + "/certificates/reissue"},
		{"GET", "/api/v1/certificates"},
		{"GET", "/api/v1/reference/requests"},
		{"POST", "/api/v1/reference/requests/" + id + "/approve"},
		{"DELETE", "/api/v1/reference/requests/" + id},
		{"GET", "/api/v1/reference/hosts"},
		{"DELETE", "/api/v1/reference/hosts/" + id},
		{"POST", "/api/v1/reference/client-certificates"},
		{"POST", "/api/v1/reference/revocations"},
		{"GET", "/api/v1/reference/accounts"},
		{"POST", "/api/v1/reference/accounts/eve"},
		{"PATCH", "/api/v1/reference/accounts/admin"},
		{"DELETE", "/api/v1/reference/accounts/admin"},
	} {
		r := l.do(l.client, e[0], e[1], `{}`)
		if r.code != 401 || r.header.Get("Www-Authenticate") != "Bearer" {
			t.Errorf("%s %s: %d, want 401", e[0], e[1], r.code)
		}
	}
	if rows, err := l.s.Pending(); err != nil || len(rows) != 1 {
		t.Errorf("pending afterwards: got %d, %v, want 1", len(rows), err)
	}
}

func TestApproveAndDenyOverTheAPI(t *testing.T) {
	l := newLab(t, manager.Options{NoRateLimit: true})
	auth := l.login()
	admin := func(method, path string) reply {
		return l.do(l.client, method, "/api/v1/admin/enrollments"+path, "", "Authorization", auth)
	}
	if r := admin("GET", ""); strings.TrimSpace(r.body) != "[]" {
		t.Errorf(`nothing pending: got %s, want "[]"`, r.body)
	}
	l.enroll(0)
	l.clock.advance(time.Second)
	l.enroll(1)
	var rows []map[string]any
	if err := json.Unmarshal([]byte(admin("GET", "").body), &rows); err != nil || len(rows) != 2 {
		t.Fatalf("got %d rows, %v, want 2", len(rows), err)
	}
	machineID, fqdn, ip := machine(0)
	first := rows[1]
	if first["machine_id"] != machineID || first["fqdn"] != fqdn || first["ip_address"] != ip+"/32" {
		t.Errorf("newest first: %v", first)
	}
	for _, field := range []string{"id", "os_details", "created_at", "expires_at"} {
		if first[field] == nil {
			t.Errorf("field %s is missing", field)
		}
	}
	id := first["id"].(string)
	if r := admin("POST", "/"+id+"/approve"); r.code != 200 {
		t.Errorf("approve: got %d, want 200", r.code)
	}
	if r := admin("POST", "/"+id+"/approve"); r.code != 404 {
		t.Errorf("approve twice: %d, want 404", r.code)
	}
	if r := admin("POST", "/11111111-1111-4111-8111-111111111111/approve"); r.code != 404 || r.body != "" {
		t.Errorf("approve an unknown id: %d %s, want 404 and no body", r.code, r.body)
	}
	if r := admin("POST", "/nobody/approve"); r.code != 400 || !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") {
		t.Errorf("approve what is no id: %d %s, want 400 and text", r.code, r.body)
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
			t.Fatalf("%s: registration %d, want 202", name, r.code)
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
		t.Errorf("pending after deny: got %d, %v, want 0", len(rows), err)
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
		t.Errorf("unknown path: got %d, want 404", r.code)
	}
}
