package plaintext_test

import (
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/linux-patch/enroll/internal/plaintext"
)

func TestField2_14_OneRuleForText(t *testing.T) {
	for in, want := range map[string]string{
		"web1 é 日本":              "web1 é 日本",
		"a\nb\r\tc":              "a b  c",
		"a\x1b[2Jb\x7f":          "a\uFFFD[2Jb\uFFFD",
		"a\u202eb\u200bc\u2066":  "a\uFFFDb\uFFFDc\uFFFD",
		"a\u2028b\u2029c\u0085d": "a b c d",
		"a\xffb":                 "a\uFFFDb",
		"0123456789":             "0123456789",
		"0123456789x":            "0123456789…",
		"日本語日本語日本語日本":            "日本語日本語日本語日…",
		"\U000E0041\ufeff\u00ad": "\uFFFD\uFFFD\uFFFD",
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
