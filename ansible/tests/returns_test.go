package tests

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/report"
)

// returnedType is what RETURN says of a value: what the action plugin lets pass.
type returnedType struct {
	Type     string
	Elements string
	Contains map[string]returnedType
}

// common are the results that every module of Ansible has.
var common = map[string]bool{"changed": true, "failed": true}

// TestField3_5_DocumentedResultsAreThoseOfTheProgram holds the list by which the
// action plugin cleans a host's answer to what the program answers.
func TestField3_5_DocumentedResultsAreThoseOfTheProgram(t *testing.T) {
	for module, result := range map[string]reflect.Type{
		"enrollment": reflect.TypeFor[report.Result](), "enrollment_info": reflect.TypeFor[enroll.Info](),
	} {
		text := regexp.MustCompile(`(?s)\nRETURN = r"""\n(.*?)"""`).FindStringSubmatch(read(t, "../plugins/modules/"+module+".py"))
		if text == nil {
			t.Fatalf("%s has no RETURN", module)
		}
		var documented map[string]returnedType
		if err := yaml.Unmarshal([]byte(text[1]), &documented); err != nil {
			t.Fatalf("%s: got %v, want no error", module, err)
		}
		agrees(t, module, result, returnedType{Type: "dict", Contains: documented}, common)
	}
}

// agrees compares a type with what is documented of it, and all that is in it.
func agrees(t *testing.T, where string, got reflect.Type, want returnedType, besides map[string]bool) {
	t.Helper()
	switch got {
	case reflect.TypeFor[json.RawMessage]():
		return
	case reflect.TypeFor[time.Time]():
		is(t, where, "str", want.Type)
		return
	}
	switch kind := got.Kind(); kind {
	case reflect.Pointer:
		agrees(t, where, got.Elem(), want, nil)
	case reflect.Struct:
		is(t, where, "dict", want.Type)
		fields := jsonFields(got)
		for name, field := range fields {
			inner, ok := want.Contains[name]
			if !ok && !besides[name] {
				t.Errorf("%s.%s is not documented, so that the action plugin drops it", where, name)
			} else if ok {
				agrees(t, where+"."+name, field, inner, nil)
			}
		}
		for name := range want.Contains {
			// The action plugin writes these two over what a host says.
			if fields[name] == nil && name != "inventory_hostname" && name != "connection" {
				t.Errorf("%s.%s is documented, and the program never gives it", where, name)
			}
		}
	case reflect.Slice:
		is(t, where, "list", want.Type)
		agrees(t, where+"[]", got.Elem(), returnedType{Type: want.Elements, Contains: want.Contains}, nil)
	default:
		is(t, where, map[reflect.Kind]string{reflect.String: "str", reflect.Bool: "bool", reflect.Int: "int", reflect.Int64: "int"}[kind], want.Type)
	}
}

func is(t *testing.T, where, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is of type %q, documented as %q, want %v", where, got, want, want)
	}
}

// jsonFields are the JSON members of a struct, those of embedded structs included.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous:
			for inner, kind := range jsonFields(field.Type) {
				fields[inner] = kind
			}
		case name != "" && name != "-":
			fields[name] = field.Type
		}
	}
	return fields
}
