package docscheck_test

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/options"
)

// option is what the code says of one option.
type option struct {
	kind string
	// def is the default as a table shows it, "" where there is none in the
	// code.
	def     string
	choices []string
}

// settled are the defaults that stand beside the struct, since config.yaml or a
// mode comes before them.
var settled = map[string]string{
	"ca_cert_path": contract.DefaultCACertPath, "server_cert_path": contract.DefaultServerCertPath,
	"server_key_path": contract.DefaultServerKeyPath, "crl_path": contract.DefaultCRLPath,
	"whitelist_path":           contract.DefaultWhitelistPath,
	"polling_interval_seconds": fmt.Sprint(int(options.DefaultInterval / time.Second)), "max_poll_attempts": "0",
	"renew_before": fmt.Sprintf("%dd", int(options.DefaultRenewBefore/day)),
	"cert_mode":    fmt.Sprintf("%04o", options.DefaultCertMode), "key_mode": fmt.Sprintf("%04o", options.DefaultKeyMode),
}

// optionsOf reads the options from a struct and its defaults.
func optionsOf(defaults any) map[string]option {
	all := map[string]option{}
	v := reflect.ValueOf(defaults)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("arg")
		if name == "" {
			continue
		}
		o := option{def: settled[name]}
		for rule := range strings.SplitSeq(f.Tag.Get("validate"), ",") {
			if words, ok := strings.CutPrefix(rule, "oneof="); ok {
				o.choices = strings.Fields(words)
			}
		}
		kind := f.Type
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		switch reflect.Zero(kind).Interface().(type) {
		case bool:
			o.kind, o.def = "bool", fmt.Sprint(v.Field(i).Bool())
		case int:
			o.kind = "int"
		case options.Span:
			o.kind = "time"
			if f.Type.Kind() != reflect.Pointer {
				o.def = span(time.Duration(v.Field(i).Int()))
			}
		case fs.FileMode:
			o.kind = "mode"
		case options.Path:
			o.kind = "path"
			if s := v.Field(i).String(); s != "" {
				o.def = s
			}
		default:
			o.kind, o.def = "str", v.Field(i).String()
		}
		all[name] = o
	}
	return all
}

func span(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	return strings.TrimSuffix(d.String(), "m0s")
}

func names(options map[string]option) []string {
	var list []string
	for name := range options {
		list = append(list, name)
	}
	return list
}

// lastCode returns the last code of a cell, which is the default where there is
// one.
func lastCode(cell string) string {
	all := inCode.FindAllStringSubmatch(cell, -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1]
}

func checkOptions(t *testing.T) {
	docs := documents(t)
	enrollment, info := optionsOf(options.DefaultParams()), optionsOf(options.DefaultInfoParams())
	tables := docs["docs/SPEC.md"].tables
	var spec [][][]string
	for _, tab := range tables {
		if tab.heading == "Options" {
			spec = append(spec, tab.rows[1:])
		}
	}
	if len(spec) != 2 {
		t.Fatalf("docs/SPEC.md: %d tables of options, want one for each module", len(spec))
	}
	for _, c := range []struct {
		where           string
		rows            [][]string
		kinds, defaults int
		options         map[string]option
	}{
		{"README.md", docs["README.md"].under("Options", "option"), -1, 1, enrollment},
		{"docs/SPEC.md, enrollment", spec[0], 1, 2, enrollment},
		{"docs/SPEC.md, enrollment_info", spec[1], 1, 2, info},
	} {
		same(t, c.where, first(c.rows), names(c.options))
		for _, r := range c.rows {
			o := c.options[first([][]string{r})[0]]
			if got := lastCode(r[c.defaults]); o.def != "" && got != o.def {
				t.Errorf("%s: the default of %s is %q, in the code %q", c.where, r[0], got, o.def)
			}
			if c.kinds >= 0 && r[c.kinds] != o.kind {
				t.Errorf("%s: %s is of type %q, in the code %q", c.where, r[0], r[c.kinds], o.kind)
			}
			for _, choice := range o.choices {
				if !strings.Contains(strings.Join(r, "|"), "`"+choice+"`") {
					t.Errorf("%s: %s may be %s, which is not said, want %q in it", c.where, r[0], choice, "`"+choice+"`")
				}
			}
		}
	}
}

// sidecar returns one of the YAML texts of a module's documentation.
func sidecar(t *testing.T, module, variable string) map[string]any {
	t.Helper()
	path := "ansible/plugins/modules/" + module + ".py"
	m := regexp.MustCompile(`(?s)\n` + variable + ` = r"""\n(.*?)\n"""`).FindStringSubmatch(read(t, path))
	if m == nil {
		t.Fatalf("%s has no %s", path, variable)
	}
	var v map[string]any
	if err := yaml.Unmarshal([]byte(m[1]), &v); err != nil {
		t.Fatalf("got %s, %s: %v, want no error", path, variable, err)
	}
	return v
}

