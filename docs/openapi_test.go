package docs_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/manager"
)

// object is a mapping of the OpenAPI file.
type object = map[string]any

func openAPI(t *testing.T) object {
	t.Helper()
	var v object
	if err := yaml.Unmarshal([]byte(read(t, "docs/openapi.yaml")), &v); err != nil {
		t.Fatalf("docs/openapi.yaml: %v", err)
	}
	return v
}

// at follows keys, and references on the way.
func at(t *testing.T, root object, keys ...string) object {
	t.Helper()
	v := root
	for _, key := range keys {
		next, ok := v[key].(object)
		if !ok {
			t.Fatalf("docs/openapi.yaml: nothing at %s", strings.Join(keys, " > "))
		}
		if ref, ok := next["$ref"].(string); ok {
			next = at(t, root, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
		v = next
	}
	return v
}

func keysOf(v object) []string {
	var keys []string
	for k := range v {
		keys = append(keys, k)
	}
	return keys
}

func checkOpenAPI(t *testing.T) {
	root := openAPI(t)
	if v, _ := root["openapi"].(string); !strings.HasPrefix(v, "3.1.") {
		t.Errorf("openapi is %q, want 3.1", v)
	}
	enroll, status := contract.EnrollPath, contract.StatusPath+"{token}"
	same(t, "docs/openapi.yaml, paths", keysOf(at(t, root, "paths")), []string{enroll, status})
	api := documents(t)["docs/API_DOCUMENTATION.md"]
	for path, method := range map[string]string{enroll: "post", status: "get"} {
		var documented []string
		for _, r := range api.under(strings.ToUpper(method)+" "+path, "status") {
			documented = append(documented, r[0])
		}
		if method == "post" {
			// Deployed managers send 202; the page names 200 in the same row.
			documented = append(without(documented, "404"), "200")
		}
		same(t, "docs/openapi.yaml, answers of "+path, keysOf(at(t, root, "paths", path, method, "responses")), documented)
	}
	for schema, fields := range map[string][]string{
		"EnrollmentRequest":  jsonNames(contract.EnrollmentRequest{}),
		"OSDetails":          jsonNames(contract.OSDetails{}),
		"EnrollmentResponse": jsonNames(contract.EnrollmentResponse{}),
		"PkiBundle":          jsonNames(contract.PkiBundle{}),
		"ApprovedStatus":     jsonNames(contract.PollingStatus{}),
	} {
		same(t, "docs/openapi.yaml, "+schema, keysOf(at(t, root, "components", "schemas", schema, "properties")), fields)
	}
	var states []string
	for _, schema := range []string{"ApprovedStatus", "OtherStatus"} {
		list, _ := at(t, root, "components", "schemas", schema, "properties", "status")["enum"].([]any)
		for _, s := range list {
			states = append(states, fmt.Sprint(s))
		}
	}
	same(t, "docs/openapi.yaml, states", states, []string{
		contract.StatusPending, contract.StatusApproved, contract.StatusDenied, contract.StatusNotFound, contract.StatusNotFoundAlt,
	})
	for _, f := range api.fences {
		var v object
		if f.info == "json" && json.Unmarshal([]byte(f.body), &v) == nil && v["machine_id"] != nil {
			valid(t, root, fmt.Sprintf("%s:%d", api.path, f.line), at(t, root, "components", "schemas", "EnrollmentRequest"), v)
		}
	}
}

// checkManager asks a reference manager for every answer it has, and holds each
// to the file.
func checkManager(t *testing.T) {
	root := openAPI(t)
	seen := map[string]bool{}
	for _, opt := range []manager.Options{
		{Dialect: 1, RememberDenied: true, Conflict409: true}, {Dialect: 2, RememberDenied: true}, {Dialect: 2, NotFoundAlt: true},
	} {
		opt.Dir, opt.NoRateLimit = t.TempDir(), true
		s, err := manager.New(opt)
		if err != nil {
			t.Fatal(err)
		}
		m := spoken{t: t, root: root, handler: s.Handler(), seen: seen}
		token := m.register(`{"machine_id":"` + strings.Repeat("1", 32) + `","fqdn":"web1.example.com","ip_address":"192.0.2.21"}`)
		m.poll(token)
		m.register(`{"machine_id":"` + strings.Repeat("1", 32) + `","fqdn":"web1.example.com","ip_address":"192.0.2.21"}`)
		approve(t, s)
		m.poll(token)
		m.poll(token)
		m.register(`{"machine_id":"x"}`)
		denied := m.register(`{"machine_id":"` + strings.Repeat("2", 32) + `","fqdn":"web2.example.com","ip_address":"192.0.2.22"}`)
		rows, err := s.Pending()
		if err != nil || len(rows) != 1 {
			t.Fatalf("%d requests wait, want 1: %v", len(rows), err)
		}
		if err := s.Deny(rows[0].ID); err != nil {
			t.Fatal(err)
		}
		m.poll(denied)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := manager.New(manager.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	m := spoken{t: t, root: root, handler: s.Handler(), seen: seen}
	for range 4 {
		m.poll(strings.Repeat("a", 64))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"post 202", "post 400", "post 409", "post 500", "get 200", "get 202", "get 403", "get 404", "get 429"} {
		if !seen[want] {
			t.Errorf("the reference manager never answered %s", want)
		}
	}
}

// spoken asks a manager and checks its answers.
type spoken struct {
	t       *testing.T
	root    object
	handler http.Handler
	seen    map[string]bool
}

func (m spoken) register(body string) string {
	answer := m.ask("post", contract.EnrollPath, contract.EnrollPath, body)
	token, _ := answer["polling_token"].(string)
	return token
}

func (m spoken) poll(token string) {
	m.ask("get", contract.StatusPath+token, contract.StatusPath+"{token}", "")
}

func (m spoken) ask(method, url, path, body string) object {
	m.t.Helper()
	r := httptest.NewRequest(strings.ToUpper(method), url, strings.NewReader(body))
	w := httptest.NewRecorder()
	m.handler.ServeHTTP(w, r)
	code := fmt.Sprint(w.Code)
	m.seen[method+" "+code] = true
	raw, err := io.ReadAll(w.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	answer := at(m.t, m.root, "paths", path, method, "responses", code)
	kind, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
	content, _ := answer["content"].(object)
	if content == nil || kind != "application/json" {
		if content != nil && content[kind] == nil {
			m.t.Errorf("%s %s answers %s with %q, which docs/openapi.yaml does not have", method, path, code, kind)
		}
		return nil
	}
	var v object
	if err := json.Unmarshal(raw, &v); err != nil {
		m.t.Errorf("%s %s answers %s with no JSON object: %v", method, path, code, err)
		return nil
	}
	valid(m.t, m.root, method+" "+path+" "+code, content[kind].(object)["schema"].(object), v)
	return v
}
