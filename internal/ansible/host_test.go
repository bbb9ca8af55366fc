package ansible

import (
	"strings"
	"testing"

	"github.com/go-playground/validator/v10"
)

// FuzzHost holds the rule for host names to the library's, which compiles a
// regular expression for it, where both are to say the same: an underscore and
// the root's dot are taken, a name that reads as an address is not.
func FuzzHost(f *testing.F) {
	v := validator.New()
	if err := v.RegisterValidation("host", host); err != nil {
		f.Fatal(err)
	}
	const label = "0123456789012345678901234567890123456789012345678901234567890-2"
	for _, name := range []string{
		"web1", "web1.example.com", "WEB1.Example.com", "1", "a.", ".a", "a..b", "-a", "a-", "a-b", "a_b", "a b", "ä", "", ".",
		"x" + label[1:], label + "3", label + "." + label, "a.1",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		last := name[strings.LastIndexByte(name, '.')+1:]
		if strings.Contains(name, "_") || len(name) > 253 || strings.Contains(name, ".") && strings.Trim(last, "0123456789") == "" {
			return
		}
		ours, theirs := v.Var(name, "host") == nil, v.Var(name, "hostname_rfc1123") == nil
		if ours != theirs {
			t.Errorf("%q: we say %v, the library %v, want %v", name, ours, theirs, theirs)
		}
	})
}
