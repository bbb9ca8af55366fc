package config

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
)

const token = "T0ken"

// edits are texts whose token can be set: want is the text with token in it.
// Clearing that gives back in, or cleared where that is not empty.
var edits = []struct{ name, in, want, cleared string }{
	{"empty text", "", "enrollment: # added by enrollment\n  polling_token: \"T0ken\" # added by enrollment\n", ""},
	{"comments only", "# c\n", "# c\nenrollment: # added by enrollment\n  polling_token: \"T0ken\" # added by enrollment\n", ""},
	{"no section", "server:\n  port: 1\n", "server:\n  port: 1\nenrollment: # added by enrollment\n  polling_token: \"T0ken\" # added by enrollment\n", ""},
	{"no section, no final newline", "a: 1", "a: 1\nenrollment: # added by enrollment\n  polling_token: \"T0ken\" # added by enrollment", ""},
	{"no section, CRLF, BOM, multi-byte", "\ufeffä: \"é\"\r\n# \U0001f600\r\n", "\ufeffä: \"é\"\r\n# \U0001f600\r\nenrollment: # added by enrollment\r\n  polling_token: \"T0ken\" # added by enrollment\r\n", ""},
	{"no section, CRLF, no final newline", "a: 1\r\nb: 2", "a: 1\r\nb: 2\r\nenrollment: # added by enrollment\r\n  polling_token: \"T0ken\" # added by enrollment", ""},
	{"no section, indented", "  a: 1\n", "  a: 1\n  enrollment: # added by enrollment\n    polling_token: \"T0ken\" # added by enrollment\n", ""},
	{"no section, markers", "---\na: 1\n... # end\n", "---\na: 1\nenrollment: # added by enrollment\n  polling_token: \"T0ken\" # added by enrollment\n... # end\n", ""},
	{"no section, BOM only", "\ufeff", "\ufeffenrollment: # added by enrollment\n  polling_token: \"T0ken\" # added by enrollment\n", ""},
	{"section commented out", "a: 1\n# enrollment:\n#   polling_token: \"\"\n", "a: 1\n# enrollment:\n#   polling_token: \"\"\nenrollment: # added by enrollment\n  polling_token: \"T0ken\" # added by enrollment\n", ""},

	{"section left empty", "enrollment: # c\nz: 1\n", "enrollment: # c\n  polling_token: \"T0ken\" # added by enrollment\nz: 1\n", ""},
	{"section left empty, no final newline", "enrollment:", "enrollment:\n  polling_token: \"T0ken\" # added by enrollment", ""},
	{"section is null", "enrollment: null\n", "enrollment: # set by enrollment, was: null\n  polling_token: \"T0ken\" # added by enrollment\n", ""},
	{"section is a tilde, comment", "a: 1\nenrollment:  ~  # c\nz: 1\n", "a: 1\nenrollment:  # set by enrollment, was: ~  # c\n  polling_token: \"T0ken\" # added by enrollment\nz: 1\n", ""},
	{"section is Null, CRLF, tabs", "\ufeffenrollment:\tNull\t# é\r\n", "\ufeffenrollment:\t# set by enrollment, was: Null\t# é\r\n  polling_token: \"T0ken\" # added by enrollment\r\n", ""},
	{"section is NULL, no final newline", "enrollment: NULL", "enrollment: # set by enrollment, was: NULL\n  polling_token: \"T0ken\" # added by enrollment", ""},
	{"section is null, markers", "---\nenrollment: null\n...\n", "---\nenrollment: # set by enrollment, was: null\n  polling_token: \"T0ken\" # added by enrollment\n...\n", ""},
	{"section is empty braces, indented", "  a: 1\n  enrollment: {} # c\n", "  a: 1\n  enrollment: # set by enrollment, was: {} # c\n    polling_token: \"T0ken\" # added by enrollment\n", ""},
	{"section was null, another joined", "enrollment: # set by enrollment, was: null\n  manager_url: x\n  polling_token: \"old\" # added by enrollment\n", "enrollment: # set by enrollment, was: null\n  manager_url: x\n  polling_token: \"T0ken\" # added by enrollment\n", "enrollment: # set by enrollment, was: null\n  manager_url: x\n"},
	{"section without the key", "enrollment:\n    # the manager\n    manager_url: x\n\n    # last\nz: 1\n", "enrollment:\n    polling_token: \"T0ken\" # added by enrollment\n    # the manager\n    manager_url: x\n\n    # last\nz: 1\n", ""},
	{"section without the key, CRLF, quoted", "\"enrollment\" : # é\r\n  manager_url: x", "\"enrollment\" : # é\r\n  polling_token: \"T0ken\" # added by enrollment\r\n  manager_url: x", ""},
	{"section with a text at its end", "enrollment:\n  x: |+\n    a\n\n", "enrollment:\n  polling_token: \"T0ken\" # added by enrollment\n  x: |+\n    a\n\n", ""},
	{"section in a section", "  a: 1\n  enrollment:\n     b: 1\n", "  a: 1\n  enrollment:\n     polling_token: \"T0ken\" # added by enrollment\n     b: 1\n", ""},
	{"another section's key", "x:\n  polling_token: \"\"\nenrollment:\n  a: 1\n", "x:\n  polling_token: \"\"\nenrollment:\n  polling_token: \"T0ken\" # added by enrollment\n  a: 1\n", ""},

	{"empty, double quotes", "enrollment:\n  polling_token: \"\"\n  a: 1\n", "enrollment:\n  polling_token: \"T0ken\"\n  a: 1\n", ""},
	{"empty, double quotes, comment", "enrollment:\n  polling_token: \"\"  # a secret, é\r\n", "enrollment:\n  polling_token: \"T0ken\"  # a secret, é\r\n", ""},
	{"empty, double quotes, no final newline", "enrollment:\n  polling_token: \"\"", "enrollment:\n  polling_token: \"T0ken\"", ""},
	{"empty, double quotes, multi-byte before it", "enrollment: {\"é\": \"ü\", polling_token: \"\", x: 1}\n", "enrollment: {\"é\": \"ü\", polling_token: \"T0ken\", x: 1}\n", ""},
	{"empty, in braces", "{enrollment: {polling_token: \"\"}}", "{enrollment: {polling_token: \"T0ken\"}}", ""},
	{"empty, single quotes", "enrollment:\n  polling_token: '' # c\n", "enrollment:\n  polling_token: \"T0ken\" # set by enrollment, was: '' # c\n", ""},
	{"left out", "enrollment:\n  polling_token:\n  a: 1\n", "enrollment:\n  polling_token: \"T0ken\" # set by enrollment, was: nothing\n  a: 1\n", ""},
	{"left out, comment", "enrollment:\n  polling_token:\t# c\n", "enrollment:\n  polling_token: \"T0ken\" # set by enrollment, was: nothing\t# c\n", ""},
	{"left out, no final newline", "enrollment:\n  polling_token: ", "enrollment:\n  polling_token: \"T0ken\" # set by enrollment, was: nothing ", ""},
	{"null", "enrollment:\n  polling_token: null\r\n", "enrollment:\n  polling_token: \"T0ken\" # set by enrollment, was: null\r\n", ""},
	{"tilde", "enrollment:\n  polling_token: ~", "enrollment:\n  polling_token: \"T0ken\" # set by enrollment, was: ~", ""},

	{"old token, bare", "enrollment:\n  polling_token: old # c\n", "enrollment:\n  polling_token: \"T0ken\" # c\n", "enrollment:\n  polling_token: \"\" # c\n"},
	{"old token, single quotes", "enrollment:\n  polling_token: 'it''s'\n", "enrollment:\n  polling_token: \"T0ken\"\n", "enrollment:\n  polling_token: \"\"\n"},
	{"old token, double quotes", "enrollment: {polling_token: \"a\\\"\\\\\", b: \"\"}\n", "enrollment: {polling_token: \"T0ken\", b: \"\"}\n", "enrollment: {polling_token: \"\", b: \"\"}\n"},
	{"old token, ours", "a: 1\nenrollment: # added by enrollment\n  polling_token: \"old\" # added by enrollment\n", "a: 1\nenrollment: # added by enrollment\n  polling_token: \"T0ken\" # added by enrollment\n", "a: 1\n"},
	{"old token, was null", "enrollment:\n  polling_token: \"old\" # set by enrollment, was: ~\n", "enrollment:\n  polling_token: \"T0ken\" # set by enrollment, was: ~\n", "enrollment:\n  polling_token: ~\n"},
	{"our section that another joined", "enrollment: # added by enrollment\n  manager_url: x\n  polling_token: \"old\" # added by enrollment\n", "enrollment: # added by enrollment\n  manager_url: x\n  polling_token: \"T0ken\" # added by enrollment\n", "enrollment: # added by enrollment\n  manager_url: x\n"},
	{"our section with a comment in it", "enrollment: # added by enrollment\n  # mine\n  polling_token: \"old\" # added by enrollment\n", "enrollment: # added by enrollment\n  # mine\n  polling_token: \"T0ken\" # added by enrollment\n", "enrollment: # added by enrollment\n  # mine\n"},
	{"a comment that only looks like ours", "enrollment:\n  polling_token: \"old\" # set by enrollment, was: nullified\n", "enrollment:\n  polling_token: \"T0ken\" # set by enrollment, was: nullified\n", "enrollment:\n  polling_token: \"\" # set by enrollment, was: nullified\n"},
	{"no blank that could go", "enrollment: {\"polling_token\":\"old\" # set by enrollment, was: nothing\n  }\n", "enrollment: {\"polling_token\":\"T0ken\" # set by enrollment, was: nothing\n  }\n", "enrollment: {\"polling_token\":\"\" # set by enrollment, was: nothing\n  }\n"},
	{"our section, but not all of it can go", "\nenrollment: # added by enrollment\n  polling_token: \"old\" # added by enrollment\n...\n", "\nenrollment: # added by enrollment\n  polling_token: \"T0ken\" # added by enrollment\n...\n", "\nenrollment: # added by enrollment\n  polling_token: \"\" # added by enrollment\n...\n"},
	{"beside a key with a tag", "enrollment:\n  polling_token: old\n  !!map a:\n", "enrollment:\n  polling_token: \"T0ken\"\n  !!map a:\n", "enrollment:\n  polling_token: \"\"\n  !!map a:\n"},
	{"a line that only looks like ours", "enrollment:\n  polling_token:  \"old\" # added by enrollment\n", "enrollment:\n  polling_token:  \"T0ken\" # added by enrollment\n", "enrollment:\n  polling_token:  \"\" # added by enrollment\n"},
}

