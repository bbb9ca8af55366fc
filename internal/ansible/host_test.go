package ansible

import (
	"testing"

	"github.com/go-playground/validator/v10"
)

// FuzzHost holds the rule for host names to the library's, which compiles a
// regular expression for it.
func FuzzHost(f *testing.F) {
	v := validator.New()
	if err := v.RegisterValidation("host", host); err != nil {
		f.Fatal(err)
	}
	const label = "0123456789012345678901234567890123456789012345678901234567890-2"
	for _, name := range []string{
		"web1", "web1.example.com", "WEB1.Example.com", "1", "a.", ".a", "a..b", "-a", "a-", "a-b", "a_b", "a b", "ä", "", ".",
		"x" + label[1:], label + "3", label + "." + label,
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		ours, theirs := v.Var(name, "host") == nil, v.Var(name, "hostname_rfc1123") == nil
		if ours != theirs {
			t.Errorf("%q: we say %v, the library %v", name, ours, theirs)
		}
	})
}
