package options

import (
	"reflect"
	"strconv"
	"time"

	"github.com/linux-patch/enroll/internal/pace"
)

// Bounds and defaults of waiting. A manager hands an approved bundle out for
// 600 s only, so no two polls may be 300 s or more apart, jitter included
// (contract, deployed behaviour).
const (
	DefaultInterval = 60 * time.Second
	MinInterval     = time.Second
	MaxInterval     = pace.Longest
)

// Defaults of the file attributes and of renewal, which config.yaml or the files
// have a say in. All others are tags of Params.
const (
	DefaultCertMode    = 0o644
	DefaultKeyMode     = 0o600
	DefaultRenewBefore = 7 * 24 * time.Hour
)

// Where the polling token is mirrored to: Params.TokenStorage.
const (
	TokenInConfig   = "config"
	TokenInStateDir = "state_dir"
)

// DefaultParams are the options of a run that names none.
func DefaultParams() Params {
	var p Params
	fillDefaults(&p)
	return p
}

// DefaultInfoParams are the options of an enrollment_info that names none.
func DefaultInfoParams() InfoParams {
	var p InfoParams
	fillDefaults(&p)
	return p
}

// fillDefaults sets the struct that p points to as its tags say. A test reads
// each of them as strictly as arguments are read.
func fillDefaults(p any) {
	v := reflect.ValueOf(p).Elem()
	for field, f := range v.Fields() {
		switch text := field.Tag.Get("default"); {
		case text == "":
		case f.Kind() == reflect.Bool:
			f.SetBool(text == "true")
		case f.Kind() == reflect.String:
			f.SetString(text)
		case f.Type() == reflect.TypeFor[Span]():
			span, _ := ParseSpan(text)
			f.SetInt(int64(span))
		case f.Kind() == reflect.Int:
			n, _ := strconv.Atoi(text)
			f.SetInt(int64(n))
		}
	}
}

// Tagged lists the options of a Params struct, or of what points to one, that
// have a tag such as secret, in their order.
func Tagged(params any, tag string) []string {
	var names []string
	for f := range reflect.Indirect(reflect.ValueOf(params)).Type().Fields() {
		if f.Tag.Get(tag) != "" {
			names = append(names, f.Tag.Get("arg"))
		}
	}
	return names
}
