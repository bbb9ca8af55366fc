package docs_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// valid checks a value against the part of JSON Schema that the file uses.
func valid(t *testing.T, root object, where string, schema object, v any) {
	t.Helper()
	for _, fault := range faults(t, root, where, schema, v) {
		t.Error(fault)
	}
}

func faults(t *testing.T, root object, where string, schema object, v any) (out []string) {
	t.Helper()
	fail := func(format string, args ...any) { out = append(out, where+": "+fmt.Sprintf(format, args...)) }
	if ref, ok := schema["$ref"].(string); ok {
		schema = at(t, root, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	if list, ok := schema["oneOf"].([]any); ok {
		fits := 0
		for _, s := range list {
			if len(faults(t, root, where, s.(object), v)) == 0 {
				fits++
			}
		}
		if fits != 1 {
			fail("fits %d of the schemas, want 1", fits)
		}
	}
	if not, ok := schema["not"].(object); ok && len(faults(t, root, where, not, v)) == 0 {
		fail("fits what it must not")
	}
	if required, ok := schema["required"].([]any); ok {
		members, _ := v.(object)
		for _, name := range required {
			if _, there := members[name.(string)]; !there {
				fail("%s is missing", name)
			}
		}
	}
	switch schema["type"] {
	case "object":
		members, ok := v.(object)
		if !ok {
			fail("is no object")
		}
		properties, _ := schema["properties"].(object)
		for name, value := range members {
			if p, ok := properties[name].(object); ok {
				out = append(out, faults(t, root, where+"."+name, p, value)...)
			}
		}
	case "array":
		list, ok := v.([]any)
		if !ok {
			fail("is no array")
		}
		for i, value := range list {
			out = append(out, faults(t, root, fmt.Sprintf("%s[%d]", where, i), schema["items"].(object), value)...)
		}
	case "string":
		s, ok := v.(string)
		if !ok {
			fail("is no string")
		}
		if p, ok := schema["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(s) {
			fail("does not match %s", p)
		}
		if list, ok := schema["enum"].([]any); ok && !contains(texts(list), s) {
			fail("%q is none of %v", s, list)
		}
	}
	return out
}

func texts(list []any) []string {
	var out []string
	for _, v := range list {
		out = append(out, fmt.Sprint(v))
	}
	return out
}
