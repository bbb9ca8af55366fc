package docscheck_test

import (
	"regexp"
	"strings"
	"unicode"
)

// document is a Markdown file, taken apart as far as the audit needs it.
type document struct {
	path string
	text string
	// prose is the text without fenced blocks.
	prose  string
	fences []fence
	// anchors are what links may point to, as GitHub makes them.
	anchors map[string]bool
	tables  []table
}

// fence is a fenced block.
type fence struct {
	// info is what follows the opening fence.
	info string
	line int
	body string
}

// table is a table with the heading above it.
type table struct {
	heading string
	rows    [][]string
}

var (
	heading = regexp.MustCompile(`^#{1,6} +(.*?) *#*$`)
	opening = regexp.MustCompile("^( *)```+ *(.*?) *$")
	divider = regexp.MustCompile(`^\|[-:| ]+\|$`)
	inCode  = regexp.MustCompile("`([^`]+)`")
)

func parse(path, text string) *document {
	d := &document{path: path, text: text, anchors: map[string]bool{}}
	var prose []string
	var open *fence
	indent, under := "", ""
	inTable := false
	for i, line := range strings.Split(text, "\n") {
		m := opening.FindStringSubmatch(line)
		switch {
		case open != nil && m != nil && m[2] == "":
			d.fences = append(d.fences, *open)
			open = nil
			continue
		case open != nil:
			open.body += strings.TrimPrefix(line, indent) + "\n"
			continue
		case m != nil:
			open, indent = &fence{info: m[2], line: i + 1}, m[1]
			continue
		}
		prose = append(prose, line)
		if h := heading.FindStringSubmatch(line); h != nil {
			under = strings.ReplaceAll(h[1], "`", "")
			d.anchors[slug(under)] = true
		}
		inTable = d.row(line, under, inTable)
	}
	d.prose = strings.Join(prose, "\n")
	return d
}

// row takes a table's line and tells whether it is one.
func (d *document) row(line, under string, inTable bool) bool {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "|") {
		return false
	}
	if divider.MatchString(line) {
		return true
	}
	var cells []string
	const escaped = "\x00"
	for cell := range strings.SplitSeq(strings.Trim(strings.ReplaceAll(line, `\|`, escaped), "|"), "|") {
		cells = append(cells, strings.ReplaceAll(strings.TrimSpace(cell), escaped, "|"))
	}
	if !inTable {
		d.tables = append(d.tables, table{heading: under})
	}
	last := &d.tables[len(d.tables)-1]
	last.rows = append(last.rows, cells)
	return true
}

// under returns the tables of a section, without their heads, as one list of
// rows. A table is known by the first words of its head.
func (d *document) under(section, head string) [][]string {
	var rows [][]string
	for _, t := range d.tables {
		if t.heading == section && len(t.rows) > 0 && t.rows[0][0] == head {
			rows = append(rows, t.rows[1:]...)
		}
	}
	return rows
}

// first returns the code in the first cell of each row.
func first(rows [][]string) []string {
	var names []string
	for _, r := range rows {
		if m := inCode.FindStringSubmatch(r[0]); m != nil {
			names = append(names, m[1])
		}
	}
	return names
}

// slug is GitHub's anchor of a heading.
func slug(text string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case r == ' ':
			b.WriteRune('-')
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		}
	}
	return b.String()
}

// unwrapped joins the lines of a text: a message may be broken in a document.
func unwrapped(text string) string { return strings.Join(strings.Fields(text), " ") }
