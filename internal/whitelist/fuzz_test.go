package whitelist

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// pieces are what whitelists and their traps are made of; a fuzzer that picks
// among them gets past the parser more often than one that picks bytes.
var pieces = []string{
	"entries", "entries:", "\"entries\":", "a:", "? ", ": ", "- ", "-", " ", "  ", "\t", "\n", "\r\n", "\n  - ", "\n- ",
	"[", "]", "[]", "{", "}", ", ", ",", "10.0.0.1", "\"10.0.0.2\"", "'10.0.0.3'", "a.example", "192.0.2.10", "2001:db8::10",
	"~", "null", "\"", "'", "\\", "\"\\\"\"", "''", "#", " # c", "\n# c", "\n---\n", "\n...\n", "---", "...", "&m ", "*m", "!!str ", "!!seq ",
	"|", ">", "|+\n", "\n  x\n", "é", "\U0001f600", "\ufeff", "\u2028", "\u0085", "\r", "%TAG !s! x:\n---\n", "<<: ", "0.0.0.0/0",
	addedMark, "entries: [\"192.0.2.10\"]" + addedMark,
}

func assemble(picks []byte) []byte {
	var b []byte
	for _, p := range picks {
		b = append(b, pieces[int(p)%len(pieces)]...)
	}
	return b
}

func seed(f *testing.F) {
	for i, tt := range edits {
		f.Add([]byte(tt.in), i%2 == 0, false)
		f.Add([]byte(tt.want), i%2 == 0, false)
	}
	for i, tt := range uneditable {
		f.Add([]byte(tt.in), i%2 == 0, false)
	}
	f.Add([]byte(Example), true, false)
	for i := range pieces {
		f.Add([]byte{1, 11, 7, byte(i), 11, 9, 6, byte(i + 1)}, true, true)
	}
}

func FuzzAdd(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte, four, pick bool) {
		if pick {
			data = assemble(data)
		}
		ip := ip6
		if four {
			ip = ip4
		}
		given := bytes.Clone(data)
		got, err := Add(data, ip)
		if !bytes.Equal(data, given) {
			t.Fatalf("Add changed what it was given: got %q, want %v", data, given)
		}
		before, bad := Parse(data)
		if bad != nil {
			if err == nil {
				t.Fatalf("%q is no whitelist (%v) but was edited: got %q, want an error", data, bad, got)
			}
			return
		}
		if err != nil {
			return
		}
		after, err := Parse(got)
		if err != nil {
			t.Fatalf("%q became %q: got %v, want no error", data, got, err)
		}
		entry, ok := after.Covering(ip)
		if !ok {
			t.Fatalf("%q became %q without the entry", data, got)
		}
		if covering, ok := before.Covering(ip); ok {
			if !bytes.Equal(got, data) || entry != covering {
				t.Fatalf("%q covers %s and became %q, want %v, entry %v", data, ip, got, data, covering)
			}
			return
		}
		if len(data) == 0 {
			data = []byte(Example)
		}
		if entry != ip.String() || !slices.Equal(texts(before), texts(after)[:len(after.Entries)-1]) {
			t.Fatalf("entries %q became %q", texts(before), texts(after))
		}
		inserted, ok := difference(data, got)
		if !ok || strings.Count(inserted, ip.String()) != 1 {
			t.Fatalf("%q became %q: not one insertion", data, got)
		}
		sameOthers(t, data, got)
		again, err := Add(got, ip)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("%q added twice: got %q, %v, want %v", data, again, err, got)
		}
		// Anyone who wrote our mark by hand has made the line ours.
		if bytes.Contains(data, []byte(addedMark)) {
			return
		}
		back, err := Remove(got, ip.String())
		// The same text may be there in a form that is no entry for us, such
		// as one with a tag of its own; then it is there twice.
		if err != nil && slices.Contains(texts(before), ip.String()) {
			return
		}
		if err != nil || !bytes.Equal(back, data) {
			t.Fatalf("%q became %q and then %q, %v, want %v", data, got, back, err, data)
		}
	})
}

func FuzzRemove(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, data []byte, first, pick bool) {
		if pick {
			data = assemble(data)
		}
		before, err := Parse(data)
		if err != nil || len(before.Entries) == 0 {
			if got, err := Remove(data, "10.0.0.1"); err == nil && !bytes.Equal(got, data) {
				t.Fatalf("%q became %q", data, got)
			}
			return
		}
		at := len(before.Entries) - 1
		if first {
			at = 0
		}
		entry := before.Entries[at].Text
		given := bytes.Clone(data)
		got, err := Remove(data, entry)
		if !bytes.Equal(data, given) {
			t.Fatalf("Remove changed what it was given: got %q, want %v", data, given)
		}
		if err != nil {
			return
		}
		after, err := Parse(got)
		if err != nil {
			t.Fatalf("%q became %q: got %v, want no error", data, got, err)
		}
		if want := slices.Delete(texts(before), at, at+1); !slices.Equal(want, texts(after)) {
			t.Fatalf("%q became %q: entries %q, want %q", data, got, texts(after), want)
		}
		if _, ok := difference(got, data); !ok {
			t.Fatalf("%q became %q: not one deletion", data, got)
		}
		sameOthers(t, data, got)
	})
}

func texts(l *List) []string {
	var all []string
	for _, e := range l.Entries {
		all = append(all, e.Text)
	}
	return all
}

// difference returns what long holds more than short, where that is one piece.
func difference(short, long []byte) (more string, ok bool) {
	n := len(long) - len(short)
	if n < 0 {
		return "", false
	}
	at := 0
	for at < len(short) && short[at] == long[at] {
		at++
	}
	return string(long[at : at+n]), bytes.Equal(short[at:], long[at+n:])
}

// sameOthers compares the values of all other keys as another reader sees them.
func sameOthers(t *testing.T, a, b []byte) {
	t.Helper()
	read := func(data []byte) (map[string]any, error) {
		var m map[string]any
		err := yaml.Unmarshal(data, &m)
		delete(m, "entries")
		if len(m) == 0 {
			m = nil
		}
		return m, err
	}
	was, err := read(a)
	if err != nil {
		return
	}
	is, err := read(b)
	if err != nil || !reflect.DeepEqual(was, is) {
		t.Fatalf("%q became %q: %v became %v, %v, want %v", a, b, was, is, err, is)
	}
}
