package config

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"reflect"
	"strings"

	"github.com/go-playground/validator/v10"

	"github.com/linux-patch/enroll/internal/contract"
)

// Validate checks what the values mean: ports, addresses, absolute paths. Its
// error names every key that is wrong, with its line and value. It is apart from
// Parse because it costs more than parsing does.
func (c *Config) Validate() error {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string { return f.Tag.Get("key") })
	if err := v.RegisterValidation("absolute", func(fl validator.FieldLevel) bool {
		return path.IsAbs(fl.Field().String())
	}); err != nil {
		return contract.Errorf(contract.CodeInternal, "config rules: %w", err)
	}

	var wrong []string
	// A zero is a port left out for the tags, which can't see that it is written.
	for _, p := range []struct {
		key  string
		port int
	}{{"server.port", c.Server.Port}, {"tls.port", c.TLS.Port}} {
		if p.port == 0 && c.lines[p.key] != 0 {
			wrong = append(wrong, c.place(p.key)+` must be at least 1, got: "0"`)
		}
	}
	err := v.Struct(c)
	if fields, ok := errors.AsType[validator.ValidationErrors](err); ok {
		for _, f := range fields {
			_, key, _ := strings.Cut(f.Namespace(), ".")
			// Of a list, the whole.
			key, _, _ = strings.Cut(key, "[")
			wrong = append(wrong, c.place(key)+" "+rule(f)+c.Got(key, fmt.Sprint(reflect.Indirect(reflect.ValueOf(f.Value())))))
		}
	} else if err != nil {
		return contract.Errorf(contract.CodeInternal, "config rules: %w", err)
	}
	if len(wrong) == 0 {
		return nil
	}
	return contract.Errorf(contract.CodeConfig, "config is not valid: %s", strings.Join(wrong, "; "))
}

func (c *Config) place(key string) string {
	if line := c.lines[key]; line > 0 {
		return fmt.Sprintf("line %d: %s", line, key)
	}
	return key
}

// rule says what a value must be.
func rule(f validator.FieldError) string {
	unit := ""
	if f.Kind() == reflect.String {
		unit = " characters long"
	}
	return cmp.Or(map[string]string{
		"ip":          "must be an IP address",
		"absolute":    "must be an absolute path",
		"http_url":    "must be an http or https URL",
		"oneofci":     "must be one of: " + strings.ReplaceAll(f.Param(), " ", ", "),
		"excludesall": "must be the name of a network interface",
		"min":         "must be at least " + f.Param(),
		"max":         "must be at most " + f.Param() + unit,
	}[f.Tag()], "must meet the rule "+f.Tag())
}
