package optionsgen

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/linux-patch/enroll/internal/options"
)

// option is what the struct and options.yaml have of one option.
type option struct {
	// name is the option's; the role's variable has a prefix.
	name string
	// kind is bool, int, str, path, time or mode.
	kind    string
	choices []string
	// def is the default, "" where config.yaml or the host has a say.
	def    string
	secret bool
	said
}

// said is an entry of options.yaml, which explains the members.
type said struct {
	Summary, Meaning, Default string
	Description, Role         []string
	Since                     string
	Info                      *said
}

// merge joins the options of a struct with what is said of them.
func merge(params any, texts map[string]said) ([]option, error) {
	var all []option
	t := reflect.TypeOf(params)
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("arg")
		if name == "" {
			continue
		}
		text, ok := texts[name]
		if !ok || len(text.Description) == 0 {
			return nil, fmt.Errorf("options.yaml: no description of the option %s (%s.%s)", name, t.Name(), f.Name)
		}
		all = append(all, declared(f, text))
	}
	return all, nil
}

// declared is what a field and its tags say of an option.
func declared(f reflect.StructField, text said) option {
	o := option{name: f.Tag.Get("arg"), kind: kindOf(f.Type), def: f.Tag.Get("default"), secret: f.Tag.Get("secret") != "", said: text}
	if f.Type.Kind() == reflect.Bool && o.def == "" {
		o.def = "false"
	}
	for rule := range strings.SplitSeq(f.Tag.Get("validate"), ",") {
		if words, ok := strings.CutPrefix(rule, "oneof="); ok {
			o.choices = strings.Fields(words)
		}
	}
	if o.secret {
		o.Description = append(slices.Clone(o.Description), "It appears in no output.")
		o.Meaning = strings.TrimSuffix(o.meaning(), ".") + ". Appears in no output"
	}
	return o
}

func kindOf(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch reflect.Zero(t).Interface().(type) {
	case options.Span:
		return "time"
	case options.Path:
		return "path"
	case fs.FileMode:
		return "mode"
	case string:
		return "str"
	}
	return t.String()
}

// meaning is the phrase for docs/SPEC.md.
func (s said) meaning() string { return cmp.Or(s.Meaning, s.Summary) }

// parse reads options.yaml.
func parse(text []byte) (map[string]said, error) {
	texts := map[string]said{}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&texts); err != nil {
		return nil, fmt.Errorf("options.yaml: %w", err)
	}
	return texts, nil
}

// ofInfo are the entries as enrollment_info has them: its own where it has one.
func ofInfo(texts map[string]said) map[string]said {
	all := map[string]said{}
	for name, text := range texts {
		own := said{}
		if text.Info != nil {
			own = *text.Info
		}
		own.Meaning = cmp.Or(own.Meaning, "as above")
		own.Default = cmp.Or(own.Default, text.Default)
		if len(own.Description) == 0 {
			own.Description = text.Description
		}
		all[name] = own
	}
	return all
}

// ofRole are the module's options as variables of the role. With the default of
// the role, where that has one: what is not set is left to the module.
func ofRole(module []option, defaults map[string]any) []option {
	names := map[string]bool{}
	for _, o := range module {
		names[o.name] = true
	}
	link := regexp.MustCompile(`\bO\(([a-z_]+)`)
	result := regexp.MustCompile(`\bRV\((?:\w+=)?`)
	all := slices.Clone(module)
	for i, o := range all {
		all[i].Description = nil
		for _, text := range slices.Concat(o.Description, o.Role) {
			text = link.ReplaceAllStringFunc(text, func(s string) string {
				if name := s[len("O("):]; names[name] {
					return "O(" + prefix + name
				}
				return s
			})
			all[i].Description = append(all[i].Description, result.ReplaceAllString(text, "V("))
		}
		all[i].def = ""
		if def, ok := defaults[prefix+o.name]; ok {
			all[i].def = fmt.Sprint(def)
		}
	}
	return all
}

// unknown names an entry that no struct has an option for.
func unknown(texts map[string]said, lists ...[]option) error {
	rest := maps.Clone(texts)
	for _, o := range slices.Concat(lists...) {
		delete(rest, o.name)
	}
	for _, name := range slices.Sorted(maps.Keys(rest)) {
		return fmt.Errorf("options.yaml: there is no option %s", name)
	}
	return nil
}
