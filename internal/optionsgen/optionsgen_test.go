// Package optionsgen writes what is said of the options into the files that say
// it, from the package options: the struct and its tags, and options.yaml. All of
// it is test code: the test compares, and writes if -update is set, as
// `make options` does.
package optionsgen

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/testbuild"
)

const top = "../.."

var update = flag.Bool("update", false, "write what is said of the options into the files that say it")

func TestWhatIsSaidOfTheOptionsIsInStep(t *testing.T) {
	files, err := generate(top)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range files {
		if *update {
			if err := os.WriteFile(filepath.Join(top, path), []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(filepath.Join(top, path))
		if err != nil || string(got) != want {
			t.Errorf("%s: got another text than internal/options and internal/admin give, want it as `make options` writes it (%v)", path, err)
		}
	}
	if len(files) != 10 {
		t.Errorf("got %d files, want 10", len(files))
	}
}

const known = `
retries:
  summary: how often to try
  meaning: how often to try before giving up
  description:
    - "How often to try: V(0) is never. O(pin) is sent each time, RV(state=pending) is the result, and O(role_only) is a longer line than fits."
  role: [Only of the role.]
  since: 0.3.0
pin:
  summary: a word
  default: config ` + "`enrollment.pin`" + `, else none
  description: [A word.]
  info: {description: [The same word.]}
`

// one and its kind are what an option is declared by: one field.
type one struct {
	Retries int    `arg:"retries" default:"3" validate:"gte=0"`
	Pin     string `arg:"pin" validate:"oneof=red blue"`
}

type secretOne struct {
	Retries int    `arg:"retries" default:"3" validate:"gte=0" secret:"true"`
	Pin     string `arg:"pin" validate:"oneof=red blue"`
}

type onlyPin struct {
	Pin string `arg:"pin" validate:"oneof=red blue"`
}

// made are the parts by file and name, and fails on an error.
func made(t *testing.T, params any) map[string]string {
	t.Helper()
	all, err := parts(params, onlyPin{}, []byte(known), []byte("enroll_pin: red\n"))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, p := range all {
		texts[filepath.Base(p.path)+" "+p.name] = p.text
	}
	return texts
}

// A field and an entry are all that an option needs.
func TestOptionReachesEachFile(t *testing.T) {
	texts := made(t, one{})
	for part, want := range map[string][]string{
		"enrollment.py module": {"  retries:\n    description:\n      - >-\n        How often", "    type: int\n    default: 3\n    version_added: 0.3.0\n  pin:\n",
			"    choices:\n      - red\n      - blue\n"},
		"enrollment_info.py info": {"  pin:\n    description:\n      - The same word.\n    type: str\n"},
		"argument_specs.yml role": {"      enroll_retries:\n", " Only of the role.\n        type: int\n        version_added: 0.3.0\n",
			"O(enroll_pin)", "V(pending)", "O(role_only)", "default: red\n"},
		"README.md readme":    {"| `retries` | `3` | how often to try |\n", "| `pin` | config, else none | a word |\n"},
		"SPEC.md module":      {"| `retries` | int | `3` | how often to try before giving up |\n"},
		"SPEC.md info":        {"| `pin` | str | config `enrollment.pin`, else none | as above |\n"},
		"enrollment.8 module": {".It Cm retries\nHow often to try.\nDefault: \\%\\fB3\\fP.\n.It Cm pin\nA word.\n"},
		"enrollment.8 info":   {"\\%\\fBpin\\fP.\n"},
	} {
		for _, w := range want {
			if !strings.Contains(texts[part], w) {
				t.Errorf("%s: got\n%s\nwant in it\n%s", part, texts[part], w)
			}
		}
	}
	for part, text := range texts {
		if strings.Contains(part, "SPEC.md") || strings.Contains(part, "README.md") || strings.Contains(part, ".8 ") {
			continue
		}
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Errorf("%s: got no YAML, want some: %v\n%s", part, err, text)
		}
	}
}

// One tag makes an option secret for the program (internal/ansible), for the
// action plugin, and in the documents.
func TestSecretReachesPluginAndDocuments(t *testing.T) {
	for params, want := range map[any]bool{one{}: false, secretOne{}: true} {
		texts := made(t, params)
		for _, part := range []string{"enrollment.py module", "argument_specs.yml role", "SPEC.md module"} {
			if got := regexp.MustCompile(`(?i)appears in no output`).MatchString(texts[part]); got != want {
				t.Errorf("%s: got %t for a secret that appears in no output, want %t:\n%s", part, got, want, texts[part])
			}
		}
		if got := strings.Contains(texts["README.md secret"], "`retries`"); got != want {
			t.Errorf("the collection's README: got %t for its list of secrets, want %t", got, want)
		}
		if got := secretsOf(t, texts["argument_specs.yml role"]); strings.Contains(got, `"retries"`) != want {
			t.Errorf("the action plugin: got the secrets %s, want retries among them: %t", got, want)
		}
	}
}

// The options that are secret, from the struct to the action plugin.
func TestTheActionPluginHidesWhatTheStructMarks(t *testing.T) {
	specs, err := os.ReadFile(filepath.Join(top, "ansible/roles/enroll/meta/argument_specs.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Specs struct {
			Main struct{ Options yaml.Node }
		} `yaml:"argument_specs"`
	}
	if err := yaml.Unmarshal(specs, &doc); err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(&doc.Specs.Main.Options)
	if err != nil {
		t.Fatal(err)
	}
	got := secretsOf(t, string(text))
	for _, name := range options.Tagged(options.Params{}, "secret") {
		if !strings.Contains(got, `"`+name+`"`) {
			t.Errorf("got the secrets %s, want %s among them", got, name)
		}
	}
}

// secretsOf asks the plugin's own code which variables of a role are secret.
func secretsOf(t *testing.T, specification string) string {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(specification), &v); err != nil {
		t.Fatal(err)
	}
	in, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := testbuild.Python(filepath.Join(top, "ansible/plugins/plugin_utils"), "hidden",
		`json.dumps(sorted(hidden.options(json.loads(x), "enroll_")))`, []string{string(in)})
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	for _, c := range []struct {
		texts, want string
	}{
		{"pin:\n  description: [A word.]\n", "options.yaml: no description of the option retries (one.Retries)"},
		{known + "speed:\n  summary: x\n", "options.yaml: there is no option speed"},
		{known + "other:\n  shortly: x\n", "field shortly not found"},
	} {
		if _, err := parts(one{}, onlyPin{}, []byte(c.texts), nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	if _, err := (part{"x.md", "readme", "text"}).within("nothing\n"); err == nil {
		t.Error("got no error for a file without the comment, want one")
	}
}