// ansibleTypes are Ansible's words for ours.
var ansibleTypes = map[string]string{"bool": "bool", "int": "int", "str": "str", "path": "path", "time": "str", "mode": "raw"}

func checkSidecars(t *testing.T) {
	enrollment := optionsOf(options.DefaultParams())
	for module, options := range map[string]map[string]option{
		"enrollment": enrollment, "enrollment_info": optionsOf(options.DefaultInfoParams()),
	} {
		documented, ok := sidecar(t, module, "DOCUMENTATION")["options"].(map[string]any)
		if !ok {
			t.Fatalf("%s: no options in DOCUMENTATION", module)
		}
		compare(t, "ansible/plugins/modules/"+module+".py", "", documented, options)
	}
	compare(t, "ansible/roles/enroll/meta/argument_specs.yml", "enroll_", roleOptions(t), enrollment)

	// What documents call a variable of role or playbooks is one.
	known := names(enrollment)
	for name := range roleOptions(t) {
		known = append(known, strings.TrimPrefix(name, "enroll_"))
	}
	variable := regexp.MustCompile(`\benroll_([a-z_]+)\b`)
	playbooks, err := filepath.Glob(filepath.Join(top, "ansible/playbooks/*.yml"))
	if err != nil || len(playbooks) == 0 {
		t.Fatalf("no playbooks: got %v, want some", err)
	}
	for _, path := range playbooks {
		// A playbook's own name may begin like a variable.
		known = append(known, strings.TrimPrefix(strings.TrimSuffix(filepath.Base(path), ".yml"), "enroll_"))
		// A playbook explains its own at its head.
		for _, m := range regexp.MustCompile(`(?m)^# enroll_([a-z_]+) `).FindAllStringSubmatch(read(t, strings.TrimPrefix(path, top+"/")), -1) {
			known = append(known, m[1])
		}
	}
	tasksOf, err := filepath.Glob(filepath.Join(top, "ansible/roles/enroll/tasks/*.yml"))
	if err != nil || len(tasksOf) == 0 {
		t.Fatalf("no tasks: got %v, want some", err)
	}
	for _, path := range tasksOf {
		// What the role leaves behind is registered by a task.
		for _, m := range regexp.MustCompile(`register: enroll_([a-z_]+)`).FindAllStringSubmatch(read(t, strings.TrimPrefix(path, top+"/")), -1) {
			known = append(known, m[1])
		}
	}
	for path, d := range documents(t) {
		for _, m := range variable.FindAllStringSubmatch(d.text, -1) {
			if !contains(known, m[1]) {
				t.Errorf("%s: %s is no variable of the role or of a playbook", path, m[0])
			}
		}
	}
}

// roleOptions are the variables of the role.
func roleOptions(t *testing.T) map[string]any {
	t.Helper()
	var specs struct {
		Specs struct {
			Main struct{ Options map[string]any }
		} `yaml:"argument_specs"`
	}
	unmarshal(t, "ansible/roles/enroll/meta/argument_specs.yml", &specs)
	return specs.Specs.Main.Options
}

func unmarshal(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, path)), into); err != nil {
		t.Fatalf("%s: got %v, want no error", path, err)
	}
}

// compare holds documented options to those of the code. A role has more
// options than the module, so that with a prefix only missing ones count.
func compare(t *testing.T, where, prefix string, documented map[string]any, options map[string]option) {
	t.Helper()
	for name := range documented {
		if _, known := options[name]; !known && prefix == "" {
			t.Errorf("%s: the option %s is unknown to the code", where, name)
		}
	}
	for name, o := range options {
		d, ok := documented[prefix+name].(map[string]any)
		if !ok {
			t.Errorf("%s: the option %s is missing", where, prefix+name)
			continue
		}
		if d["type"] != ansibleTypes[o.kind] {
			t.Errorf("%s: %s is of type %v, want %s", where, prefix+name, d["type"], ansibleTypes[o.kind])
		}
		var choices []string
		if list, ok := d["choices"].([]any); ok {
			for _, c := range list {
				choices = append(choices, fmt.Sprint(c))
			}
		}
		same(t, where+", choices of "+prefix+name, choices, o.choices)
		if def, given := d["default"]; given && o.def != fmt.Sprint(def) && !strings.HasPrefix(prefix, "enroll_") {
			t.Errorf("%s: the default of %s is %v, in the code %q", where, name, def, o.def)
		}
	}
}
