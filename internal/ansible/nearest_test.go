package ansible

import "testing"

func TestField4_1_NearestOption(t *testing.T) {
	known := Options(struct {
		A string `arg:"manager_ca_path"`
		B string `arg:"manager_ca_pem"`
		C string `arg:"manager_url"`
		D string `arg:"wait"`
		E string `arg:"fqdn"`
	}{})
	for name, want := range map[string]string{
		"manger_ca_path": "manager_ca_path", "manager_uri": "manager_url", "manager-url": "manager_url", "MANAGER_URL": "manager_url",
		"managerurl": "manager_url", "manager_ca_pen": "manager_ca_pem", "wiat": "wait", "waits": "wait", "fqnd": "fqdn", "fqdns": "fqdn", "colour": "", "x": "", "": "",
	} {
		if got := nearest(name, known); got != want {
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
	for arg, want := range map[string]string{
		"--chekc": `unknown flag "--chekc"; did you mean --check?`, "-check": `unknown flag "-check"; did you mean --check?`,
		"--exit_code": `unknown flag "--exit_code"; did you mean --exit-code?`, "--colour": `unknown flag "--colour"`,
	} {
		if _, err := parseCommandLine([]string{arg}); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", arg, err, want)
		}
	}
}
