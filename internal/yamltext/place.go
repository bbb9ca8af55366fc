package yamltext

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Line is a line of the text: its content is Data[Start:End], and Next is where
// the next one starts. A last line without a line end has Next == End.
type Line struct{ Start, End, Next int }

// LineAt returns the line that holds the byte at off. A byte order mark belongs
// to no line.
func (t *Text) LineAt(off int) Line {
	l := Line{Start: bytes.LastIndexByte(t.Data[:off], '\n') + 1, End: len(t.Data), Next: len(t.Data)}
	if l.Start == 0 && bytes.HasPrefix(t.Data, []byte(bom)) {
		l.Start = len(bom)
	}
	if i := bytes.IndexByte(t.Data[off:], '\n'); i >= 0 {
		l.End, l.Next = off+i, off+i+1
		if l.End > l.Start && t.Data[l.End-1] == '\r' {
			l.End--
		}
	}
	return l
}

// Offset returns the place of n's first byte: of its anchor or tag where it has
// one, and of the byte after the indicator where n is a value left out. ok is
// false where the text has no such place, as can be when OddBreak finds one.
func (t *Text) Offset(n *yaml.Node) (off int, ok bool) {
	for line := 1; line < n.Line; line++ {
		i := bytes.IndexByte(t.Data[off:], '\n')
		if i < 0 {
			return 0, false
		}
		off += i + 1
	}
	l := t.LineAt(off)
	off = l.Start
	for col := 1; col < n.Column; col++ {
		if off >= l.End {
			return 0, false
		}
		_, size := utf8.DecodeRune(t.Data[off:])
		off += size
	}
	return off, true
}

// Scalar returns the text of a scalar that stands on one line, as
// Data[start:end]. ok is false for any other node. An alias, an anchor or a tag
// ties a text to others and is refused too, unless tied says that these are fine.
func (t *Text) Scalar(n *yaml.Node, tied bool) (start, end int, ok bool) {
	start, ok = t.Offset(n)
	if !ok || n.Kind == yaml.AliasNode && !tied {
		return 0, 0, false
	}
	rest := t.Data[start:t.LineAt(start).End]
	at := 0
	for n.Anchor != "" || n.Style&yaml.TaggedStyle != 0 {
		if !tied {
			return 0, 0, false
		}
		if at >= len(rest) || rest[at] != '&' && rest[at] != '!' {
			break
		}
		at += blankAfter(rest[at:])
		at += len(rest[at:]) - len(bytes.TrimLeft(rest[at:], " \t"))
	}
	size := scalarSize(n, rest[at:])
	return start, start + at + size, size >= 0
}

// scalarSize returns how many bytes of text, which starts with it, n takes; -1
// where n goes on beyond the text or is of another kind.
func scalarSize(n *yaml.Node, text []byte) int {
	switch {
	case n.Kind == yaml.AliasNode:
		if len(text) > 0 && text[0] == '*' {
			return blankAfter(text)
		}
	case n.Kind != yaml.ScalarNode:
	case n.Style&yaml.DoubleQuotedStyle != 0:
		return quotedSize(text, '"')
	case n.Style&yaml.SingleQuotedStyle != 0:
		return quotedSize(text, '\'')
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
	case bytes.HasPrefix(text, []byte(n.Value)):
		// A plain scalar of several lines never matches: its value has a
		// space or a line break where the text has the end of the line.
		return len(n.Value)
	}
	return -1
}

// quotedSize returns the size of the quoted scalar that text starts with. In
// double quotes a backslash escapes (YAML 1.2, 7.3.1), in single quotes the
// quote is doubled (7.3.2), which reads here as one scalar after another.
func quotedSize(text []byte, quote byte) int {
	if len(text) == 0 || text[0] != quote {
		return -1
	}
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quote == '"':
			i++
		case text[i] != quote:
		case quote == '\'' && i+1 < len(text) && text[i+1] == quote:
			i++
		default:
			return i + 1
		}
	}
	return -1
}

func blankAfter(text []byte) int {
	if i := bytes.IndexAny(text, " \t"); i >= 0 {
		return i
	}
	return len(text)
}

// OnlyComment tells whether the line holds nothing but blanks and a comment
// from off on.
func (t *Text) OnlyComment(off int) bool {
	rest := t.Data[off:t.LineAt(off).End]
	trimmed := bytes.TrimLeft(rest, " \t")
	return len(trimmed) == 0 || trimmed[0] == '#' && len(trimmed) < len(rest)
}

// Indent returns what stands before n on its line, where that is spaces only.
func (t *Text) Indent(n *yaml.Node) (indent string, ok bool) {
	off, ok := t.Offset(n)
	if !ok {
		return "", false
	}
	before := t.Data[t.LineAt(off).Start:off]
	return string(before), len(bytes.Trim(before, " ")) == 0
}

// Obstacle is why an edit of a text is not sure, and where.
type Obstacle struct {
	Line int
	Why  string
}

// Err makes an error of an obstacle that says what to write by hand.
func (o *Obstacle) Err(uneditable error, byHand string) error {
	return fmt.Errorf("%w: line %d: %s; %s", uneditable, o.Line, o.Why, byHand)
}

// Obstacle names what makes any edit of a value of the root unsure, nil where
// nothing does; name is what the value is called.
func (t *Text) Obstacle(value *yaml.Node, name string) *Obstacle {
	if line := t.OddBreak(); line > 0 {
		return &Obstacle{line, "a line break that not every program takes for one"}
	}
	switch {
	case t.Root == nil:
		return nil
	case t.Root.Kind != yaml.MappingNode:
		return &Obstacle{t.Root.Line, "the file is not written as one key a line"}
	case value != nil && value.Kind == yaml.AliasNode:
		return &Obstacle{value.Line, "the " + name + " is an alias of another"}
	// What an alias elsewhere stands for would change too.
	case t.Root.Anchor != "", value != nil && value.Anchor != "":
		return &Obstacle{t.Root.Line, "the " + name + " has an anchor"}
	}
	return nil
}

// Without returns a copy of a mapping that lacks a key.
func Without(mapping, key *yaml.Node) *yaml.Node {
	rest := *mapping
	rest.Content = nil
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i] != key {
			rest.Content = append(rest.Content, mapping.Content[i], mapping.Content[i+1])
		}
	}
	return &rest
}
