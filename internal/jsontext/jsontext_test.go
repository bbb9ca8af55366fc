package jsontext_test

import (
	"testing"

	"github.com/linux-patch/enroll/internal/jsontext"
)

func TestField4_13_WhereJSONIsBroken(t *testing.T) {
	for in, want := range map[string]string{
		"":                           "is empty",
		" \n\t\r\n":                  "is empty",
		`{"a": 1}`:                   "",
		"{\n  \"a\": 1,\n}\n":        `line 2, column 9: a comma before the closing }`,
		"{\n  \"é\": [1,\n 2 , ]\n}": `line 3, column 4: a comma before the closing ]`,
		"{\"a\": 1,}":                `line 1, column 8: a comma before the closing }`,
		"{\"a\": 1\n \"b\": 2}":      `line 2, column 2: not JSON`,
		"{'a': 1}":                   `line 1, column 2: not JSON`,
		"{\"a\": 1":                  `line 1, column 8: it ends too early`,
		"a: 1\n":                     `line 1, column 1: not JSON`,
		"{\"a\": 1}\n{}":             `line 2, column 1: something follows the value`,
		"{\"a\": True}":              `line 1, column 7: not JSON`,
		"{\"a\": 1, // comment\n}":   `line 1, column 10: not JSON`,
	} {
		got := ""
		if err := jsontext.Fault([]byte(in)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
