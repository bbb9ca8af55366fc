package docscheck_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/report"
)

var codeWord = regexp.MustCompile(`\bENROLL_[A-Z][A-Z_]*\b`)

func checkCodes(t *testing.T) {
	docs := documents(t)
	yesNo := map[bool]string{true: "yes", false: "no"}
	var spec, api [][]string
	for _, c := range contract.Codes {
		code, exit := "`"+string(c.Code)+"`", strconv.Itoa(c.Exit)
		spec = append(spec, []string{code, exit, yesNo[c.Retryable], c.Meaning, c.Hint})
		api = append(api, []string{code, exit, yesNo[c.Retryable]})
	}
	rows(t, "docs/SPEC.md, error codes", docs["docs/SPEC.md"].under("Error codes", "code"), spec)
	rows(t, "docs/API_DOCUMENTATION.md, error codes", docs["docs/API_DOCUMENTATION.md"].under("Error codes of the client", "code"), api)

	known := map[string]bool{}
	for _, c := range contract.Codes {
		known[string(c.Code)] = true
	}
	for path, text := range readable(t) {
		for _, word := range codeWord.FindAllString(text, -1) {
			if !known[word] {
				t.Errorf("%s: %s is no error code", path, word)
			}
		}
	}
}

// rows compares a table with what its first cells must be.
func rows(t *testing.T, what string, got, want [][]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d rows, want %d", what, len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if n := len(want[i]); len(got[i]) < n || !slices.Equal(got[i][:n], want[i]) {
			t.Errorf("%s: the table has\n  %q\nthe code has\n  %q, want len(got[i]) %v at least, %v", what, got[i], want[i], n, want[i])
		}
	}
}

// readable is all text that people read, documentation in other files too.
func readable(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for path, d := range documents(t) {
		texts[path] = d.text
	}
	for _, dir := range []string{"ansible", "configs", "docs"} {
		err := filepath.WalkDir(filepath.Join(top, dir), func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			switch filepath.Ext(path) {
			case ".py", ".yml", ".yaml", ".md", ".j2", ".example", ".service", ".1", ".8":
				name := strings.TrimPrefix(filepath.ToSlash(path), top+"/")
				texts[name] = read(t, name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return texts
}

func checkEvents(t *testing.T) {
	docs := documents(t)
	var want [][]string
	known := configKeys()
	for _, e := range contract.Events {
		want = append(want, []string{"`" + string(e.Event) + "`", e.Meaning})
		known = append(known, string(e.Event))
	}
	rows(t, "docs/SPEC.md, audit events", docs["docs/SPEC.md"].under("Audit events", "event"), want)
	word := regexp.MustCompile("`(enrollment\\.[a-z_]+)`")
	for path, d := range docs {
		for _, m := range word.FindAllStringSubmatch(d.prose, -1) {
			if !contains(known, m[1]) {
				t.Errorf("%s: %s is neither an audit event nor a config key", path, m[1])
			}
		}
	}
}

// jsonNames are the names of a struct's fields on the wire.
func jsonNames(v any) []string {
	var names []string
	for i := range reflect.TypeOf(v).NumField() {
		f := reflect.TypeOf(v).Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous {
			names = append(names, jsonNames(reflect.ValueOf(v).Field(i).Interface())...)
		} else if name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

func checkWire(t *testing.T) {
	api := documents(t)["docs/API_DOCUMENTATION.md"]
	same(t, "docs/API_DOCUMENTATION.md, request", first(api.under("POST /api/v1/enroll", "field")), jsonNames(contract.EnrollmentRequest{}))
	same(t, "docs/API_DOCUMENTATION.md, bundle", first(api.under("The bundle", "field")), jsonNames(contract.PollingStatus{}))
	for _, r := range api.under("POST /api/v1/enroll", "field") {
		if r[0] != "`os_details`" {
			continue
		}
		var named []string
		for _, m := range inCode.FindAllStringSubmatch(r[3], -1) {
			named = append(named, m[1])
		}
		same(t, "docs/API_DOCUMENTATION.md, os_details", named, jsonNames(contract.OSDetails{}))
	}
	for _, code := range []string{"200", "202", "400", "403", "404", "409", "429", "500"} {
		if !strings.Contains(api.text, "| "+code+" |") {
			t.Errorf("docs/API_DOCUMENTATION.md: no table has the HTTP status %s, want %q in it", code, "| "+code+" |")
		}
	}
	for _, path := range []string{contract.EnrollPath, contract.StatusPath + "{token}"} {
		if !strings.Contains(api.text, path) {
			t.Errorf("docs/API_DOCUMENTATION.md does not have %s", path)
		}
	}
}

func checkResults(t *testing.T) {
	spec := documents(t)["docs/SPEC.md"]
	result, info := jsonNames(report.Result{}), jsonNames(enroll.Info{})
	var more []string
	for _, name := range info {
		if !contains(result, name) {
			more = append(more, name)
		}
	}
	same(t, "docs/SPEC.md, result", first(spec.under("Result", "field")), append(slices.Clone(result), more...))
	for module, names := range map[string][]string{"enrollment": result, "enrollment_info": info} {
		var documented []string
		for name := range sidecar(t, module, "RETURN") {
			documented = append(documented, name)
		}
		// Ansible documents these two for every module.
		names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == "changed" || n == "failed" })
		same(t, "ansible/plugins/modules/"+module+".py, RETURN", documented, names)
	}
	var states []string
	for _, s := range []contract.State{contract.StateAbsent, contract.StateRegistered, contract.StatePending,
		contract.StateEnrolled, contract.StateForeign, contract.StateDenied, contract.StateExpired} {
		states = append(states, string(s))
	}
	same(t, "docs/SPEC.md, states", first(spec.under("States", "state")), states)
}
