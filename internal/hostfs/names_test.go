package hostfs

import (
	"regexp"
	"testing"
)

// FuzzNames holds the checks of our own names to the patterns that say what
// they mean.
func FuzzNames(f *testing.F) {
	temp := regexp.MustCompile(`^\.[^/]+\.[0-9a-f]{16}\.enroll~tmp$`)
	backup := regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z~$`)
	hash := regexp.MustCompile(`^([0-9a-f]{64})?$`)
	const hex = "0123456789abcdef"
	for _, name := range []string{
		"", ".", ".enroll~tmp", ".ca.pem." + hex + ".enroll~tmp", "..ca." + hex + ".enroll~tmp", "." + hex + ".enroll~tmp",
		".." + hex + ".enroll~tmp", "ca.pem." + hex + ".enroll~tmp", ".a/b." + hex + ".enroll~tmp", ".ca." + hex + "0.enroll~tmp",
		".ca.0123456789ABCDEF.enroll~tmp", ".ca." + hex + ".enroll~tmp~", ".a\nb." + hex + ".enroll~tmp",
		"20260101T000000Z~", "20260101T000000Z", "2026010T0000000Z~", "20260101T00000\u0660Z~", "20260101T000000Z~~", "TZ~", "20260101TT00000Z~",
		hex + hex + hex + hex, hex + hex + hex + hex + "0", hex + hex + hex + "0123456789abcdeF", hex,
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		// A line end is a character like any other in a name.
		if got, want := isTempName(name), temp.MatchString(name); got != want {
			t.Errorf("isTempName(%q) is %v, want %v", name, got, want)
		}
		if got, want := isBackup("/x", "/x."+name), backup.MatchString(name); got != want {
			t.Errorf("isBackup of %q is %v, want %v", name, got, want)
		}
		if got, want := isHash(name), hash.MatchString(name); got != want {
			t.Errorf("isHash(%q) is %v, want %v", name, got, want)
		}
	})
}
