package docscheck_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/afero"
	"go.yaml.in/yaml/v3"

	"github.com/linux-patch/enroll/internal/ansible"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/report"
)

var errGood = errors.New("the arguments are good")

// take gives arguments to the module's own decoding, and returns why they are
// refused.
func take(module string, arguments map[string]any) error {
	raw, err := json.Marshal(arguments)
	if err != nil {
		return err
	}
	args := []string{"-"}
	if module == "enrollment_info" {
		args = []string{"info", "-"}
	}
	var out bytes.Buffer
	ansible.Program{
		Args: args, Stdin: bytes.NewReader(raw), Stdout: &out, Files: afero.NewMemMapFs(),
		Reader:   ansible.Reader{Getenv: func(string) string { return "" }},
		Enroller: func(func(string)) (*enroll.Enroller, error) { return nil, errGood },
	}.Main(context.Background())
	var result struct {
		Msg   string
		Error *struct{ Code contract.Code }
	}
	if err := json.Unmarshal(out.Bytes(), &result); err != nil {
		return err
	}
	if result.Msg == errGood.Error() {
		return nil
	}
	return errors.New(result.Msg)
}

// inShell is JSON in single quotes on a command line.
var inShell = regexp.MustCompile(`'(\{.*\})'`)

func checkExamples(t *testing.T) {
	checked := 0
	for path, d := range documents(t) {
		for _, f := range d.fences {
			where := fmt.Sprintf("%s:%d", path, f.line)
			switch {
			case f.info == "json":
				checked += exampleJSON(t, where, f.body)
			case f.info == "yaml":
				checked += exampleYAML(t, where, f.body)
			case f.info == "console" && strings.Contains(f.body, "| enrollment -"):
				for _, m := range inShell.FindAllStringSubmatch(f.body, -1) {
					checked += exampleJSON(t, where, m[1])
				}
			}
		}
	}
	if checked < 10 {
		t.Errorf("only %d examples were seen: this test looks in the wrong place, want 10 at least", checked)
	}
}

// exampleJSON checks a block of JSON, which holds arguments where it names a
// manager, a bundle or a state to reach.
func exampleJSON(t *testing.T, where, body string) int {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Errorf("%s: this is no JSON: got %v, want no error", where, err)
		return 0
	}
	if _, isResult := v["changed"]; isResult {
		for name := range v {
			if !contains(jsonNames(report.Result{}), name) {
				t.Errorf("%s: a result has no field %s", where, name)
			}
		}
		return 1
	}
	for _, argument := range []string{"manager_url", "bundle_path", "state"} {
		if _, ok := v[argument]; ok {
			if err := take("enrollment", v); err != nil {
				t.Errorf("%s: the module refuses this: got %v, want no error", where, err)
			}
			return 1
		}
	}
	return 0
}

// exampleYAML checks tasks, variables of the role, and arguments in cloud-init.
func exampleYAML(t *testing.T, where, body string) int {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(body), &v); err != nil {
		t.Errorf("%s: this is no YAML: got %v, want no error", where, err)
		return 0
	}
	role := roleOptions(t)
	checked := 0
	visit(v, func(key string, value any) {
		module, isModule := strings.CutPrefix(key, "linux_patch.api.")
		arguments, _ := value.(map[string]any)
		switch {
		case isModule && (module == "enrollment" || module == "enrollment_info"):
			if err := take(module, literal(arguments)); err != nil {
				t.Errorf("%s: the module refuses this: got %v, want no error", where, err)
			}
			checked++
		case isModule:
			t.Errorf("%s: there is no module %s", where, key)
		case key == "content" && strings.HasPrefix(strings.TrimSpace(fmt.Sprint(value)), "{"):
			checked += exampleJSON(t, where, fmt.Sprint(value))
		case strings.HasPrefix(key, "enroll_"):
			if role[key] == nil {
				t.Errorf("%s: the role has no variable %s", where, key)
			}
			checked++
		}
	})
	return checked
}

// literal leaves out what a template would fill in, but not the names.
func literal(arguments map[string]any) map[string]any {
	out := map[string]any{}
	for name, value := range arguments {
		if s, ok := value.(string); ok && strings.Contains(s, "{{") {
			value = nil
		}
		out[name] = value
	}
	return out
}

func visit(v any, each func(key string, value any)) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			each(key, value)
			visit(value, each)
		}
	case []any:
		for _, value := range v {
			visit(value, each)
		}
	}
}
