package ansible

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/nearest"
	"github.com/linux-patch/enroll/internal/options"
)

// Options lists the names of the options that a Params struct declares.
func Options(params any) []string {
	return slices.Sorted(slices.Values(options.Tagged(params, "arg")))
}

// fill coerces the options into the struct that p points to. A null is an
// option that was not given, as in Ansible.
func (r Reader) fill(a arguments, p any) error {
	target := reflect.ValueOf(p).Elem()
	known := map[string]reflect.StructField{}
	for f := range target.Type().Fields() {
		if name := f.Tag.Get("arg"); name != "" {
			known[name] = f
		}
	}
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(a.options)) {
		f, ok := known[name]
		if !ok {
			unknown = append(unknown, clip(name))
			continue
		}
		if a.options[name] == nil {
			continue
		}
		value, err := r.coerce(f.Type, a.options[name])
		if err != nil {
			if f.Tag.Get("secret") != "" {
				err = errors.New(notShown)
			}
			return contract.Errorf(contract.CodeInvalidArgument,
				"argument '%s' is of type %s and we were unable to convert to %s: %w",
				name, typeName(a.options[name]), kindName(f.Type), err)
		}
		target.FieldByIndex(f.Index).Set(value)
	}
	if len(unknown) > 0 {
		return contract.Errorf(contract.CodeInvalidArgument,
			"Unsupported parameters for (%s%s) module: %s. Supported parameters include: %s.%s",
			collection, a.control.Module, strings.Join(unknown, ", "), strings.Join(slices.Sorted(maps.Keys(known)), ", "),
			suggestions(unknown, slices.Sorted(maps.Keys(known))))
	}
	if err := emptyTrust(a.options, options.Tagged(p, "trust")); err != nil {
		return err
	}
	return validate(p)
}

// suggestions names, for each unknown option, the known one that was meant.
func suggestions(unknown, known []string) string {
	var out strings.Builder
	for _, name := range unknown {
		if near := nearest.Name(name, known); near != "" {
			fmt.Fprintf(&out, " Did you mean %s instead of %s?", near, name)
		}
	}
	return out.String()
}

// emptyTrust refuses an option that names trust and has no value. It is a
// template that found nothing, and must not turn into the system's roots or into
// no pin.
func emptyTrust(given map[string]any, trust []string) error {
	for _, name := range trust {
		if s, ok := given[name].(string); ok && strings.TrimSpace(s) == "" {
			return contract.Errorf(contract.CodeInvalidArgument,
				"%s is empty: an option that names trust never means none; leave it out", name)
		}
	}
	return nil
}

// coerce turns a JSON value into an option's type.
func (r Reader) coerce(t reflect.Type, v any) (reflect.Value, error) {
	if t.Kind() == reflect.Pointer {
		inner, err := r.coerce(t.Elem(), v)
		if err != nil {
			return reflect.Value{}, err
		}
		p := reflect.New(t.Elem())
		p.Elem().Set(inner)
		return p, nil
	}
	var (
		out any
		err error
	)
	switch reflect.Zero(t).Interface().(type) {
	case bool:
		out, err = toBool(v)
	case int:
		out, err = toInt(v)
	case string:
		out, err = toString(v)
	case options.Path:
		out, err = r.toPath(v)
	case options.Span:
		out, err = toSpan(v)
	case fs.FileMode:
		out, err = toMode(v)
	}
	if err != nil {
		return reflect.Value{}, err
	}
	return reflect.ValueOf(out).Convert(t), nil
}

func kindName(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch reflect.Zero(t).Interface().(type) {
	case options.Path:
		return "path"
	case options.Span:
		return "a time span"
	case fs.FileMode:
		return "a file mode"
	case string:
		return "str"
	default:
		return t.String()
	}
}