func TestSetThenClear(t *testing.T) {
	for _, tt := range edits {
		t.Run(tt.name, func(t *testing.T) {
			got, err := SetPollingToken([]byte(tt.in), token)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Fatalf("got\n%q, want\n%q", got, tt.want)
			}
			again, err := SetPollingToken(got, token)
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("set twice: got %q, %v, want %v", again, err, got)
			}
			// A new token takes the place of the first.
			other, err := SetPollingToken(got, "another \"one\"\\")
			if err != nil {
				t.Fatal(err)
			}
			want := tt.in
			if tt.cleared != "" {
				want = tt.cleared
			}
			for _, set := range [][]byte{got, other} {
				back, err := ClearPollingToken(set)
				if err != nil || string(back) != want {
					t.Errorf("Clear gives\n%q, want\n%q; %v", back, want, err)
				}
				if again, err := ClearPollingToken(back); err != nil || !bytes.Equal(again, back) {
					t.Errorf("cleared twice: got %q, %v, want %v", again, err, back)
				}
			}
		})
	}
}

func TestExampleSetThenClear(t *testing.T) {
	shipped, enabled := example(t)
	for _, in := range [][]byte{shipped, enabled} {
		for _, data := range [][]byte{in, bytes.ReplaceAll(in, []byte("\n"), []byte("\r\n")), bytes.TrimSpace(in)} {
			set, err := SetPollingToken(data, token)
			if err != nil {
				t.Fatal(err)
			}
			if c, err := Parse(set); err != nil || c.Enrollment.PollingToken != token {
				t.Errorf("got %v, %v", c, err)
			}
			if back, err := ClearPollingToken(set); err != nil || !bytes.Equal(back, data) {
				t.Errorf("Clear does not give the example back: got %v\n%s, want %v", err, back, data)
			}
		}
	}
}

