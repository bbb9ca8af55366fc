// Package yamltext finds the places of a YAML document's values in its text,
// so that whitelist and config can splice a few bytes in or out and leave every
// other byte alone: comments, order, quoting, line ends, a missing last one.
//
// It promises that what it places, it places to the byte (yaml.v3 counts
// columns in characters), and that its errors name a line and hold no value of
// the document. It does not decide what may be edited, and does no I/O.
package yamltext

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const bom = "\ufeff"

// Text is a parsed document together with the bytes that it came from.
type Text struct {
	Data []byte
	// Root is the document's value, nil where there is none.
	Root *yaml.Node
}

// Parse reads data, which holds at most one document.
func Parse(data []byte) (*Text, error) {
	if line := badCharacter(data); line > 0 {
		return nil, fmt.Errorf("line %d: not UTF-8, or a control character", line)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return &Text{Data: data}, nil
	}
	if err != nil {
		return nil, syntaxError(data, err)
	}
	// Reading on is also what makes the parser look at the rest of the text.
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, fmt.Errorf("line %d: a second document", second.Line)
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(data, err)
	}
	t := &Text{Data: data}
	if len(doc.Content) == 1 && !isImplicitNull(doc.Content[0]) {
		t.Root = doc.Content[0]
	}
	return t, nil
}

// syntaxError takes the values out of an error of the YAML library and puts
// the line in where the library leaves it out, which it does for the first.
func syntaxError(data []byte, err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	// The one message of the parser that quotes the document.
	if strings.HasPrefix(msg, "unknown anchor") {
		return errors.New("an alias has no anchor")
	}
	if !strings.HasPrefix(msg, "line ") {
		msg = "line 1: " + msg
	}
	if line := tabNear(data, msg); line > 0 {
		return fmt.Errorf("line %d: a tab where YAML takes spaces only", line)
	}
	return errors.New(msg)
}

// tabNear returns the line of a tab that makes the parser stop, and 0 where
// there is none: one in the indentation, which the parser tells of in words of
// its own, and often a line too late.
func tabNear(data []byte, msg string) int {
	// Not by fmt.Sscanf, which is 20 kB of program.
	number, _, _ := strings.Cut(strings.TrimPrefix(msg, "line "), ":")
	at, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	lines := bytes.Split(data, []byte("\n"))
	for n := max(at-1, 1); n <= min(at+1, len(lines)); n++ {
		text := bytes.TrimLeft(lines[n-1], " -")
		if bytes.HasPrefix(text, []byte("\t")) {
			return n
		}
	}
	return 0
}

// badCharacter returns the line of the first byte that YAML 1.2 (5.1) does not
// allow, and 0 where there is none. The library refuses them too, but names no
// line, and it also reads UTF-16, which can't be spliced.
func badCharacter(data []byte) int {
	for i := 0; i < len(data); {
		c := data[i]
		if c < utf8.RuneSelf {
			if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
				return lineNumber(data, i)
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 || r < 0xa0 && r != 0x85 || r == 0xfffe || r == 0xffff {
			return lineNumber(data, i)
		}
		i += size
	}
	return 0
}

func lineNumber(data []byte, off int) int {
	return 1 + bytes.Count(data[:off], []byte("\n"))
}

// OddBreak returns the line of the first line break that is neither LF nor
// CRLF, and 0 where there is none. Programs disagree on whether a lone CR, NEL,
// LS or PS ends a line, so around one no edit is sure.
func (t *Text) OddBreak() int {
	for i := range t.Data {
		switch t.Data[i] {
		case '\r':
			if i+1 == len(t.Data) || t.Data[i+1] != '\n' {
				return lineNumber(t.Data, i)
			}
		case 0xc2, 0xe2:
			if r, _ := utf8.DecodeRune(t.Data[i:]); r == 0x85 || r == 0x2028 || r == 0x2029 {
				return lineNumber(t.Data, i)
			}
		}
	}
	return 0
}

// Lookup returns a mapping's key node and value node, nil where it has none.
func Lookup(mapping *yaml.Node, key string) (k, v *yaml.Node) {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if n := Resolve(mapping.Content[i]); n.Kind == yaml.ScalarNode && n.Value == key {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	return nil, nil
}

// CheckKeys refuses what would make a mapping mean different things to
// different programs: a key that is there twice, and a merge key.
func CheckKeys(mapping *yaml.Node) error {
	seen := make(map[string]int, len(mapping.Content)/2)
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		k := Resolve(mapping.Content[i])
		if k.Kind != yaml.ScalarNode {
			continue
		}
		if k.ShortTag() == "!!merge" {
			return fmt.Errorf("line %d: a merge key (<<), which not every program follows", k.Line)
		}
		// Whatever its tag, since programs differ in how they take those.
		if first, ok := seen[k.Value]; ok {
			return fmt.Errorf("line %d: the same key as in line %d", mapping.Content[i].Line, first)
		}
		seen[k.Value] = mapping.Content[i].Line
	}
	return nil
}

// Resolve returns what an alias stands for, and any other node itself.
func Resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// IsNull tells whether n is null, written or left out.
func IsNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}

func isImplicitNull(n *yaml.Node) bool {
	return IsNull(n) && n.Value == "" && n.Style == 0 && n.Anchor == ""
}

// Same tells whether two nodes are written alike, comments and places aside.
// An alias is compared by its name, not by what it stands for.
func Same(a, b *yaml.Node) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Kind == b.Kind && a.Tag == b.Tag && a.Value == b.Value && a.Anchor == b.Anchor &&
		a.Style == b.Style && slices.EqualFunc(a.Content, b.Content, Same)
}
