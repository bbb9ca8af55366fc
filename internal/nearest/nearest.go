// Package nearest finds the option, flag or verb that was meant by a misspelt one.
package nearest

import (
	"errors"
	"strings"

	"github.com/linux-patch/enroll/internal/plaintext"
)

// longestWord is how much of a misspelt word a message repeats.
const longestWord = 64

// Name returns the known name that the fewest edits lead to, and "" where that
// is more than a typing error: a third of the name.
func Name(name string, known []string) string {
	if name = fold(name); len(name) > longestWord {
		return ""
	}
	best, least := "", len(name)/3+1
	for _, k := range known {
		if d := edits(name, fold(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

// fold makes equal what differs in case, dashes and underscores alone.
func fold(name string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimLeft(name, "-")), "-", "_")
}

// Meant is the end of a message about a misspelt word: which one was meant, ""
// where none is near.
func Meant(word string, known []string) string {
	if near := Name(word, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// Flag is the error of an unknown flag, with the known one that was meant. The
// known ones have no dashes before them. A value is left out: it may be a secret.
func Flag(arg string, known []string) error {
	arg, _, _ = strings.Cut(arg, "=")
	text := `unknown flag "` + plaintext.Line(arg, longestWord) + `"`
	if near := Name(arg, known); near != "" {
		text += "; did you mean --" + near + "?"
	}
	return errors.New(text)
}

// Parsed is an error of package flag, which names flags with one dash; one of an
// unknown flag becomes that of Flag.
func Parsed(err error, known []string) error {
	if arg, unknown := strings.CutPrefix(err.Error(), "flag provided but not defined: "); unknown {
		return Flag("-"+arg, known)
	}
	return err
}

// edits counts letters put in, left out, replaced, or swapped with the next one.
func edits(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replaced := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
