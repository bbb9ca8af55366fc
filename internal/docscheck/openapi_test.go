package docscheck_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/manager"
)

// openAPI loads the file and checks it against OpenAPI 3.1 itself.
func openAPI(t *testing.T) *openapi3.T {
	t.Helper()
	api, err := openapi3.NewLoader().LoadFromFile(filepath.Join(top, "docs/openapi.yaml"))
	if err != nil {
		t.Fatalf("docs/openapi.yaml: got %v, want no error", err)
	}
	if err := api.Validate(context.Background()); err != nil {
		t.Fatalf("docs/openapi.yaml: got %v, want no error", err)
	}
	return api
}

func keysOf[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}

// fits holds a value to one of the file's schemas.
func fits(api *openapi3.T, schema string, v any) error {
	return api.Components.Schemas[schema].Value.VisitJSON(v, openapi3.EnableJSONSchema2020())
}

func checkOpenAPI(t *testing.T) {
	api := openAPI(t)
	if !strings.HasPrefix(api.OpenAPI, "3.1.") {
		t.Errorf("openapi is %q, want 3.1", api.OpenAPI)
	}
	enroll, status := contract.EnrollPath, contract.StatusPath+"{token}"
	page := documents(t)["docs/API_DOCUMENTATION.md"]
	// The table names the paths below /api/v1, with their methods.
	paths := []string{enroll, status}
	for _, r := range page.under("Admin API", "request") {
		method, path, _ := strings.Cut(strings.Split(r[0], "`")[1], " ")
		path = "/api/v1" + strings.Split(strings.Fields(path)[0], "?")[0]
		paths = append(paths, path)
		if item := api.Paths.Value(path); item == nil || item.GetOperation(method) == nil {
			t.Errorf("docs/openapi.yaml has no %s %s", method, path)
		}
	}
	same(t, "docs/openapi.yaml, paths", keysOf(api.Paths.Map()), paths)
	for path, method := range map[string]string{enroll: http.MethodPost, status: http.MethodGet} {
		var documented []string
		for _, r := range page.under(method+" "+path, "status") {
			documented = append(documented, r[0])
		}
		if method == http.MethodPost {
			// Deployed managers send 202; the page names 200 in the same row.
			documented = append(without(documented, "404"), "200")
		}
		answers := api.Paths.Value(path).GetOperation(method).Responses.Map()
		same(t, "docs/openapi.yaml, answers of "+path, keysOf(answers), documented)
	}
	for schema, fields := range map[string][]string{
		"EnrollmentRequest":  jsonNames(contract.EnrollmentRequest{}),
		"OSDetails":          jsonNames(contract.OSDetails{}),
		"EnrollmentResponse": jsonNames(contract.EnrollmentResponse{}),
		"PkiBundle":          jsonNames(contract.PkiBundle{}),
		"ApprovedStatus":     jsonNames(contract.PollingStatus{}),
	} {
		same(t, "docs/openapi.yaml, "+schema, keysOf(api.Components.Schemas[schema].Value.Properties), fields)
	}
	var states []string
	for _, schema := range []string{"ApprovedStatus", "OtherStatus"} {
		for _, s := range api.Components.Schemas[schema].Value.Properties["status"].Value.Enum {
			states = append(states, fmt.Sprint(s))
		}
	}
	same(t, "docs/openapi.yaml, states", states, []string{
		contract.StatusPending, contract.StatusApproved, contract.StatusDenied, contract.StatusNotFound, contract.StatusNotFoundAlt,
	})
	examples := 0
	for name, schema := range api.Components.Schemas {
		for field, property := range schema.Value.Properties {
			for _, example := range property.Value.Examples {
				examples++
				if err := property.Value.VisitJSON(example, openapi3.EnableJSONSchema2020()); err != nil {
					t.Errorf("docs/openapi.yaml: the example of %s.%s: got %v, want no error", name, field, err)
				}
			}
		}
	}
	for _, f := range page.fences {
		var v map[string]any
		if f.info == "json" && json.Unmarshal([]byte(f.body), &v) == nil && v["machine_id"] != nil {
			examples++
			if err := fits(api, "EnrollmentRequest", v); err != nil {
				t.Errorf("%s:%d: got %v, want no error", page.path, f.line, err)
			}
		}
	}
	if examples < 8 {
		t.Errorf("only %d examples were seen: this test looks in the wrong place, want 8 at least", examples)
	}
}

