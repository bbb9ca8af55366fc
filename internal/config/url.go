package config

import (
	"net/url"
	"slices"
	"strings"

	"github.com/linux-patch/enroll/internal/hostname"
)

// SetManagerURL returns data with enrollment.manager_url set: data itself where
// it is that already. A value that is there is kept in a comment behind it.
func SetManagerURL(data []byte, url string) ([]byte, error) { return set(data, urlKey, url) }

// ClearManagerURL undoes SetManagerURL. A file that was written anew since, so
// that no comment tells of it, loses the value if it is still the one that was
// set.
func ClearManagerURL(data []byte, wrote string) ([]byte, error) {
	f, err := loadFor(data, urlKey)
	if err != nil || f.tokenKey == nil || f.current() != wrote {
		return data, err
	}
	start, end, o := f.place()
	if o != nil {
		return nil, refuse(o, "take the value of enrollment.manager_url out by hand")
	}
	if edited, ok := f.restoreURL(start, end); ok && f.sameOthers(edited) {
		return edited, nil
	}
	edited := f.text.Replace(start, end, `""`)
	if o := f.verify(edited, ""); o != nil {
		return nil, refuse(o, "take the value of enrollment.manager_url out by hand")
	}
	return edited, nil
}

// restoreURL is restore for a value that stands in a comment of ours.
func (f *file) restoreURL(start, end int) ([]byte, bool) {
	if edited, ok := f.restore(start, end); ok {
		return edited, true
	}
	rest, ok := strings.CutPrefix(string(f.text.Data[end:f.text.LineAt(start).End]), wasMark)
	if !ok {
		return nil, false
	}
	old, _, _ := strings.Cut(rest, " ")
	return f.text.Replace(start, end+len(wasMark)+len(old), old), old != "" && old != leftOut
}

// sameOthers reports whether nothing but the value differs.
func (f *file) sameOthers(edited []byte) bool {
	after, err := loadFor(edited, f.name)
	return err == nil && f.verify(edited, after.current()) == nil
}

// Manager is the manager_url; empty where it is what an example left to be
// filled in.
func (e Enrollment) Manager() string {
	if unfilled(e.ManagerURL) {
		return ""
	}
	return e.ManagerURL
}

func unfilled(value string) bool {
	value = strings.ToLower(value)
	return slices.ContainsFunc([]string{"your-", "your_", "change_me", "change-me", "changeme", "placeholder", "<", "{{", "todo"},
		func(word string) bool { return strings.Contains(value, word) })
}

// Placeholder reports whether a manager_url names no manager: it is missing,
// not filled in, or of a domain that stands in examples only (RFC 2606).
func Placeholder(value string) bool {
	if strings.TrimSpace(value) == "" || unfilled(value) {
		return true
	}
	u, err := url.Parse(value)
	if err != nil {
		return false
	}
	name, _ := hostname.Canonical(u.Hostname())
	return slices.ContainsFunc([]string{"example.com", "example.org", "example.net", "example", "invalid"},
		func(domain string) bool { return strings.HasSuffix("."+name, "."+domain) })
}