func TestSetAnyToken(t *testing.T) {
	for _, tok := range []string{"0123", "true", "null", "~", "*a", "a: b", " a ", "a # b", "\"", "'", "\\", "a\nb\r\n", "\x00\x1b\x7f", "é\u2028\ufeff\U0001f600", "{x}", "- a", strings.Repeat("x", 5000)} {
		for _, in := range []string{"", "enrollment: {polling_token: \"\"}", "enrollment:\n  polling_token: ''"} {
			set, err := SetPollingToken([]byte(in), tok)
			if err != nil {
				t.Errorf("%q: got %v, want no error", tok, err)
				continue
			}
			if c, err := Parse(set); err != nil || c.Enrollment.PollingToken != tok {
				t.Errorf("%q was not set: %q", tok, set)
			}
			if back, err := ClearPollingToken(set); err != nil || string(back) != in {
				t.Errorf("%q: Clear gives %q, %v, want %v", tok, back, err, in)
			}
		}
	}
	for _, tok := range []string{"", "S3CRET\xff"} {
		if got, err := SetPollingToken(nil, tok); err == nil || strings.Contains(err.Error(), "S3CRET") {
			t.Errorf(`%q: got %q, %v, want an error, no "S3CRET" in it`, tok, got, err)
		}
	}
}

