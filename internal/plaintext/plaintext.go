// Package plaintext makes text from elsewhere fit for a terminal, a log and a
// message: a manager's answer, a certificate's subject, an operator's typing.
package plaintext

import (
	"strings"
	"unicode"
)

// Line returns s as one line of valid UTF-8 with at most so many characters, in
// which nothing moves the cursor, breaks the line or turns the direction of
// writing: categories Cc and Cf, the separators U+2028 and U+2029, and what no
// font has. Space of any kind becomes a space, all else of these U+FFFD.
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

func plain(r rune) rune {
	switch {
	case unicode.IsPrint(r):
		return r
	case unicode.IsSpace(r):
		return ' '
	}
	return unicode.ReplacementChar
}
