package whitelist

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
)

var (
	ip4 = netip.MustParseAddr("192.0.2.10")
	ip6 = netip.MustParseAddr("2001:db8::10")
)

// edits are texts that can be edited: want is the text with ip4 added.
var edits = []struct{ name, in, want string }{
	{"block", "entries:\n  - 10.0.0.1\n", "entries:\n  - 10.0.0.1\n  - 192.0.2.10\n"},
	{"block, not indented", "entries:\n- \"10.0.0.1\"\n", "entries:\n- \"10.0.0.1\"\n- \"192.0.2.10\"\n"},
	{"block, far indented, wide dash", "entries:\n      -   'a.example'\n", "entries:\n      -   'a.example'\n      -   '192.0.2.10'\n"},
	{"block, other keys after it", "a: 1\nentries:\n  - 10.0.0.1\n\nz: 2\n", "a: 1\nentries:\n  - 10.0.0.1\n  - 192.0.2.10\n\nz: 2\n"},
	{"block, comments after the last entry", "entries:\n  - 10.0.0.1 # one\n  # - 10.0.0.2\n\n# end\n", "entries:\n  - 10.0.0.1 # one\n  - 192.0.2.10\n  # - 10.0.0.2\n\n# end\n"},
	{"block, no final newline", "entries:\n  - 10.0.0.1", "entries:\n  - 10.0.0.1\n  - 192.0.2.10"},
	{"block, blanks and no final newline", "entries:\n  - 10.0.0.1 \t", "entries:\n  - 10.0.0.1 \t\n  - 192.0.2.10"},
	{"block, CRLF", "entries:\r\n  - 10.0.0.1\r\nz: 2\r\n", "entries:\r\n  - 10.0.0.1\r\n  - 192.0.2.10\r\nz: 2\r\n"},
	{"block, CRLF, no final newline", "entries:\r\n  - 10.0.0.1", "entries:\r\n  - 10.0.0.1\r\n  - 192.0.2.10"},
	{"block, BOM, multi-byte, tabs in comments", "\ufeff# Füße\t\u00fc\nentries:\t# \U0001f600\n  - \"10.0.0.1\"\t# é\té\n", "\ufeff# Füße\t\u00fc\nentries:\t# \U0001f600\n  - \"10.0.0.1\"\t# é\té\n  - \"192.0.2.10\"\n"},
	{"block, quoted key", "\"entries\" :\n  - 10.0.0.1\n", "\"entries\" :\n  - 10.0.0.1\n  - 192.0.2.10\n"},
	{"block, document markers", "--- # x\nentries:\n  - 10.0.0.1\n...\n", "--- # x\nentries:\n  - 10.0.0.1\n  - 192.0.2.10\n...\n"},
	{"block, indented mapping", "  a: 1\n  entries:\n  - 10.0.0.1\n", "  a: 1\n  entries:\n  - 10.0.0.1\n  - 192.0.2.10\n"},
	{"block, last entry left out", "entries:\n  - 10.0.0.1\n  - # none\n", "entries:\n  - 10.0.0.1\n  - # none\n  - 192.0.2.10\n"},
	{"block, last entry left out, bare dash", "entries:\n  -\n", "entries:\n  -\n  - 192.0.2.10\n"},
	{"block, last entry invalid", "entries:\n  - 10.0.0.400\n", "entries:\n  - 10.0.0.400\n  - 192.0.2.10\n"},
	{"block, anchors, tags and aliases", "entries: !!seq\n- &m 10.0.0.1\n- *m\n- !!str &n \"10.0.0.2\"\n", "entries: !!seq\n- &m 10.0.0.1\n- *m\n- !!str &n \"10.0.0.2\"\n- \"192.0.2.10\"\n"},
	{"block, last an alias", "x: &m 10.0.0.1\nentries:\n- *m # m\n", "x: &m 10.0.0.1\nentries:\n- *m # m\n- 192.0.2.10\n"},
	{"block, quotes in quotes", "entries:\n- 'it''s # \"no\" host'\n- \"a\\\"b\\\\\"\n", "entries:\n- 'it''s # \"no\" host'\n- \"a\\\"b\\\\\"\n- \"192.0.2.10\"\n"},
	{"block, a text like it elsewhere", "note: |\n  entries:\n  - 10.0.0.1\nentries:\n- 10.0.0.2\n", "note: |\n  entries:\n  - 10.0.0.1\nentries:\n- 10.0.0.2\n- 192.0.2.10\n"},
	{"block, the same text as another's value", "gone: 192.0.2.10\nentries:\n- a\n", "gone: 192.0.2.10\nentries:\n- a\n- 192.0.2.10\n"},

	{"null", "entries:\n", "entries:\n  - \"192.0.2.10\"\n"},
	{"null, no final newline", "entries:", "entries:\n  - \"192.0.2.10\""},
	{"null, comment and keys after", "entries:   # none\n  # yet\nz: 1\n", "entries:   # none\n  - \"192.0.2.10\"\n  # yet\nz: 1\n"},
	{"null, indented, CRLF", "  entries:\r\n  z: 1\r\n", "  entries:\r\n    - \"192.0.2.10\"\r\n  z: 1\r\n"},
	{"null, BOM", "\ufeffentries:\n", "\ufeffentries:\n  - \"192.0.2.10\"\n"},

	{"brackets, empty", "entries: []\n", "entries: [\"192.0.2.10\"]\n"},
	{"brackets, empty, blanks and comment", "entries: [ ] # deny all\n", "entries: [\"192.0.2.10\" ] # deny all\n"},
	{"brackets, empty, no final newline", "entries: []", "entries: [\"192.0.2.10\"]"},
	{"brackets", "entries: [10.0.0.1, \"a\"] # x\r\nz: 1", "entries: [10.0.0.1, \"a\", \"192.0.2.10\"] # x\r\nz: 1"},
	{"brackets, bare", "entries: [ 10.0.0.1 ]\n", "entries: [ 10.0.0.1, 192.0.2.10 ]\n"},
	{"brackets, comma at the end", "entries: [ 10.0.0.1 , ]\n", "entries: [ 10.0.0.1, 192.0.2.10 , ]\n"},
	{"brackets, multi-byte, brackets and commas in quotes", "entries: ['é],', \"[\\\",\"]\t# é\n", "entries: ['é],', \"[\\\",\", \"192.0.2.10\"]\t# é\n"},
	{"brackets on their own line", "entries:\n  [10.0.0.1]\n", "entries:\n  [10.0.0.1, 192.0.2.10]\n"},

	{"missing", "a: 1\n", "a: 1\nentries: [\"192.0.2.10\"] # added by enrollment\n"},
	{"missing, no final newline", "a: 1", "a: 1\nentries: [\"192.0.2.10\"] # added by enrollment"},
	{"missing, CRLF, comment at the end", "a: 1\r\n# end", "a: 1\r\n# end\r\nentries: [\"192.0.2.10\"] # added by enrollment"},
	{"missing, comments only", "# none\n\n", "# none\n\nentries: [\"192.0.2.10\"] # added by enrollment\n"},
	{"missing, markers", "---\na: 1\n...\n# end\n", "---\na: 1\nentries: [\"192.0.2.10\"] # added by enrollment\n...\n# end\n"},
	{"missing, an empty document", "---\n...\n", "---\nentries: [\"192.0.2.10\"] # added by enrollment\n...\n"},
	{"missing, indented", "  a: 1\n  b: 2\n", "  a: 1\n  b: 2\n  entries: [\"192.0.2.10\"] # added by enrollment\n"},
	{"missing, after a text that ends in dots", "a: |\n  ...\n  x\nb: ...\n", "a: |\n  ...\n  x\nb: ...\nentries: [\"192.0.2.10\"] # added by enrollment\n"},
	{"missing, after a text that keeps its line ends", "a: |+\n  x\n\n", "a: |+\n  x\n\nentries: [\"192.0.2.10\"] # added by enrollment\n"},
	{"missing, one newline", "\n", "\nentries: [\"192.0.2.10\"] # added by enrollment\n"},
	{"missing, BOM only", "\ufeff", "\ufeffentries: [\"192.0.2.10\"] # added by enrollment\n"},
}

