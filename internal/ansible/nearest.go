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
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+differ(a[i-1], b[j-1]))
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

func differ(a, b byte) int {
	if a == b {
		return 0
	}
	return 1
}

// flags are those of the command line, in the spelling of options.
var flags = []string{"check", "diff", "exit_code", "output", "output_file", "help", "version"}

// unknownFlag refuses a flag, and names the one that was meant.
func unknownFlag(arg string) error {
	near := nearest(strings.TrimLeft(arg, "-"), flags)
	if near == "" {
		return usageError(fmt.Sprintf("unknown flag %q", clip(arg)))
	}
	return usageError(fmt.Sprintf("unknown flag %q; did you mean --%s?", clip(arg), strings.ReplaceAll(near, "_", "-")))
}