// uneditable are valid configs that SetPollingToken must leave alone.
var uneditable = []struct{ name, in, line string }{
	{"document in braces", "{server: {port: 1}}\n", "line 1"},
	{"empty document in braces", "{}\n", "line 1"},
	{"null document", "~\n", "line 1"},
	{"section in braces", "\nenrollment: {manager_url: x}\n", "line 2"},
	{"section is null in braces", "{enrollment: null}\n", "line 1"},
	{"section is null on a line of its own", "enrollment:\n  null\n", "line 1"},
	{"section is null with a tag", "enrollment: !!null null\n", "line 1"},
	{"section is empty braces on two lines", "enrollment: {\n  }\n", "line 1"},
	{"section is an alias", "x: &x {polling_token: \"\"}\nenrollment: *x\n", "line 2"},
	{"section has an anchor", "enrollment: &x\n  polling_token: \"\"\ny: *x\n", "line"},
	{"section has a tag", "enrollment: !!map\n  a: 1\n", "line 1"},
	{"section behind a question mark", "? enrollment\n: a: 1\n", "line 1"},
	{"token is left out in braces", "enrollment: {polling_token: }\n", "line 1"},
	{"token is bare in braces", "enrollment: {polling_token: S3CRET}\n", "line 1"},
	{"token is an alias", "x: &x S3CRET\nenrollment:\n  polling_token: *x\n", "line 3"},
	{"token has an anchor", "enrollment:\n  polling_token: &x S3CRET\ny: *x\n", "line 2"},
	{"token has a tag", "enrollment:\n  polling_token: !!str S3CRET\n", "line 2"},
	{"token is a block", "enrollment:\n  polling_token: |\n    S3CRET\n", "line 2"},
	{"token on several lines", "enrollment:\n  polling_token: \"S3\\\n    CRET\"\n", "line 2"},
	{"token goes on", "enrollment:\n  polling_token: S3CRET\n    S3CRET\n", "line 2"},
	{"text that a newline would change", "a: |\n  x", "line 1"},
	{"lone CR", "enrollment:\r  a: 1\r", "line 1"},
	{"line separator", "# \u2028\nenrollment:\n", "line 1"},
}

func TestUneditable(t *testing.T) {
	for _, tt := range uneditable {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse([]byte(tt.in)); err != nil {
				t.Fatalf("not a valid config: got %v, want no error", err)
			}
			got, err := SetPollingToken([]byte(tt.in), token)
			if !errors.Is(err, ErrUneditable) {
				t.Fatalf("got %q, %v, want %v", got, err, ErrUneditable)
			}
			if contract.CodeOf(err) != contract.CodeConfig {
				t.Errorf("code %s, want %v", contract.CodeOf(err), contract.CodeConfig)
			}
			for _, want := range []string{tt.line, "polling_token: ''"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
			if strings.Contains(err.Error(), token) || strings.Contains(err.Error(), "CRET") {
				t.Errorf("%q holds a token", err)
			}
		})
	}
}

func TestClear(t *testing.T) {
	same := []string{
		"", "a: 1\n", "enrollment:\n", "enrollment: {}\n", "enrollment: {polling_token: }\n", "enrollment:\n  polling_token: ''\n",
		"x: &x {polling_token: \"\"}\nenrollment: *x\n", "# \u2028\nenrollment: {polling_token: \"\"}\n", "enrollment: {polling_token: !!str }\n",
		"enrollment: # added by enrollment\n", "enrollment:\n  polling_token: # added by enrollment\n",
	}
	for _, in := range same {
		if got, err := ClearPollingToken([]byte(in)); err != nil || string(got) != in {
			t.Errorf("%q became %q, %v, want %v", in, got, err, in)
		}
	}
	if got, err := ClearPollingToken([]byte("enrollment: {polling_token: S3CRET}")); err != nil || string(got) != "enrollment: {polling_token: \"\"}" {
		t.Errorf(`got %q, %v, want enrollment: {polling_token: ""}`, got, err)
	}
	for _, in := range []string{
		"x: &x {polling_token: S3CRET}\nenrollment: *x\n", "x: &x S3CRET\nenrollment: {polling_token: *x}\n",
		"enrollment:\n  polling_token: |\n    S3CRET\n", "# \u2028\nenrollment: {polling_token: S3CRET}\n",
	} {
		got, err := ClearPollingToken([]byte(in))
		if !errors.Is(err, ErrUneditable) || !strings.Contains(err.Error(), "line ") || strings.Contains(err.Error(), "S3CRET") {
			t.Errorf(`%q became %q, %v, want %v, "line " in it, no "S3CRET" in it`, in, got, err, ErrUneditable)
		}
	}
}
