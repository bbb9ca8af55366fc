package testconsole_test

import (
	"slices"
	"testing"

	"github.com/linux-patch/enroll/internal/testconsole"
)

func TestSteps(t *testing.T) {
	got := testconsole.Steps("$ cat > a <<END\none\n$ two\nEND\n$ cat a\none\n…\n")
	want := []testconsole.Step{{Command: "cat > a <<END\none\n$ two\nEND"}, {Command: "cat a", Output: "one\n…\n"}}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		got, want string
		matches   bool
	}{
		{"anything", "", true},
		{"a\nb\nc\n", "a\n…c", true},
		{"a\nb\nc\n", "a\nc", false},
		{"a.c", "abc", false},
		{"abc", "a.c", false},
	} {
		if got := testconsole.Matches(c.got, c.want); got != c.matches {
			t.Errorf("%q beside %q: got %t, want %t", c.got, c.want, got, c.matches)
		}
	}
}
