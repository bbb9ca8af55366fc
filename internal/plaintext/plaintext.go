// Package plaintext makes text from elsewhere fit for a terminal, a log and a
// message: a manager's answer, a certificate's subject, an operator's typing. The
// action plugin has the same rule for what hosts say
// (ansible/plugins/plugin_utils/text.py): one table holds both to it.
package plaintext

import (
	"fmt"
	"strings"
	"unicode"
)

// Line returns s as one line of valid UTF-8 with at most so many characters, in
// which nothing moves the cursor, breaks the line or turns the direction of
// writing: categories Cc and Cf, the separators U+2028 and U+2029, what no font
// has, and what shows nothing. Space of any kind becomes a space, all else of
// these U+FFFD.
func Line(s string, most int) string {
	var out strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > most {
			return out.String() + "…"
		}
		out.WriteRune(plain(r))
	}
	return out.String()
}

// maxGot is shorter than tokens are: those of deployed managers have 64 letters.
const maxGot = 32

// Got shows a value that is refused, behind what it should be. A long one is left
// out: a token, a key or a URL with a password may stand where it does not belong.
func Got(value string) string {
	if value == "" || len(value) > maxGot || strings.ContainsAny(value, "@\n") {
		return ""
	}
	return fmt.Sprintf(", got: %q", Line(value, maxGot))
}

// invisible are letters and marks that show nothing, although Unicode does not
// call them format characters.
const invisible = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"

func plain(r rune) rune {
	switch {
	case strings.ContainsRune(invisible, r):
		return unicode.ReplacementChar
	case unicode.IsPrint(r):
		return r
	case unicode.IsSpace(r):
		return ' '
	}
	return unicode.ReplacementChar
}