func TestAddThenRemove(t *testing.T) {
	for _, tt := range edits {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Add([]byte(tt.in), ip4)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != tt.want {
				t.Fatalf("got\n%q, want\n%q", got, tt.want)
			}
			again, err := Add(got, ip4)
			if err != nil || !bytes.Equal(again, got) {
				t.Errorf("added twice: got %q, %v, want %v", again, err, got)
			}
			back, err := Remove(got, ip4.String())
			if err != nil || string(back) != tt.in {
				t.Errorf("Remove gives\n%q, want\n%q; %v", back, tt.in, err)
			}
		})
	}
}

// More than one manager: what was added first goes first, or last.
func TestAddTwoRemoveTwo(t *testing.T) {
	for _, tt := range edits {
		t.Run(tt.name, func(t *testing.T) {
			both := []byte(tt.in)
			for _, ip := range []netip.Addr{ip4, ip6} {
				var err error
				if both, err = Add(both, ip); err != nil {
					t.Fatal(err)
				}
			}
			for _, order := range [][]netip.Addr{{ip4, ip6}, {ip6, ip4}} {
				back := both
				for _, ip := range order {
					var err error
					if back, err = Remove(back, ip.String()); err != nil {
						t.Fatal(err)
					}
				}
				if string(back) != tt.in {
					t.Errorf("after %v:\n%q, want\n%q", order, back, tt.in)
				}
			}
		})
	}
}

