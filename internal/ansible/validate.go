package ansible

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/go-playground/validator/v10"

	"github.com/linux-patch/enroll/internal/aptrepo"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostname"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki"
)

// notShown stands in a message for the value of a secret option.
const notShown = "a value that is not shown"

// validate checks the values of the options against the struct's tags, and
// words the first fault as Ansible words it.
func validate(p any) error {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string { return f.Tag.Get("arg") })
	for tag, check := range map[string]validator.Func{"abspath": absPath, "fingerprint": fingerprint, "openpgp": openPGP, "host": host, "oneof": oneOf} {
		if err := v.RegisterValidation(tag, check); err != nil {
			return fmt.Errorf("registering the check %s: %w", tag, err)
		}
	}
	err := v.Struct(p)
	faults, ok := errors.AsType[validator.ValidationErrors](err)
	if !ok {
		return err
	}
	return contract.Errorf(contract.CodeInvalidArgument, "%s", sentence(faults[0], options.Tagged(p, "secret")))
}

func sentence(f validator.FieldError, secrets []string) string {
	got := fmt.Sprint(f.Value())
	if slices.Contains(secrets, f.Field()) {
		got = notShown
	}
	rule := cmp.Or(map[string]string{
		"oneof":       "must be one of: " + strings.ReplaceAll(f.Param(), " ", ", "),
		"abspath":     "must be an absolute path without '..'",
		"fingerprint": "must be a SHA-256 fingerprint (64 hexadecimal digits, colons allowed)",
		"openpgp":     "must be the fingerprint of an OpenPGP key of version 4 (40 hexadecimal digits, blanks allowed)",
		"ip":          "must be an IP address",
		"host":        "must be a host name (RFC 1123)",
		"gte":         "must be " + f.Param() + " or more",
	}[f.Tag()], "is not valid ("+f.Tag()+")")
	return fmt.Sprintf("value of %s %s, got: %s", f.Field(), rule, clip(got))
}

func absPath(f validator.FieldLevel) bool {
	p := f.Field().String()
	if !filepath.IsAbs(p) || strings.ContainsAny(p, "\x00\n\r") {
		return false
	}
	return !strings.Contains(p+"/", "/../")
}

func openPGP(f validator.FieldLevel) bool {
	_, err := aptrepo.NormalizeFingerprint(f.Field().String())
	return err == nil
}

func fingerprint(f validator.FieldLevel) bool {
	_, err := pki.NormalizeFingerprint(f.Field().String())
	return err == nil
}

// oneOf takes the place of the library's rule, which splits its words by a regular
// expression: compiling that is a twenty-fifth of a converged run's work.
func oneOf(f validator.FieldLevel) bool {
	return slices.Contains(strings.Fields(f.Param()), f.Field().String())
}

// host is the rule of every name in the program. The library's own is a regular
// expression whose compilation is a seventh of a converged run's work.
func host(f validator.FieldLevel) bool {
	_, ok := hostname.Canonical(f.Field().String())
	return ok
}
