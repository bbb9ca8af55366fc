package whitelist

import (
	"bytes"
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parseSimple reads a list of many lines in the form that nearly all have, one
// plain or quoted value a line, without the YAML parser, which takes 20 times as
// long. The parser is given the text without the lines between the first and the
// last entry. Where it finds these two at their places, and nothing else in the
// list, the lines between them, of the same form and depth, are entries as well.
// ok is false for any other text.
func parseSimple(data []byte) (list *List, ok bool) {
	r, ok := findRun(data)
	if !ok {
		return nil, false
	}
	reduced := append(bytes.Clone(data[:r.first.end]), data[r.last.start:]...)
	f, err := load(reduced)
	if err != nil || f.seq == nil || f.value != f.seq || f.seq.Style&yaml.FlowStyle != 0 || len(f.seq.Content) != 2 {
		return nil, false
	}
	for i, want := range []itemLine{r.first, r.last} {
		got, line := f.seq.Content[i], r.first.number+i
		if got.Kind != yaml.ScalarNode || got.Line != line || got.Column != want.column || got.Value != want.value {
			return nil, false
		}
	}
	return r.list, true
}

// itemLine is a line that may be an entry: data[start:end], its line end
// included, and value from column on.
type itemLine struct {
	start, end, number, column int
	value                      string
	quoted                     bool
}

func (l itemLine) entry() Entry {
	e := Entry{Text: l.value, Line: l.number}
	if ip, err := netip.ParseAddr(l.value); err == nil && ip.Zone() == "" {
		// The common case, which no YAML parser takes for a number.
		ip = ip.Unmap()
		e.Prefix = netip.PrefixFrom(ip, ip.BitLen())
		return e
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, Value: l.value}
	if l.quoted {
		n.Style = yaml.DoubleQuotedStyle
	}
	e = parseEntry(n)
	e.Line = l.number
	return e
}

// run are the lines below "entries:" that are alike, and what they say.
type run struct {
	first, last itemLine
	list        *List
}

func findRun(data []byte) (r run, ok bool) {
	const key = "entries:"
	text, number, at := string(data), 1, 0
	// A hostile file has more lines than entries.
	r.list = &List{Entries: make([]Entry, 0, min(bytes.Count(data, []byte("\n")), 1<<16))}
	for at < len(text) && !isKeyLine(lineOf(text, at), key) {
		at, number = nextLine(text, at), number+1
	}
	for at = nextLine(text, at); at < len(text); at = nextLine(text, at) {
		number++
		line := lineOf(text, at)
		if isComment(line) {
			continue
		}
		item, good := parseItem(line)
		if !good || len(r.list.Entries) > 0 && item.column != r.first.column {
			break
		}
		item.start, item.end, item.number = at, nextLine(text, at), number
		if len(r.list.Entries) == 0 {
			r.first = item
		}
		r.last = item
		r.list.add(item.entry())
	}
	return r, len(r.list.Entries) >= 2
}

// lineOf is the line that begins at a place, without its end.
func lineOf(text string, at int) string {
	line, _, _ := strings.Cut(text[at:], "\n")
	return strings.TrimSuffix(line, "\r")
}

func nextLine(text string, at int) int {
	if i := strings.IndexByte(text[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(text)
}

func isKeyLine(line, key string) bool {
	rest, found := strings.CutPrefix(line, key)
	return found && (rest == "" || rest[0] == ' ' && isComment(rest))
}

// isComment takes blank lines too. What is not ASCII may end a line for YAML.
func isComment(line string) bool {
	line = strings.TrimLeft(line, " ")
	return line == "" || line[0] == '#' && isText(line)
}

func isText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// parseItem reads "- value", with a comment or without.
func parseItem(line string) (item itemLine, ok bool) {
	rest := strings.TrimLeft(line, " ")
	if !strings.HasPrefix(rest, "- ") {
		return item, false
	}
	rest = strings.TrimLeft(rest[1:], " ")
	item.column = 1 + len(line) - len(rest)
	end := 0
	switch {
	case rest == "":
		return item, false
	case rest[0] == '"' || rest[0] == '\'':
		end = strings.IndexByte(rest[1:], rest[0]) + 2
		if end < 2 {
			return item, false
		}
		item.value, item.quoted = rest[1:end-1], true
		if !isText(item.value) || strings.Contains(item.value, `\`) {
			return item, false
		}
	default:
		for end < len(rest) && isPlain(rest[end]) {
			end++
		}
		item.value = rest[:end]
		if end == 0 || rest[0] == ':' || rest[0] == '-' || rest[end-1] == ':' {
			return item, false
		}
	}
	after := rest[end:]
	return item, after == "" || after[0] == ' ' && isComment(after)
}

// isPlain tells of the characters that addresses, networks and names consist of:
// none has a meaning for YAML, but for a colon at an end.
func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == ':' || c == '/' || c == '-' || c == '_'
}
