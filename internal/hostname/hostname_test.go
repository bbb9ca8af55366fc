package hostname_test

import (
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/hostname"
)

// TestField2_14_OneRuleForNames: what is a name anywhere is one everywhere.
func TestField2_14_OneRuleForNames(t *testing.T) {
	long := strings.Repeat("a", 63)
	for in, want := range map[string]string{
		"db1.example.com":                "db1.example.com",
		"db1.example.com.":               "db1.example.com",
		"DB1.Example.COM":                "db1.example.com",
		"db_1.example.com":               "db_1.example.com",
		"_srv.example.com":               "_srv.example.com",
		"db1":                            "db1",
		"db1.":                           "db1",
		"xn--bcher-kva.example":          "xn--bcher-kva.example",
		"4711":                           "4711",
		"1.example.com":                  "1.example.com",
		long + ".example":                long + ".example",
		"db1.example.com..":              "",
		".":                              "",
		"":                               "",
		"\u0020db1":                      "",
		"db1\n":                          "",
		"-db1.example.com":               "",
		"db1-.example.com":               "",
		"db1..example.com":               "",
		"10.0.0.1":                       "",
		"db1.42":                         "",
		"dé1.example.com":                "",
		"db1.example.com/x":              "",
		long + "a.example":               "",
		strings.Repeat("a.", 127) + "ab": "",
		"\u202edb1.example.com":          "",
	} {
		got, ok := hostname.Canonical(in)
		if !ok {
			got = ""
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
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
