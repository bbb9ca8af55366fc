package yamltext

import (
	"bytes"
	"strings"
)

// Replace returns the text with Data[start:end] replaced by s. Like all that
// edit here it leaves Data alone.
func (t *Text) Replace(start, end int, s string) []byte {
	out := make([]byte, 0, len(t.Data)-(end-start)+len(s))
	out = append(out, t.Data[:start]...)
	out = append(out, s...)
	return append(out, t.Data[end:]...)
}

// InsertAfter returns the text with lines put in after l. Where l has no line
// end the last of them gets none either, so that Cut can take back all of it.
func (t *Text) InsertAfter(l Line, lines ...string) []byte {
	eol := t.eol(l.Start)
	s := strings.Join(lines, eol)
	if l.Next > l.End {
		return t.Replace(l.Next, l.Next, s+eol)
	}
	return t.Replace(l.End, l.End, eol+s)
}

// Append returns the text with lines put in at the document's end: after all
// comments, before a document end marker ("...").
func (t *Text) Append(lines ...string) []byte {
	end := t.documentEnd()
	if l := t.LineAt(end); end > l.Start {
		return t.InsertAfter(l, lines...)
	}
	eol := t.eol(end)
	return t.Replace(end, end, strings.Join(lines, eol)+eol)
}

// Cut returns the text without the lines from first to last, and thus what was
// there before InsertAfter or Append put them in.
func (t *Text) Cut(first, last Line) []byte {
	start, end := first.Start, last.Next
	if last.Next == last.End && start > 0 && t.Data[start-1] == '\n' {
		start = t.LineAt(start - 1).End
	}
	return t.Replace(start, end, "")
}

// eol returns how lines end around off.
func (t *Text) eol(off int) string {
	i := bytes.LastIndexByte(t.Data[:off], '\n')
	if i < 0 {
		i = bytes.IndexByte(t.Data, '\n')
	}
	if i > 0 && t.Data[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// documentEnd returns where the line of the document end marker (YAML 1.2,
// 9.1.2) starts, and the end of the text where there is none.
func (t *Text) documentEnd() int {
	off := 0
	if t.Root != nil {
		off, _ = t.Offset(t.Root)
	}
	for {
		i := bytes.Index(t.Data[off:], []byte("\n..."))
		if i < 0 {
			return len(t.Data)
		}
		off += i + 1
		if rest := t.Data[off+3:]; len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0 {
			return off
		}
	}
}