func TestAddIPv6IsQuoted(t *testing.T) {
	got, err := Add([]byte("entries:\n- 2001:db8::1\n"), netip.MustParseAddr("2001:db8:1::"))
	if want := "entries:\n- 2001:db8::1\n- \"2001:db8:1::\"\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func TestAddMakesTheFile(t *testing.T) {
	for _, none := range [][]byte{nil, {}} {
		got, err := Add(none, ip4)
		if err != nil {
			t.Fatal(err)
		}
		if want := strings.Replace(Example, "\nentries: []", "\nentries: [\"192.0.2.10\"]", 1); string(got) != want {
			t.Errorf("got\n%s, want %v", got, want)
		}
		if back, err := Remove(got, ip4.String()); err != nil || string(back) != Example {
			t.Errorf("Remove gives\n%s%v, want %v", back, err, Example)
		}
	}
}

func TestAddCovered(t *testing.T) {
	for _, in := range []string{
		"entries: [192.0.2.10]\n", "entries:\n- 192.0.2.0/24", "entries: ['::ffff:192.0.2.10']",
		// Covered, so it doesn't matter that it could not be edited.
		"{entries: [0.0.0.0/0]}",
	} {
		for _, ip := range []netip.Addr{ip4, netip.MustParseAddr("::ffff:192.0.2.10")} {
			if got, err := Add([]byte(in), ip); err != nil || string(got) != in {
				t.Errorf("%q: got %q, %v, want %v", in, got, err, in)
			}
		}
	}
}

func TestAddHostNameNeverCovers(t *testing.T) {
	got, err := Add([]byte("entries: [manager.example.com]\n"), ip4)
	if want := "entries: [manager.example.com, 192.0.2.10]\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %v", got, err, want)
	}
}

func TestAddRefusesAddresses(t *testing.T) {
	for _, ip := range []netip.Addr{{}, netip.MustParseAddr("fe80::1%eth0"), netip.MustParseAddr("::"),
		netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("224.0.0.1"), netip.MustParseAddr("::ffff:10.0.0.1%x")} {
		if got, err := Add(nil, ip); err == nil {
			t.Errorf("%s was added:\n%s, want an error", ip, got)
		}
	}
}

// uneditable are valid whitelists that Add must leave alone.
var uneditable = []struct{ name, in, line string }{
	{"a mapping in braces", "{entries: [10.0.0.1]}\n", "line 1"},
	{"an empty mapping in braces", "{}\n", "line 1"},
	{"null document", "~\n", "line 1"},
	{"written null", "a: 1\nentries: null\n", "line 2"},
	{"null with a tag", "entries: !!null\n", "line 1"},
	{"brackets on several lines", "entries: [\n  10.0.0.1\n]\n", "line 1"},
	{"brackets with a comment", "entries: [10.0.0.1, # x\n  a]\n", "line 1"},
	{"brackets with an alias", "x: &m a\nentries: [*m]\n", "line 2"},
	{"brackets with an anchor", "entries: [&m a]\n", "line 1"},
	{"brackets with a tag", "entries: [!!str a]\n", "line 1"},
	{"brackets after a tag", "entries: !!seq [a]\n", "line 1"},
	{"an alias", "x: &l [a]\nentries: *l\n", "line 2"},
	{"an anchor", "entries: &l\n- a\nx: *l\n", "line 1"},
	{"the document has an anchor", "--- &d\nentries:\n- a\n", "line"},
	{"a last entry of several lines", "entries:\n- \"a\n  b\"\n", "line 2"},
	{"a last entry that goes on", "entries:\n- a\n  b\n", "line 2"},
	{"a last entry as a block", "entries:\n- |\n  a\n", "line 2"},
	{"a last entry below its dash", "entries:\n-\n  a\n", "line 3"},
	{"a key with a question mark", "? entries\n: - a\n", "line 2"},
	{"lone CR", "entries:\r- a\r", "line 1"},
	{"line separator", "# x\n# \u2028\nentries: []\n", "line 2"},
	{"next line", "entries: []\n# \u0085\n", "line 2"},
	{"a text that a newline would change", "a: |\n  x", "line 1"},
}

