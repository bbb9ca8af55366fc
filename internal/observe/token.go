package observe

import (
	"strings"

	"github.com/linux-patch/enroll/internal/managerclient"
)

// Adoptable reports whether config.yaml holds a token that state_dir does not
// know: a daemon of the deployed kind has registered before this program came.
// A dead token's mirror is none, and beside a certificate set it is a leftover
// of the enrollment that brought the set.
func (v *View) Adoptable() bool {
	o := v.Disk
	if from, err := managerclient.ParseURL(v.Config.Enrollment.ManagerURL); err == nil && from.String() != v.URL.String() {
		// The token is a secret of that manager.
		return false
	}
	return IsToken(o.ConfigToken) && o.Set == nil && (o.Token() == nil || o.Token().Token != o.ConfigToken)
}

// IsToken reports whether s, which stands in a token's place, can be one.
func IsToken(s string) bool { return managerclient.ValidToken(s) && !IsPlaceholder(s) }

// IsPlaceholder reports whether s is text of an example that someone was to
// replace. Managers make tokens of 64 letters and digits.
func IsPlaceholder(s string) bool {
	if len(s) >= 48 {
		return false
	}
	s = strings.NewReplacer("-", "", "_", "", ".", "", "~", "").Replace(strings.ToLower(s))
	for _, word := range []string{"your", "changeme", "replace", "example", "placeholder", "insert", "pollingtoken", "enrollmenttoken", "tokenhere", "xxxx", "todo", "tobefilled", "fillme", "dummy"} {
		if strings.Contains(s, word) {
			return true
		}
	}
	return s == "token" || s == "none" || s == "null" || s == "tbd"
}
