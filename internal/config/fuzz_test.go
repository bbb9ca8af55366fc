package config

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// pieces are what configs and their traps are made of; a fuzzer that picks among
// them gets past the parser more often than one that picks bytes.
var pieces = []string{
	"enrollment:", "enrollment", "\"enrollment\":", "\n  polling_token:", "polling_token", "\"polling_token\":", "server:", "a:", "\n  b:", "? ", ": ",
	"- ", " ", "  ", "\t", "\n", "\r\n", "\n  ", "{", "}", "[", "]", ", ", "\"\"", "''", "old", "\"old\"", "'old'", "~", "null", "1", "true",
	"\"", "'", "\\", "#", " # c", "\n  # c", "\n---\n", "\n...\n", "---", "...", "&m ", "*m", "!!str ", "!!map ", "|", ">", "|+\n", "\n    x\n",
	"é", "\U0001f600", "\ufeff", "\u2028", "\u0085", "\r", "%TAG !s! x:\n---\n", "<<: ",
	addedMark, wasMark, wasMark + leftOut, wasMark + "~", wasMark + "''", sectionLine, tokenKey + ": ", "\n" + sectionLine + "\n  " + tokenKey + ": " + "\"old\"" + addedMark,
}

func assemble(picks []byte) []byte {
	var b []byte
	for _, p := range picks {
		b = append(b, pieces[int(p)%len(pieces)]...)
	}
	return b
}

func seed(f *testing.F) {
	for _, tt := range edits {
		f.Add([]byte(tt.in), token, false)
		f.Add([]byte(tt.want), "an\"other\\\n", false)
	}
	for _, tt := range uneditable {
		f.Add([]byte(tt.in), token, false)
	}
	f.Add([]byte(full), token, false)
	for i := range pieces {
		f.Add([]byte{0, 3, 12, byte(i), 15, 13, 7, byte(i + 1)}, token, true)
	}
}

func FuzzSetThenClear(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte, token string, pick bool) {
		if pick {
			data = assemble(data)
		}
		given := bytes.Clone(data)
		set, err := SetPollingToken(data, token)
		if !bytes.Equal(data, given) {
			t.Fatalf("Set changed what it was given: got %q, want %v", data, given)
		}
		before, bad := Parse(data)
		if err != nil {
			// Where the token is long enough not to be there by chance.
			if len(token) > 12 && strings.Contains(err.Error(), token) {
				t.Fatalf("%q holds the token", err)
			}
			return
		}
		if bad != nil || token == "" || !utf8.ValidString(token) {
			t.Fatalf("%q was edited (%v): %q", data, bad, set)
		}
		after, err := Parse(set)
		if err != nil || after.Enrollment.PollingToken != token {
			t.Fatalf("%q became %q: %v", data, set, err)
		}
		if before.Enrollment.PollingToken == token {
			if !bytes.Equal(set, data) {
				t.Fatalf("%q has the token and became %q, want %v", data, set, data)
			}
			return
		}
		sameOthers(t, data, set)
		// The null of a section becomes a comment.
		if before.Enrollment.PollingToken == "" && !inserted(data, set) && !inserted(data, bytes.Replace(set, []byte(wasMark[1:]), nil, 1)) {
			t.Fatalf("%q became %q: not one insertion", data, set)
		}

		cleared, err := ClearPollingToken(set)
		if err != nil {
			t.Fatalf("%q became %q and can't be cleared: got %v, want no error", data, set, err)
		}
		want, err := ClearPollingToken(data)
		if err != nil {
			t.Fatalf("%q can be set and not cleared: got %v, want no error", data, err)
		}
		// Anyone who wrote one of our comments by hand has made the line ours.
		if !bytes.Contains(data, []byte("by enrollment")) && !bytes.Equal(cleared, want) {
			t.Fatalf("%q became %q and then %q, want %q", data, set, cleared, want)
		}
	})
}

