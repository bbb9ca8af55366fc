package options_test

import (
	"fmt"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/options"
)

// A default is a tag: a text that nothing but this test checks.
func TestDefaultsAreOfTheirOptionsType(t *testing.T) {
	for _, params := range []any{options.DefaultParams(), options.DefaultInfoParams()} {
		v := reflect.ValueOf(params)
		for i := range v.NumField() {
			f, value := v.Type().Field(i), v.Field(i).Interface()
			text := f.Tag.Get("default")
			if text == "" {
				if !v.Field(i).IsZero() {
					t.Errorf("%s: got %v without a tag, want the zero value", f.Name, value)
				}
				continue
			}
			var want any
			var err error
			switch value.(type) {
			case bool:
				want, err = strconv.ParseBool(text)
			case int:
				want, err = strconv.Atoi(text)
			case options.Span:
				want, err = options.ParseSpan(text)
			case options.Path:
				want = options.Path(text)
			case string:
				want = text
			default:
				err = fmt.Errorf("no default can be of type %T", value)
			}
			if err != nil || value != want {
				t.Errorf("%s: got %v from %q, want %v (%v)", f.Name, value, text, want, err)
			}
		}
	}
}

// The paths are the agent's too.
func TestDefaultPathsAreThoseOfTheContract(t *testing.T) {
	p, info := options.DefaultParams(), options.DefaultInfoParams()
	for want, got := range map[string][]options.Path{
		contract.DefaultConfigPath: {p.ConfigPath, info.ConfigPath},
		contract.DefaultStateDir:   {p.StateDir, info.StateDir},
		contract.DefaultStatusPath: {info.StatusPath},
	} {
		for _, path := range got {
			if string(path) != want {
				t.Errorf("got %s, want %s", path, want)
			}
		}
	}
}

func TestSpans(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "90": 90 * time.Second, " 0.5 ": time.Second / 2, "30s": 30 * time.Second, "5m": 5 * time.Minute,
		"2h": 2 * time.Hour, "7d": 7 * 24 * time.Hour, "1w": 7 * 24 * time.Hour, "1.5h": 90 * time.Minute,
		"": -1, "soon": -1, "-1": -1, "NaN": -1, "inf": -1, "1y": -1, "1h30m": -1, "h": -1, "1 h": -1, "1e9w": -1,
	} {
		got, err := options.ParseSpan(text)
		if err != nil {
			got = -1
		}
		if time.Duration(got) != want {
			t.Errorf("%q: got %s (%v), want %s", text, time.Duration(got), err, want)
		}
	}
}