// checkStrict sees that the file refuses what no manager may answer: a schema
// that takes everything would pass all other checks.
func checkStrict(t *testing.T) {
	api := openAPI(t)
	status := api.Paths.Value(contract.StatusPath + "{token}").Get.Responses.Status(200).Value.Content["application/json"].Schema.Value
	registered := api.Components.Schemas["EnrollmentResponse"].Value
	for body, schema := range map[string]*openapi3.Schema{
		`{}`:                                          status,
		`{"status":"approved"}`:                       status,
		`{"status":"perhaps"}`:                        status,
		`{"ca_crt":"a","server_crt":"b"}`:             status,
		`{"status":7}`:                                status,
		`{"polling_token":""}`:                        registered,
		`{"polling_token":"../admin"}`:                registered,
		`{"token":"` + strings.Repeat("a", 64) + `"}`: registered,
	} {
		var v any
		if err := json.Unmarshal([]byte(body), &v); err != nil {
			t.Fatal(err)
		}
		if schema.VisitJSON(v, openapi3.EnableJSONSchema2020()) == nil {
			t.Errorf("docs/openapi.yaml takes the answer %s", body)
		}
	}
}

// checkManager asks a reference manager for every answer it has, and holds each
// to the file.
func checkManager(t *testing.T) {
	api := openAPI(t)
	router, err := legacy.NewRouter(api)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, opt := range []manager.Options{
		{Dialect: 1, RememberDenied: true, Conflict409: true}, {Dialect: 2, RememberDenied: true}, {Dialect: 2, NotFoundAlt: true},
	} {
		opt.Dir, opt.NoRateLimit = t.TempDir(), true
		s, err := manager.New(opt)
		if err != nil {
			t.Fatal(err)
		}
		m := spoken{t: t, router: router, handler: s.Handler(), seen: seen}
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
	m := spoken{t: t, router: router, handler: s.Handler(), seen: seen}
	for range 4 {
		m.poll(strings.Repeat("a", 64))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"POST 202", "POST 400", "POST 409", "POST 500", "GET 200", "GET 202", "GET 403", "GET 404", "GET 429"} {
		if !seen[want] {
			t.Errorf("the reference manager never answered %s", want)
		}
	}
}

// spoken asks a manager and holds question and answer to the file.
type spoken struct {
	t       *testing.T
	router  routers.Router
	handler http.Handler
	seen    map[string]bool
}

func (m spoken) register(body string) string {
	m.t.Helper()
	var answer contract.EnrollmentResponse
	raw := m.ask(http.MethodPost, contract.EnrollPath, body)
	if err := json.Unmarshal(raw, &answer); err != nil {
		m.t.Errorf("no JSON object: %v: got %s, want no error", err, raw)
	}
	return answer.PollingToken
}

func (m spoken) poll(token string) {
	m.t.Helper()
	m.ask(http.MethodGet, contract.StatusPath+token, "")
}

func (m spoken) ask(method, path, body string) []byte {
	m.t.Helper()
	ctx := context.Background()
	r := httptest.NewRequest(method, "https://manager.example.com"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	route, params, err := m.router.FindRoute(r)
	if err != nil {
		m.t.Fatalf("docs/openapi.yaml has no %s %s: got %v, want no error", method, path, err)
	}
	input := &openapi3filter.RequestValidationInput{Request: r, Route: route, PathParams: params}
	asked := openapi3filter.ValidateRequest(ctx, input)
	w := httptest.NewRecorder()
	m.handler.ServeHTTP(w, r)
	m.seen[fmt.Sprint(method, " ", w.Code)] = true
	// What the file does not take as a question is what the manager refuses.
	if refused := w.Code == http.StatusBadRequest; (asked != nil) != refused {
		m.t.Errorf("%s %s is answered with %d, and docs/openapi.yaml says of the request: got %v, want %v", method, body, w.Code, asked, refused)
	}
	answer := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: w.Code, Header: w.Header(), Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(ctx, answer); err != nil {
		m.t.Errorf("%s answers %d, which is not as docs/openapi.yaml says: got %v, want no error", method, w.Code, err)
	}
	return w.Body.Bytes()
}
