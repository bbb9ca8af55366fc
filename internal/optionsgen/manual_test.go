package optionsgen

import (
	"fmt"
	"regexp"
	"strings"
)

// manualWidth is how long a line of a manual page may be, before mandoc(1) tells.
const manualWidth = 78

// inCode is what is code in Markdown.
var inCode = regexp.MustCompile("`([^`]*)`")

// manual are the options as a list of mdoc(7).
func manual(all []option) string {
	var b strings.Builder
	for _, o := range all {
		summary := strings.TrimSuffix(o.Summary, ".") + "."
		fmt.Fprintf(&b, ".It Cm %s\n%s%s", o.name, roff(strings.ToUpper(summary[:1])+summary[1:]), roff("Default: "+o.cell()+"."))
	}
	return b.String()
}

// manualNames are the options' names as a sentence of mdoc(7).
func manualNames(all []option) string {
	var names []string
	for _, o := range all {
		names = append(names, "`"+o.name+"`")
	}
	return roff(strings.Join(names, ", ") + ".")
}

// roff is a text of Markdown as lines of a manual page, a new one for each sentence.
func roff(text string) string {
	var b strings.Builder
	for sentence := range strings.SplitSeq(strings.ReplaceAll(text, ". ", ".\n"), "\n") {
		at := 0
		for word := range strings.FieldsSeq(marked(sentence)) {
			switch {
			case at == 0:
			case at+1+len(word) > manualWidth:
				b.WriteString("\n")
				at = 0
			default:
				b.WriteString(" ")
				at++
			}
			if at == 0 && strings.ContainsAny(word[:1], ".'") {
				b.WriteString(`\&`)
			}
			b.WriteString(word)
			at += len(word)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// marked puts code in bold, with hyphens that can be copied and none at the end of a line.
func marked(sentence string) string {
	sentence = strings.ReplaceAll(sentence, `\`, `\e`)
	return inCode.ReplaceAllStringFunc(sentence, func(code string) string {
		return `\%\fB` + strings.ReplaceAll(strings.Trim(code, "`"), "-", `\-`) + `\fP`
	})
}
