package identity

import (
	"cmp"
	"errors"
	"io/fs"
	"strings"
	"unicode"

	"github.com/linux-patch/enroll/internal/contract"
)

// osDetails describes the operating system. What can't be read is left at the
// defaults of os-release(5): it is information, not identity.
func (s Source) osDetails(u Uname, w *warnings) contract.OSDetails {
	path := "/etc/os-release"
	data, err := s.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		path = "/usr/lib/os-release"
		data, err = s.read(path)
	}
	if err != nil {
		w.add("the operating system is not known: %v", err)
	}
	r := parseOSRelease(data)
	return contract.OSDetails{
		ID:           cmp.Or(r["ID"], "linux"),
		Name:         cmp.Or(r["NAME"], "Linux"),
		Distro:       cmp.Or(r["NAME"], "Linux"),
		Version:      r["VERSION_ID"],
		OSVersion:    r["VERSION_ID"],
		IDLike:       r["ID_LIKE"],
		Codename:     r["VERSION_CODENAME"],
		Kernel:       u.Release,
		Architecture: u.Machine,
	}
}

// parseOSRelease reads os-release(5): assignments as a shell takes them, but
// without expansion and without joining several quoted parts. Lines that are
// none are skipped, of several assignments the last counts.
func parseOSRelease(data []byte) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || !isVariable(key) {
			continue
		}
		if v, ok := unquote(value); ok {
			values[key] = clean(v)
		}
	}
	return values
}

func isVariable(s string) bool {
	const digits, letters = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
	return s != "" && !strings.ContainsAny(s[:1], digits) && strings.Trim(s, digits+letters) == ""
}

// unquote takes a shell word apart, as far as os-release(5) uses it.
func unquote(s string) (string, bool) {
	if s == "" {
		return "", true
	}
	quote := s[0]
	if quote == '\'' {
		body, rest, ok := strings.Cut(s[1:], "'")
		return body, ok && isComment(rest)
	}
	quoted := quote == '"'
	if quoted {
		s = s[1:]
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '"':
			return b.String(), isComment(s[i+1:])
		case !quoted && (c == ' ' || c == '\t'):
			return b.String(), isComment(s[i:])
		case !quoted && (c == '"' || c == '\''):
			return "", false
		case c == '\\' && i+1 < len(s) && (!quoted || strings.IndexByte("\"\\$`", s[i+1]) >= 0):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), !quoted
}

// isComment says whether what follows a value means nothing.
func isComment(rest string) bool {
	trimmed := strings.TrimLeft(rest, " \t")
	return trimmed == "" || trimmed[0] == '#' && trimmed != rest
}

// clean makes a value from a file fit to be sent and shown.
func clean(s string) string {
	n := 0
	return strings.Map(func(r rune) rune {
		if n++; n > 256 || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
