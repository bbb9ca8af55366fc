package admin

import (
	"bytes"
	"strings"
	"testing"
)

// TestWordsOfTheCommandLine: a misspelt word gets a suggestion, and no value of an
// unknown flag is repeated.
func TestWordsOfTheCommandLine(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
		exit int
	}{
		{[]string{"help"}, "Exit codes:", 0},
		{[]string{"-h"}, "Exit codes:", 0},
		{nil, "a command is missing: one of approve, requests, reissue, logout", 64},
		{[]string{"aprove", "-"}, `unknown command \"aprove\": it must be one of approve, requests, reissue, logout; did you mean approve?`, 64},
		{[]string{"something", "-"}, `unknown command \"something\": it must be one of approve, requests, reissue, logout"`, 64},
		{[]string{"--chek", "requests"}, `unknown flag \"--chek\"; did you mean --check?`, 64},
		{[]string{"requests", "--pasword=canary-4f1d2c"}, `unknown flag \"--pasword\""`, 64},
		{[]string{"approve"}, "approve needs one arguments file; - reads standard input", 64},
		{[]string{"requests", "a", "b"}, "requests needs one arguments file; - reads standard input", 64},
		{[]string{"requests", "-"}, "unsupported arguments: manger_url; supported are: ", 64},
		{[]string{"requests", "-"}, "did you mean manager_url?", 64},
	} {
		var out bytes.Buffer
		p := Program{Args: c.args, Stdin: strings.NewReader(`{"manger_url": "x"}`), Stdout: &out, Environment: Environment{Getenv: func(string) string { return "" }}}
		if exit := p.Main(t.Context()); exit != c.exit || !strings.Contains(out.String(), c.want) || strings.Contains(out.String(), "canary") {
			t.Errorf("%q: got %d, %s, want %d, …%s…", c.args, exit, out.String(), c.exit, c.want)
		}
	}
}