func TestUneditable(t *testing.T) {
	for _, tt := range uneditable {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse([]byte(tt.in)); err != nil {
				t.Fatalf("not a valid whitelist: got %v, want no error", err)
			}
			got, err := Add([]byte(tt.in), ip4)
			if !errors.Is(err, ErrUneditable) {
				t.Fatalf("got %q, %v, want %v", got, err, ErrUneditable)
			}
			if contract.CodeOf(err) != contract.CodeWhitelist {
				t.Errorf("code %s, want %v", contract.CodeOf(err), contract.CodeWhitelist)
			}
			for _, want := range []string{tt.line, `- "192.0.2.10"`} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
}

func TestRemove(t *testing.T) {
	tests := []struct{ name, in, entry, want string }{
		{"nothing", "", "192.0.2.10", ""},
		{"not there", "entries:\n- 10.0.0.1\n", "10.0.0.2", "entries:\n- 10.0.0.1\n"},
		{"not there, not editable", "{entries: []}", "10.0.0.2", "{entries: []}"},
		{"covered only", "entries:\n- 10.0.0.0/8\n", "10.0.0.2", "entries:\n- 10.0.0.0/8\n"},
		{"first of a block", "entries:\n- 10.0.0.1 # ours\n# next\n- 10.0.0.2\n", "10.0.0.1", "entries:\n# next\n- 10.0.0.2\n"},
		{"middle of a block", "entries:\n- a\n- '10.0.0.1'\n- b\n", "10.0.0.1", "entries:\n- a\n- b\n"},
		{"last of a block, no final newline", "entries:\n- a\n- 10.0.0.1", "10.0.0.1", "entries:\n- a"},
		{"all of a block", "entries:\n- 10.0.0.1\nz: 1\n", "10.0.0.1", "entries:\nz: 1\n"},
		{"first in brackets", "entries: [ 10.0.0.1, a , b]\n", "10.0.0.1", "entries: [ a , b]\n"},
		{"middle in brackets", "entries: [a, 10.0.0.1, b]\n", "10.0.0.1", "entries: [a, b]\n"},
		{"all in brackets", "entries: [ 10.0.0.1 ] # x\n", "10.0.0.1", "entries: [  ] # x\n"},
		{"one that others joined", "entries: [\"10.0.0.1\", \"a\"] # added by enrollment\n", "10.0.0.1", "entries: [\"a\"] # added by enrollment\n"},
		{"a line that only looks like ours", "entries: ['10.0.0.1'] # added by enrollment\n", "10.0.0.1", "entries: [] # added by enrollment\n"},
		{"a network", "entries: [10.0.0.0/8]\n", "10.0.0.0/8", "entries: []\n"},
		{"a file of ours", "entries: [\"10.0.0.1\"] # added by enrollment\n", "10.0.0.1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Remove([]byte(tt.in), tt.entry)
			if err != nil || string(got) != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestRemoveUneditable(t *testing.T) {
	tests := []struct{ name, in string }{
		{"there twice", "entries:\n- 10.0.0.1\n- \"10.0.0.1\"\n"},
		{"has an anchor", "entries:\n- &m 10.0.0.1\nx: *m\n"},
		{"has an anchor that hides another", "a: &m x\nentries:\n- &m 10.0.0.1\nx: *m\n"},
		{"an alias", "x: &m 10.0.0.1\nentries:\n- *m\n"},
		{"with a tag", "entries: [!!str 10.0.0.1]\n"},
		{"all of a list with a tag", "entries: !!seq\n- 10.0.0.1\n"},
		{"brackets on several lines", "entries: [\n10.0.0.1]\n"},
		{"in braces", "{entries: [10.0.0.1]}"},
		{"behind a question mark", "? entries\n: - 10.0.0.1\n  - a\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Remove([]byte(tt.in), "10.0.0.1")
			if !errors.Is(err, ErrUneditable) || !strings.Contains(err.Error(), "line ") || !strings.Contains(err.Error(), "10.0.0.1") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
