package hostname_test

import (
	"testing"

	"github.com/linux-patch/enroll/internal/hostname"
	"github.com/linux-patch/enroll/internal/testbuild"
)

// TestField2_14_OneRuleForNames: what is a name anywhere is one everywhere, in
// the action plugin too.
func TestField2_14_OneRuleForNames(t *testing.T) {
	cases, err := testbuild.Cases("testdata/names.json")
	if err != nil {
		t.Fatal(err)
	}
	var in []string
	for _, c := range cases {
		got, ok := hostname.Canonical(c.In)
		if !ok {
			got = ""
		}
		if got != c.Want {
			t.Errorf("%q: got %q, want %q", c.In, got, c.Want)
		}
		in = append(in, c.In)
	}
	shown, err := testbuild.Python("../../ansible/plugins/plugin_utils", "text", "text.host_name(x)", in)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		if got, want := shown[i] == c.In && c.In != "", c.Want != ""; got != want {
			t.Errorf("%q: got %q from the action plugin, want a name: %t", c.In, shown[i], want)
		}
	}
}

func TestNamesOfLocalhost(t *testing.T) {
	for name, want := range map[string]bool{
		"localhost": true, "localhost.localdomain": true, "localhost6.localdomain6": true, "web1.localdomain": true,
		"web1.localhost": true, "web1": false, "localhosts.example.com": false,
	} {
		if got := hostname.Local(name); got != want {
			t.Errorf("%s: got %t, want %t", name, got, want)
		}
	}
}
