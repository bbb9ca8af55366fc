// Package testconsole reads the console blocks of the documents, so that tests
// run the commands that people are told to run.
package testconsole

import (
	"regexp"
	"strings"
)

// Step is a command of a console block with what it prints.
type Step struct {
	Command, Output string
}

// Steps takes a console block apart: a line with "$ " begins a command, which
// goes on until a here-document in it ends; the rest is output.
func Steps(body string) []Step {
	var all []Step
	end := ""
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case end != "":
			all[len(all)-1].Command += "\n" + line
			if line == end {
				end = ""
			}
		case isCommand:
			all = append(all, Step{Command: command})
			if _, word, ok := strings.Cut(command, "<<"); ok {
				end = strings.Fields(word)[0]
			}
		case len(all) > 0:
			all[len(all)-1].Output += line + "\n"
		}
	}
	return all
}

// Matches compares output with a document's, in which "…" is anything. A
// command that the document shows without output may print what it likes.
func Matches(got, want string) bool {
	got, want = strings.TrimSpace(got), strings.TrimSpace(want)
	if want == "" {
		return true
	}
	var pattern strings.Builder
	for i, part := range strings.Split(want, "…") {
		if i > 0 {
			pattern.WriteString(".*")
		}
		pattern.WriteString(regexp.QuoteMeta(part))
	}
	return regexp.MustCompile(`(?s)^` + pattern.String() + `$`).MatchString(got)
}
