package plaintext_test

import (
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/linux-patch/enroll/internal/plaintext"
	"github.com/linux-patch/enroll/internal/testbuild"
)

// TestField2_14_OneRuleForText: the action plugin shows what hosts say by the
// same rule.
func TestField2_14_OneRuleForText(t *testing.T) {
	cases, err := testbuild.Cases("testdata/lines.json")
	if err != nil {
		t.Fatal(err)
	}
	var in []string
	for _, c := range cases {
		if got := plaintext.Line(c.In, 100); got != c.Want {
			t.Errorf("%q: got %q, want %q", c.In, got, c.Want)
		}
		in = append(in, c.In)
	}
	shown, err := testbuild.Python("../../ansible/plugins/plugin_utils", "text", "text.plain(x)", in)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		if shown[i] != c.Want {
			t.Errorf("%q: got %q from the action plugin, want %q", c.In, shown[i], c.Want)
		}
	}
}

func TestLinesAreBounded(t *testing.T) {
	for in, want := range map[string]string{
		"0123456789": "0123456789", "0123456789x": "0123456789…", "日本語日本語日本語日本": "日本語日本語日本語日…", "a\xffb": "a\uFFFDb",
	} {
		if got := plaintext.Line(in, 10); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\x1b\u202e\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		got := plaintext.Line(s, 100)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > 101 {
			t.Fatalf("got %q", got)
		}
		for _, r := range got {
			if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
				t.Fatalf("got %q with %U", got, r)
			}
		}
	})
}
