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
	// A hostile file has more lines than entries.
	list = &List{Entries: make([]Entry, 0, min(bytes.Count(data, []byte("\n")), 1<<16))}
	r := findRun(string(data), func(item itemLine) { list.add(item.entry()) })
	if !r.isWhole(data) {
		return nil, false
	}
	return list, true
}

// findSimple is Find for what parseSimple reads.
func findSimple(data []byte, ip netip.Addr) (found Found, ok bool) {
	zone := ip.Zone() != ""
	ip = ip.Unmap()
	text := ip.String()
	r := findRun(string(data), func(item itemLine) {
		covers, refused := item.find(ip, text)
		if covers && !zone && found.Covering == "" {
			found.Covering = strings.Clone(item.value)
		}
		if refused && found.Refused == "" {
			found.Refused = strings.Clone(item.value)
		}
	})
	return found, r.isWhole(data)
}

// isWhole reports whether the run is the whole list, for the YAML parser.
func (r run) isWhole(data []byte) bool {
	if r.items < 2 {
		return false
	}
	reduced := append(bytes.Clone(data[:r.first.end]), data[r.last.start:]...)
	f, err := load(reduced)
	if err != nil || f.seq == nil || f.value != f.seq || f.seq.Style&yaml.FlowStyle != 0 || len(f.seq.Content) != 2 {
		return false
	}
	for i, want := range []itemLine{r.first, r.last} {
		got, line := f.seq.Content[i], r.first.number+i
		if got.Kind != yaml.ScalarNode || got.Line != line || got.Column != want.column || got.Value != want.value {
			return false
		}
	}
	return true
}

// itemLine is a line that may be an entry: data[start:end], its line end
// included, with a dash in one column and value from another on.
type itemLine struct {
	start, end, number, dash, column int
	value                            string
	quoted                           bool
}

func (l itemLine) entry() Entry {
	e := Entry{Text: l.value, Line: l.number}
	// The common cases, which no YAML parser takes for a number.
	if e.Prefix = prefixOf(l.value); e.Prefix.IsValid() {
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

// find reports whether the entry lets ip in, which is unmapped, and whether it
// isRefused; text is ip as a string. Of an IPv4 address that is the only form, and
// what has neither colon nor slash can be nothing else that covers.
func (l itemLine) find(ip netip.Addr, text string) (covers, refused bool) {
	if strings.IndexByte(l.value, '/') < 0 {
		return l.value == text || strings.IndexByte(l.value, ':') >= 0 && l.entry().Prefix.Contains(ip), false
	}
	// The parser takes longer than all else here.
	if p, err := netip.ParsePrefix(l.value); err == nil && p.Addr().Is4() {
		return p.Contains(ip), false
	}
	return l.entry().Prefix.Contains(ip), isRefused(l.value)
}

// run are the lines below "entries:" that are alike.
type run struct {
	first, last itemLine
	items       int
}

// findRun gives each of these lines as it finds it.
func findRun(text string, do func(itemLine)) (r run) {
	const key = "entries:"
	number, at := 1, 0
	for at < len(text) && !isKeyLine(withoutEnd(text[at:nextLine(text, at)]), key) {
		at, number = nextLine(text, at), number+1
	}
	var next int
	for at = nextLine(text, at); at < len(text); at = next {
		number, next = number+1, nextLine(text, at)
		line := withoutEnd(text[at:next])
		if isComment(line) {
			continue
		}
		item, good := parseItem(line)
		if !good || r.items > 0 && (item.dash != r.first.dash || item.column != r.first.column) {
			break
		}
		item.start, item.end, item.number = at, next, number
		if r.items == 0 {
			r.first = item
		}
		r.last = item
		r.items++
		do(item)
	}
	return r
}

func withoutEnd(line string) string {
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
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
	item.dash = 1 + len(line) - len(rest)
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
