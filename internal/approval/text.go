package approval

import (
	"net/netip"
	"strings"
	"unicode"

	"github.com/linux-patch/enroll/internal/plaintext"
)

// SameName reports whether a request asks for exactly the expected name. DNS
// names have no letter case in ASCII; nothing else is taken for the same, least
// of all letters that only look alike.
func SameName(expected, claimed string) bool {
	expected = lower(strings.TrimSuffix(expected, "."))
	return expected != "" && lower(claimed) == expected
}

// fold makes names that a person would take for one another equal. It finds
// suspects and duplicates, and never chooses a request.
func fold(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
	return strings.TrimRight(name, ".")
}

// lower changes ASCII letters alone: Unicode has others that fold to them.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// addressOf reads an address as managers show it, with /32 or /128.
func addressOf(s string) (netip.Addr, bool) {
	if p, err := netip.ParsePrefix(s); err == nil && p.IsSingleIP() {
		return p.Addr().Unmap(), true
	}
	ip, err := netip.ParseAddr(s)
	return ip.Unmap(), err == nil && ip.Zone() == ""
}

func isSHA256(s string) bool { return len(s) == 64 && isHex(s) }

func isMachineID(s string) bool { return len(s) == 32 && isHex(s) }

func isProof(s string) bool {
	digest, ok := strings.CutPrefix(s, "v1:")
	return ok && isSHA256(digest)
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

const maxPlain = 253

// Plain makes text from outside one line that a terminal shows and does not
// act on.
func Plain(s string) string { return plaintext.Line(s, maxPlain) }
