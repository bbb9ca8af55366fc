package ansible

import (
	"fmt"
	"strings"
)

// suggestions names, for each unknown option, the known one that was meant.
func suggestions(unknown, known []string) string {
	var out strings.Builder
	for _, name := range unknown {
		if near := nearest(name, known); near != "" {
			fmt.Fprintf(&out, " Did you mean %s instead of %s?", near, name)
		}
	}
	return out.String()
}

// nearest returns the known name that the fewest edits lead to, and "" where
// that is more than a typing error: a third of the name.
func nearest(name string, known []string) string {
	best, least := "", len(name)/3+1
	for _, k := range known {
		if d := edits(strings.ReplaceAll(strings.ToLower(name), "-", "_"), k); d < least {
			best, least = k, d
		}
	}
	return best
}

// edits is the Levenshtein distance: letters put in, left out or replaced.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
