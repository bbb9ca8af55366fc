// Package hostname is the one rule for host names: the option fqdn, the host's
// own names, names in the whitelist, the manager's in its URL. The action plugin
// has it too (ansible/plugins/plugin_utils/text.py): one table holds both to it.
package hostname

import "strings"

// maxName and maxLabel are RFC 1035's, 2.3.4.
const maxName, maxLabel = 253, 63

// Canonical returns a name in lower case and without the dot of the root, and
// whether it is one of a host: RFC 1123, 2.1, and the underscore, which is in
// use in private zones. A last label of digits alone, as in 10.0.0.1, makes it
// an address to some reader; a host of one label may be named so.
func Canonical(s string) (name string, ok bool) {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > maxName {
		return "", false
	}
	for l := range strings.SplitSeq(s, ".") {
		if !label(l) {
			return "", false
		}
	}
	s = strings.ToLower(s)
	return s, !strings.Contains(s, ".") || !numeric(s[strings.LastIndexByte(s, '.')+1:])
}

// label reports whether l is a label of a host name. In either case: Unicode has
// others than ASCII's that lower to ASCII's.
func label(l string) bool {
	return l != "" && len(l) <= maxLabel && l[0] != '-' && l[len(l)-1] != '-' &&
		strings.Trim(l, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

func numeric(l string) bool { return strings.Trim(l, "0123456789") == "" }

// OfAnother is Canonical for the name of another machine. One label of digits
// alone is a mistyped address there, and some resolvers take it for one.
func OfAnother(s string) (name string, ok bool) {
	name, ok = Canonical(s)
	return name, ok && !numeric(name)
}

// Short returns the first label of a name.
func Short(name string) string {
	short, _, _ := strings.Cut(name, ".")
	return short
}

// Unusual reports whether a name has an underscore: resolvers take it, and some
// certificate authorities and TLS libraries do not.
func Unusual(name string) bool { return strings.Contains(name, "_") }

// Local reports whether a canonical name is one of localhost, which every host has.
func Local(name string) bool {
	switch Short(name) {
	case "localhost", "localhost4", "localhost6":
		return true
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	return last == "localhost" || last == "localdomain"
}
