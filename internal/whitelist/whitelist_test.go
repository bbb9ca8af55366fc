package whitelist

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string // text, then what it was read as
		invalid  int
	}{
		{name: "nothing", in: ""},
		{name: "comments only", in: "# a\n\n# b\n"},
		{name: "a document of comments", in: "---\n# a\n...\n"},
		{name: "null document", in: "~\n"},
		{name: "no entries", in: "other: 1\n"},
		{name: "null", in: "entries:\n"},
		{name: "written null", in: "entries: ~\n"},
		{name: "empty", in: "entries: []\n"},
		{name: "unknown keys", in: "version: 2\nentries: [10.0.0.1]\nx: {y: [z]}\n", want: []string{"10.0.0.1", "10.0.0.1/32"}},
		{name: "kinds", in: "entries:\n- 10.0.0.1\n- \"10.1.2.3/8\"\n- '2001:DB8::1'\n- 2001:db8::/32\n- Manager.Example.com.\n- host_1\n",
			want: []string{"10.0.0.1", "10.0.0.1/32", "10.1.2.3/8", "10.0.0.0/8", "2001:DB8::1", "2001:db8::1/128",
				"2001:db8::/32", "2001:db8::/32", "Manager.Example.com.", "manager.example.com", "host_1", "host_1"}},
		{name: "IPv4 in IPv6", in: "entries: ['::ffff:10.0.0.1', '::ffff:10.9.9.9/104', '::ffff:0:0/95']\n",
			want: []string{"::ffff:10.0.0.1", "10.0.0.1/32", "::ffff:10.9.9.9/104", "10.0.0.0/8", "::ffff:0:0/95", "::fffe:0:0/95"}},
		{name: "alias", in: "x: &m 10.0.0.1\nentries: [*m]\n", want: []string{"10.0.0.1", "10.0.0.1/32"}},
		{name: "alias of the list", in: "x: &l [10.0.0.1]\nentries: *l\n", want: []string{"10.0.0.1", "10.0.0.1/32"}},
		{name: "invalid", invalid: 11, in: "entries: [10.0.0.256, 10.0.0, '300', 010.0.0.1, 'a b', -a.example, 'a..b', 'fe80::1%eth0', 5, true, ~]\n",
			want: []string{"10.0.0.256", "", "10.0.0", "", "300", "", "010.0.0.1", "", "a b", "", "-a.example", "", "a..b", "", "fe80::1%eth0", "", "5", "", "true", "", "~", ""}},
		{name: "BOM and CRLF", in: "\ufeffentries:\r\n- 10.0.0.1\r\n", want: []string{"10.0.0.1", "10.0.0.1/32"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Parse([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range l.Entries {
				read := e.Host
				if e.Prefix.IsValid() {
					read = e.Prefix.String()
				}
				got = append(got, e.Text, read)
			}
			if strings.Join(got, "|") != strings.Join(tt.want, "|") {
				t.Errorf("entries %q, want %q", got, tt.want)
			}
			if len(l.Invalid) != tt.invalid {
				t.Errorf("%d invalid, want %d", len(l.Invalid), tt.invalid)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"syntax", "entries: []\na: 'x\n", "line 2"},
		{"syntax in the first line", "a: b: c\n", "line 1"},
		{"not a mapping", "- 10.0.0.1\n", "line 1"},
		{"text", "10.0.0.1\n", "line 1"},
		{"not a list", "\nentries: 10.0.0.1\n", "line 2"},
		{"a mapping for a list", "entries:\n  a: 1\n", "line 2"},
		{"a list among the entries", "entries:\n- a\n- [b]\n", "line 3"},
		{"a mapping among the entries", "entries:\n- a: b\n", "line 2"},
		{"same key twice", "entries: []\n\"entries\": [10.0.0.1]\n", "line 2"},
		{"same key twice, one with a tag", "!!seq entries: []\nentries: [10.0.0.1]\n", "line 2"},
		{"another key twice", "a: 1\nentries: []\na: 2\n", "line 3"},
		{"merge key", "<<: {entries: [10.0.0.1]}\n", "line 1"},
		{"two documents", "entries: []\n---\nentries: [10.0.0.1]\n", "line 2"},
		{"control character", "entries: []\n# \x00\n", "line 2"},
		{"not UTF-8", "entries: []\n\n# \xff\n", "line 3"},
		{"UTF-16", "\xff\xfea\x00:\x00", "line 1"},
		{"unknown anchor", "entries: *a\n", "anchor"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := Parse([]byte(tt.in))
			if err == nil {
				t.Fatalf("got %+v, want an error", l)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want %q in it", err, tt.want)
			}
			if c := contract.CodeOf(err); c != contract.CodeWhitelist {
				t.Errorf("code %s, want %v", c, contract.CodeWhitelist)
			}
			if _, err := Add([]byte(tt.in), netip.MustParseAddr("10.0.0.1")); err == nil {
				t.Error("Add edits it")
			}
			if _, err := Remove([]byte(tt.in), "10.0.0.1"); err == nil {
				t.Error("Remove edits it")
			}
		})
	}
}

func TestInvalidNamesTheLine(t *testing.T) {
	l, err := Parse([]byte("entries:\n- 10.0.0.1\n- 10.0.0.400\n- 10..1\n"))
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Invalid) != 2 || l.Invalid[0].Line != 3 || l.Invalid[0].Text != "10.0.0.400" {
		t.Errorf("got %+v", l.Invalid)
	}
}

func TestCovering(t *testing.T) {
	l, err := Parse([]byte(`entries:
- manager.example.com
- 10.0.0.400
- 10.0.0.1
- 10.0.0.0/8
- 2001:db8::/32
- "::ffff:192.0.2.0/120"
- fe80::1
`))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ ip, want string }{
		{"10.0.0.1", "10.0.0.1"},
		{"10.255.0.1", "10.0.0.0/8"},
		{"::ffff:10.0.0.1", "10.0.0.1"},
		{"192.0.2.7", "::ffff:192.0.2.0/120"},
		{"192.0.3.7", ""},
		{"2001:db8:ffff::1", "2001:db8::/32"},
		{"2001:db9::1", ""},
		{"fe80::1", "fe80::1"},
		{"fe80::1%eth0", ""},
		{"::ffff:10.0.0.1%eth0", ""},
	}
	for _, tt := range tests {
		entry, ok := l.Covering(netip.MustParseAddr(tt.ip))
		if entry != tt.want || ok != (tt.want != "") {
			t.Errorf("%s is covered by %q, %v; want %q", tt.ip, entry, ok, tt.want)
		}
	}
	if entry, ok := l.Covering(netip.Addr{}); ok {
		t.Errorf("the zero address is covered by %q", entry)
	}
}

func TestExampleIsWhatIsShipped(t *testing.T) {
	shipped, err := os.ReadFile("../../configs/whitelist.yaml.example")
	if err != nil {
		t.Fatal(err)
	}
	if string(shipped) != Example {
		t.Error("configs/whitelist.yaml.example differs from Example")
	}
	l, err := Parse(shipped)
	if err != nil || len(l.Entries) != 0 {
		t.Errorf("the example holds %v, %v; want a list that denies all", l, err)
	}
}
