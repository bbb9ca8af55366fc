package optionsgen

import (
	"fmt"
	"reflect"
	"strings"
)

// administratorParts are what is generated of the options that the modules on
// the controller share. One that nothing is said of is the action plugin's own.
func administratorParts(connection any, saidText []byte) ([]part, error) {
	texts, err := parse(saidText)
	if err != nil {
		return nil, err
	}
	var all []option
	tagged := map[string][]string{}
	for f := range reflect.TypeOf(connection).Fields() {
		name := f.Tag.Get("json")
		for _, tag := range []string{"shared", "secret"} {
			if f.Tag.Get(tag) != "" {
				tagged[tag] = append(tagged[tag], name)
			}
		}
		text, known := texts[name]
		if !known && f.Tag.Get("shared") != "" {
			return nil, fmt.Errorf("internal/admin/options.yaml: no description of the option %s", name)
		}
		if known {
			all = append(all, administrators(f, name, text))
		}
	}
	if err := unknown(texts, all); err != nil {
		return nil, err
	}
	document := documentation(all, "", 2)
	return []part{
		{"ansible/plugins/modules/enrollment_approval.py", "connection", document},
		{"ansible/plugins/modules/enrollment_requests_info.py", "connection", document},
		{"ansible/plugins/plugin_utils/administrator.py", "administrator",
			python("SHARED", "A module_defaults for the group gives them to all its modules.", tagged["shared"]) +
				python("SECRETS", "Their values stay out of everything that is shown.", tagged["secret"])},
	}, nil
}

// administrators is what a field says of an option. Its struct has the types of
// JSON.
func administrators(f reflect.StructField, name string, text said) option {
	o := declared(f, text)
	o.name = name
	if strings.HasSuffix(name, "_path") {
		o.kind = "path"
	}
	if o.kind == "string" {
		o.kind = "str"
	}
	return o
}

// python is a set of names.
func python(name, why string, options []string) string {
	return fmt.Sprintf("# %s\n%s = frozenset((\n    \"%s\",\n))\n", why, name, strings.Join(options, "\",\n    \""))
}