func FuzzClear(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte, _ string, pick bool) {
		if pick {
			data = assemble(data)
		}
		given := bytes.Clone(data)
		cleared, err := ClearPollingToken(data)
		if !bytes.Equal(data, given) {
			t.Fatalf("Clear changed what it was given: got %q, want %v", data, given)
		}
		before, bad := Parse(data)
		if err != nil {
			if bad == nil && before.Enrollment.PollingToken == "" {
				t.Fatalf("%q has no token and can't be cleared: %v", data, err)
			}
			return
		}
		if bad != nil {
			t.Fatalf("%q is no config (%v) but became %q", data, bad, cleared)
		}
		after, err := Parse(cleared)
		if err != nil || after.Enrollment.PollingToken != "" {
			t.Fatalf("%q became %q: got %v, want an empty text", data, cleared, err)
		}
		sameOthers(t, data, cleared)
		if before.Enrollment.PollingToken == "" && !bytes.Contains(data, []byte("by enrollment")) && !bytes.Equal(cleared, data) {
			t.Fatalf("%q has no token and became %q", data, cleared)
		}
		// One of our comments behind a value that isn't ours counts from the
		// second time on.
		if bytes.Contains(data, []byte("by enrollment")) {
			return
		}
		if again, err := ClearPollingToken(cleared); err != nil || !bytes.Equal(again, cleared) {
			t.Fatalf("%q cleared twice: got %q, %v, want %v", data, again, err, cleared)
		}
	})
}

// FuzzParse looks for a token in the errors, wherever in the text it stands.
func FuzzParse(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte, _ string, pick bool) {
		if pick {
			data = assemble(data)
		}
		secret := "Q7xS3CRETx7Q"
		data = bytes.ReplaceAll(data, []byte("old"), []byte(secret))
		c, err := Parse(data)
		if err == nil {
			if err = c.Validate(); strings.Contains(c.String(), secret) && c.Enrollment.PollingToken != "" && !elsewhere(c, secret) {
				t.Fatalf("%q: %s holds the token", data, c)
			}
		}
		// A refused value is shown behind its key, the token's never.
		if err != nil && strings.Contains(err.Error(), secret) && !shown(err) {
			t.Fatalf("%q: %q holds the token", data, err)
		}
	})
}

// shown tells whether all that an error shows are values of other keys.
func shown(err error) bool {
	said, _, _ := strings.Cut(err.Error(), ", got: ")
	return said != err.Error() && !strings.Contains(said, tokenKey)
}

// elsewhere tells whether another value than the token holds the secret.
func elsewhere(c *Config, secret string) bool {
	bare := *c
	bare.Enrollment.PollingToken = ""
	return strings.Contains(bare.String(), secret)
}

// inserted tells whether long is short with one piece more.
func inserted(short, long []byte) bool {
	n := len(long) - len(short)
	if n < 0 {
		return false
	}
	at := 0
	for at < len(short) && short[at] == long[at] {
		at++
	}
	return bytes.Equal(short[at:], long[at+n:])
}

// sameOthers compares all other values as another reader sees them.
func sameOthers(t *testing.T, a, b []byte) {
	t.Helper()
	read := func(data []byte) (map[string]any, error) {
		var m map[string]any
		err := yaml.Unmarshal(data, &m)
		switch section := m["enrollment"].(type) {
		case map[string]any:
			delete(section, "polling_token")
			if len(section) == 0 {
				delete(m, "enrollment")
			}
		case map[any]any: // with keys that are not text
			delete(section, "polling_token")
		case nil:
			delete(m, "enrollment")
		}
		if len(m) == 0 {
			m = nil
		}
		return m, err
	}
	was, err := read(a)
	if err != nil {
		return
	}
	is, err := read(b)
	if err != nil || !reflect.DeepEqual(was, is) {
		t.Fatalf("%q became %q: %v became %v, %v, want %v", a, b, was, is, err, is)
	}
}
