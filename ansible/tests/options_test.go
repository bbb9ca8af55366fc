package tests

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/report"
)

// The documentation audit holds names, types and defaults of the options to the
// code. These tests hold what lies deeper.

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

// results are what a module's documentation says of its results.
func results(t *testing.T, module string) returned {
	t.Helper()
	path := "../plugins/modules/" + module + ".py"
	found := regexp.MustCompile(`(?s)\nRETURN = r"""\n(.*?)"""`).FindStringSubmatch(read(t, path))
	if found == nil {
		t.Fatalf("%s has no RETURN", path)
	}
	var doc returned
	if err := yaml.Unmarshal([]byte(found[1]), &doc); err != nil {
		t.Fatalf("%s: got %v, want no error", path, err)
	}
	return doc
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

func TestTheDocumentedPartsOfAResultAreThoseOfTheProgram(t *testing.T) {
	for _, module := range []string{"enrollment", "enrollment_info"} {
		doc := results(t, module)
		for name, part := range map[string]any{
			"manager": report.Manager{}, "key": report.Key{}, "whitelist": report.Whitelist{}, "error": report.Error{},
		} {
			same(t, module+"."+name, slices.Collect(maps.Keys(doc[name].Contains)), fieldsOf(reflect.TypeOf(part)))
		}
		same(t, module+".certificates.server", slices.Collect(maps.Keys(doc["certificates"].Contains["server"].Contains)),
			fieldsOf(reflect.TypeFor[report.Certificate]()))
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

func parse(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, path)), into); err != nil {
		t.Fatalf("%s: got %v, want no error", path, err)
	}
}

// The action plugin gives the module what enroll_OPTION says, where a task of the
// role asks for it: here for all that the documentation lists.
func TestTheRolePassesItsVariables(t *testing.T) {
	for _, file := range []string{"enroll", "verify", "prepare"} {
		var tasks []map[string]any
		parse(t, "../roles/enroll/tasks/"+file+".yml", &tasks)
		filled := 0
		for _, task := range tasks {
			_, enrolls := task["linux_patch.api.enrollment"]
			_, looks := task["linux_patch.api.enrollment_info"]
			vars, _ := task["vars"].(map[string]any)
			if !enrolls && !looks {
				continue
			}
			if filled++; vars["_enroll_fill"] != true {
				t.Errorf("tasks/%s.yml: got no _enroll_fill in %v, want true", file, task["name"])
			}
		}
		if filled != 1 {
			t.Errorf("tasks/%s.yml: got %d tasks of the modules, want 1", file, filled)
		}
	}
}

func TestTheRolesDefaultsAreThoseThatItSpecifies(t *testing.T) {
	var spec struct {
		ArgumentSpecs struct {
			Main struct {
				Options map[string]struct{ Default any }
			}
		} `yaml:"argument_specs"`
	}
	parse(t, "../roles/enroll/meta/argument_specs.yml", &spec)
	var defaults map[string]any
	parse(t, "../roles/enroll/defaults/main.yml", &defaults)
	options := spec.ArgumentSpecs.Main.Options
	for name, value := range defaults {
		if s, ok := options[name]; !ok || !reflect.DeepEqual(s.Default, value) {
			t.Errorf("%s: default %v, specified %v", name, value, s.Default)
		}
	}
	for name, s := range options {
		if _, ok := defaults[name]; s.Default != nil && !ok {
			t.Errorf("%s is specified with a default and has none", name)
		}
	}
}

// The action plugin has codes of its own for what happens before the program runs.
func TestTheActionPluginUsesKnownCodes(t *testing.T) {
	var found [][]string
	for _, name := range []string{"program", "detached"} {
		codes := regexp.MustCompile(`"(ENROLL_[A-Z_]+)"`).FindAllStringSubmatch(read(t, "../plugins/plugin_utils/"+name+".py"), -1)
		if len(codes) == 0 {
			t.Fatalf("no code found in %s.py, want some", name)
		}
		found = append(found, codes...)
	}
	for _, f := range found {
		if string(contract.Code(f[1]).Info().Code) != f[1] {
			t.Errorf("%s is no code", f[1])
		}
	}
}

// A user of the collection has its README, and not the documents of this tree.
func TestTheCollectionsReadmeListsEveryCode(t *testing.T) {
	var got, want []string
	for _, f := range regexp.MustCompile(`(?m)^\| `+"`(ENROLL_[A-Z_]+)`"+` \| (yes|no) \| (.*) \|$`).FindAllStringSubmatch(read(t, "../README.md"), -1) {
		got = append(got, f[1]+" "+f[2]+" "+f[3])
	}
	for _, info := range contract.Codes {
		retryable := map[bool]string{true: "yes", false: "no"}[info.Retryable]
		want = append(want, string(info.Code)+" "+retryable+" "+info.Meaning)
	}
	same(t, "codes of README.md", got, want)
}

// What the README says is supported is what `make versions` tests. It prints the
// table; this holds the versions to the pins where that was not run.
func TestTheReadmesVersionsAreThoseThatArePinned(t *testing.T) {
	_, rest, found := strings.Cut(read(t, "../../README.md"), "<!-- ansible/tests/versions --write -->\n")
	table, _, ended := strings.Cut(rest, "<!-- end -->")
	if !found || !ended {
		t.Fatal("the README has no table of versions")
	}
	var stated, pinned []string
	for _, row := range regexp.MustCompile(`(?m)^\| (\S+) \| \S+ \| PyPI \| (all|core) \| passes \|$`).FindAllStringSubmatch(table, -1) {
		stated = append(stated, row[1]+" "+row[2])
	}
	files, err := filepath.Glob("../setup/versions/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	pin := regexp.MustCompile(`^# Python 3\.\d+ to 3\.\d+; tests: (all|core)\nansible-core==(\S+)\n`)
	for _, file := range files {
		row := pin.FindStringSubmatch(read(t, file))
		if row == nil {
			t.Fatalf("%s does not begin with what it is for and its ansible-core", file)
		}
		pinned = append(pinned, row[2]+" "+row[1])
	}
	same(t, "the README's table of versions", stated, pinned)
}
