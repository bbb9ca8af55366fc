package nearest

import (
	"errors"
	"testing"
)

func TestField4_1_NearestOption(t *testing.T) {
	known := []string{"fqdn", "manager_ca_path", "manager_ca_pem", "manager_url", "wait"}
	for name, want := range map[string]string{
		"manger_ca_path": "manager_ca_path", "manager_uri": "manager_url", "manager-url": "manager_url", "MANAGER_URL": "manager_url",
		"managerurl": "manager_url", "manager_ca_pen": "manager_ca_pem", "wiat": "wait", "waits": "wait", "fqnd": "fqdn", "fqdns": "fqdn", "colour": "", "x": "", "": "",
	} {
		if got := Name(name, known); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestEdits(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"wiat", "wait", 1}, {"abc", "abc", 0}} {
		if got := edits(c.a, c.b); got != c.want {
			t.Errorf("%s, %s: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestField4_1_NearestFlag(t *testing.T) {
	known := []string{"check", "exit-code", "enroll-ca", "help"}
	for arg, want := range map[string]string{
		"--chekc": `unknown flag "--chekc"; did you mean --check?`, "-check": `unknown flag "-check"; did you mean --check?`,
		"--exit_code": `unknown flag "--exit_code"; did you mean --exit-code?`, "--colour": `unknown flag "--colour"`,
		"--enrol-ca=/x": `unknown flag "--enrol-ca"; did you mean --enroll-ca?`, "--password=canary-4f1d2c": `unknown flag "--password"`,
	} {
		if err := Flag(arg, known); err.Error() != want {
			t.Errorf("%s: got %v, want %s", arg, err, want)
		}
	}
}

func TestErrorsOfPackageFlag(t *testing.T) {
	for text, want := range map[string]string{
		"flag provided but not defined: -chekc":     `unknown flag "--chekc"; did you mean --check?`,
		"flag needs an argument: -check":            "flag needs an argument: -check",
		"flag provided but not defined: -somewhere": `unknown flag "--somewhere"`,
	} {
		if got := Parsed(errors.New(text), []string{"check"}); got.Error() != want {
			t.Errorf("%s: got %v, want %s", text, got, want)
		}
	}
}

func TestWordsThatWereMeant(t *testing.T) {
	for word, want := range map[string]string{"aprove": "; did you mean approve?", "lst": "; did you mean list?", "something-else": ""} {
		if got := Meant(word, []string{"approve", "list"}); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}
