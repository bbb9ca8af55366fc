package whitelist

import (
	"net/netip"
	"strings"

	"github.com/linux-patch/enroll/internal/yamltext"
	"go.yaml.in/yaml/v3"
)

// addedMark ends the line that Add writes where the text has no "entries", so
// that Remove knows the whole line, not the entry alone, for Add's.
const addedMark = " # added by enrollment"

func addedLine(ip string) string { return `entries: ["` + ip + `"]` + addedMark }

func (f *file) add(ip netip.Addr) ([]byte, *yamltext.Obstacle) {
	if o := f.obstacle(); o != nil {
		return nil, o
	}
	t := f.text
	switch {
	case f.key == nil:
		indent, ok := "", true
		if t.Root != nil {
			indent, ok = t.Indent(t.Root)
		}
		if !ok {
			return nil, &yamltext.Obstacle{Line: t.Root.Line, Why: "the first key is not on a line of its own"}
		}
		return t.Append(indent + addedLine(ip.String())), nil
	case f.seq == nil:
		start, end, ok := t.Scalar(f.value, false)
		indent, alone := t.Indent(f.key)
		if !ok || start != end || !alone || !t.OnlyComment(end) {
			return nil, &yamltext.Obstacle{Line: f.key.Line, Why: `"entries" has a value in place of a list`}
		}
		return t.InsertAfter(t.LineAt(end), indent+"  - "+quote(ip, yaml.DoubleQuotedStyle)), nil
	case f.seq.Style&yaml.FlowStyle != 0:
		open, items, o := f.brackets()
		if o != nil {
			return nil, o
		}
		if len(items) == 0 {
			return t.Replace(open+1, open+1, quote(ip, yaml.DoubleQuotedStyle)), nil
		}
		last := items[len(items)-1]
		return t.Replace(last.end, last.end, ", "+quote(ip, f.lastStyle())), nil
	default:
		l, prefix, o := f.entryLine(f.seq.Content[len(f.seq.Content)-1], true)
		if o != nil {
			return nil, o
		}
		return t.InsertAfter(l, prefix+quote(ip, f.lastStyle())), nil
	}
}

func (f *file) remove(at int) ([]byte, *yamltext.Obstacle) {
	if o := f.obstacle(); o != nil {
		return nil, o
	}
	t := f.text
	if f.seq.Style&yaml.FlowStyle == 0 {
		l, _, o := f.entryLine(f.seq.Content[at], false)
		if o != nil {
			return nil, o
		}
		return t.Cut(l, l), nil
	}
	open, items, o := f.brackets()
	if o != nil {
		return nil, o
	}
	switch {
	case at > 0:
		return t.Replace(items[at-1].end, items[at].end, ""), nil
	case len(items) > 1:
		return t.Replace(items[0].start, items[1].start, ""), nil
	}
	l := t.LineAt(open)
	if strings.TrimLeft(string(t.Data[l.Start:l.End]), " ") == addedLine(f.list.Entries[0].Text) {
		return t.Cut(l, l), nil
	}
	return t.Replace(items[0].start, items[0].end, ""), nil
}

// obstacle names what makes any edit of this text unsure.
func (f *file) obstacle() *yamltext.Obstacle {
	if root := f.text.Root; root != nil && root.Style&yaml.FlowStyle != 0 && f.text.OddBreak() == 0 {
		return &yamltext.Obstacle{Line: root.Line, Why: "the file is not written as one key a line"}
	}
	return f.text.Obstacle(f.value, "list")
}

// entryLine returns the line of an entry of a block list and what stands before
// the entry: spaces, the dash, blanks.
func (f *file) entryLine(n *yaml.Node, tied bool) (l yamltext.Line, prefix string, o *yamltext.Obstacle) {
	start, end, ok := f.text.Scalar(n, tied)
	if ok {
		l = f.text.LineAt(start)
		prefix = string(f.text.Data[l.Start:start])
		dash := strings.TrimRight(prefix, " \t")
		ok = strings.TrimLeft(dash, " ") == "-" && f.text.OnlyComment(end)
		if prefix == dash {
			prefix += " "
		}
	}
	if !ok {
		return l, "", &yamltext.Obstacle{Line: n.Line, Why: "the entry is not a plain one on a line of its own"}
	}
	return l, prefix, nil
}

type span struct{ start, end int }

// brackets returns the places of the opening bracket and of the items of a list
// in brackets that stands, with plain items only, on one line.
func (f *file) brackets() (open int, items []span, o *yamltext.Obstacle) {
	o = &yamltext.Obstacle{Line: f.seq.Line, Why: "the list is not plain items between brackets on one line"}
	t := f.text
	open, ok := t.Offset(f.seq)
	if !ok || !strings.HasPrefix(string(t.Data[open:]), "[") {
		return 0, nil, o
	}
	end := t.LineAt(open).End
	blanks := func(at int) int {
		for at < end && (t.Data[at] == ' ' || t.Data[at] == '\t') {
			at++
		}
		return at
	}
	is := func(at int, c byte) bool { return at < end && t.Data[at] == c }

	at := blanks(open + 1)
	for i, n := range f.seq.Content {
		start, stop, ok := t.Scalar(n, false)
		if !ok || start != at {
			return 0, nil, o
		}
		items = append(items, span{start, stop})
		at = blanks(stop)
		switch {
		case is(at, ','):
			at = blanks(at + 1)
		case i+1 < len(f.seq.Content):
			return 0, nil, o
		}
	}
	if !is(at, ']') || !t.OnlyComment(at+1) {
		return 0, nil, o
	}
	return open, items, nil
}

func (f *file) lastStyle() yaml.Style { return f.seq.Content[len(f.seq.Content)-1].Style }

// quote writes ip as an entry in the style of another. IPv6 never stands bare:
// its colons make a mapping, or a number of base 60, for some programs.
func quote(ip netip.Addr, like yaml.Style) string {
	switch {
	case like&yaml.SingleQuotedStyle != 0:
		return "'" + ip.String() + "'"
	case like&yaml.DoubleQuotedStyle == 0 && ip.Is4():
		return ip.String()
	}
	return `"` + ip.String() + `"`
}
