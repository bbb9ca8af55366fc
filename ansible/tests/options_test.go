package tests

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	program "github.com/linux-patch/enroll/internal/ansible"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/enroll"
)

// The options stand in the program, in the modules' documentation, in the
// role's argument specification and in its task. These tests hold them together.

type option struct {
	Description []string
	Type        string
	Choices     []string
	Default     any
}

type returned map[string]struct {
	Description any
	Contains    returned
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// block takes one of the YAML texts out of a documentation file.
func block(t *testing.T, module, name string, into any) {
	t.Helper()
	path := "../plugins/modules/" + module + ".py"
	found := regexp.MustCompile(`(?s)\n` + name + ` = r"""\n(.*?)"""`).FindStringSubmatch(read(t, path))
	if found == nil {
		t.Fatalf("%s has no %s", path, name)
	}
	if err := yaml.Unmarshal([]byte(found[1]), into); err != nil {
		t.Fatalf("%s, %s: %v", path, name, err)
	}
}

func documented(t *testing.T, module string) map[string]option {
	t.Helper()
	var doc struct{ Options map[string]option }
	block(t, module, "DOCUMENTATION", &doc)
	return doc.Options
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func TestDocumentedOptionsAreThoseOfTheProgram(t *testing.T) {
	for module, params := range map[string]any{"enrollment": enroll.Params{}, "enrollment_info": enroll.InfoParams{}} {
		options := documented(t, module)
		same(t, module, slices.Collect(maps.Keys(options)), program.Options(params))
		for name, o := range options {
			if len(o.Description) == 0 || o.Type == "" {
				t.Errorf("%s: %s lacks a description or a type", module, name)
			}
		}
	}
	info := documented(t, "enrollment_info")
	for name, o := range documented(t, "enrollment") {
		if other, both := info[name]; both && (other.Type != o.Type || other.Default != o.Default) {
			t.Errorf("%s differs between the modules: %v %v, %v %v", name, o.Type, o.Default, other.Type, other.Default)
		}
	}
}

func TestDocumentedDefaultsAreThoseOfTheProgram(t *testing.T) {
	options := documented(t, "enrollment")
	d := enroll.DefaultParams()
	for name, want := range map[string]any{
		"state": d.State, "config_path": string(d.ConfigPath), "state_dir": string(d.StateDir), "wait": d.Wait,
		"allow_ca_change": d.AllowCAChange, "insecure": d.Insecure, "whitelist_manager": d.WhitelistManager,
		"backup": d.Backup, "force": d.Force, "strict_identity": d.StrictIdentity, "token_storage": d.TokenStorage,
	} {
		if options[name].Default != want {
			t.Errorf("%s: documented %v, is %v", name, options[name].Default, want)
		}
	}
	field, _ := reflect.TypeFor[enroll.Params]().FieldByName("State")
	same(t, "choices of state", options["state"].Choices,
		strings.Fields(strings.TrimPrefix(field.Tag.Get("validate"), "oneof=")))
}

func TestDocumentedResultsAreThoseOfTheProgram(t *testing.T) {
	for module, result := range map[string]any{"enrollment": enroll.Result{}, "enrollment_info": enroll.Info{}} {
		var doc returned
		block(t, module, "RETURN", &doc)
		// Ansible itself documents these.
		want := slices.DeleteFunc(fieldsOf(reflect.TypeOf(result)), func(name string) bool { return name == "changed" || name == "failed" })
		same(t, module, slices.Collect(maps.Keys(doc)), want)
		for name, part := range map[string]any{
			"manager": enroll.Manager{}, "key": enroll.Key{}, "whitelist": enroll.Whitelist{}, "error": enroll.Error{},
		} {
			same(t, module+"."+name, slices.Collect(maps.Keys(doc[name].Contains)), fieldsOf(reflect.TypeOf(part)))
		}
		same(t, module+".certificates.server", slices.Collect(maps.Keys(doc["certificates"].Contains["server"].Contains)),
			fieldsOf(reflect.TypeFor[enroll.Certificate]()))
	}
}

// fieldsOf lists the JSON names of a struct, those of embedded structs included.
func fieldsOf(t reflect.Type) []string {
	var names []string
	for f := range t.NumField() {
		field := t.Field(f)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous:
			names = append(names, fieldsOf(field.Type)...)
		case name != "" && name != "-":
			names = append(names, name)
		}
	}
	return names
}

func TestTheRolePassesEveryOption(t *testing.T) {
	var spec struct {
		ArgumentSpecs struct {
			Main struct{ Options map[string]option }
		} `yaml:"argument_specs"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "../roles/enroll/meta/argument_specs.yml")), &spec); err != nil {
		t.Fatal(err)
	}
	var defaults map[string]any
	if err := yaml.Unmarshal([]byte(read(t, "../roles/enroll/defaults/main.yml")), &defaults); err != nil {
		t.Fatal(err)
	}
	var tasks []map[string]any
	if err := yaml.Unmarshal([]byte(read(t, "../roles/enroll/tasks/enroll.yml")), &tasks); err != nil {
		t.Fatal(err)
	}
	passed, ok := tasks[0]["linux_patch.api.enrollment"].(map[string]any)
	if !ok {
		t.Fatal("the first task of tasks/enroll.yml is not the module")
	}
	options := documented(t, "enrollment")
	same(t, "passed by the role", slices.Collect(maps.Keys(passed)), slices.Collect(maps.Keys(options)))
	for name, o := range options {
		s, ok := spec.ArgumentSpecs.Main.Options["enroll_"+name]
		if !ok || s.Type != o.Type || !slices.Equal(s.Choices, o.Choices) {
			t.Errorf("the role's enroll_%s is %q %v, the module's option %q %v", name, s.Type, s.Choices, o.Type, o.Choices)
		}
		if value, _ := passed[name].(string); !strings.Contains(value, "enroll_"+name) {
			t.Errorf("the role passes %q for %s", value, name)
		}
	}
	for name, value := range defaults {
		if s, ok := spec.ArgumentSpecs.Main.Options[name]; !ok || !reflect.DeepEqual(s.Default, value) {
			t.Errorf("%s: default %v, specified %v", name, value, s.Default)
		}
	}
	for name, s := range spec.ArgumentSpecs.Main.Options {
		if _, ok := defaults[name]; s.Default != nil && !ok {
			t.Errorf("%s is specified with a default and has none", name)
		}
	}
}

// The action plugin has codes of its own for what happens before the program runs.
func TestTheActionPluginUsesKnownCodes(t *testing.T) {
	found := regexp.MustCompile(`"(ENROLL_[A-Z_]+)"`).FindAllStringSubmatch(read(t, "../plugins/plugin_utils/program.py"), -1)
	if len(found) == 0 {
		t.Fatal("no code found")
	}
	for _, f := range found {
		if string(contract.Code(f[1]).Info().Code) != f[1] {
			t.Errorf("%s is no code", f[1])
		}
	}
}
