package whitelist

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

var simpleSeeds = []string{
	"entries:\n  - 192.0.2.1\n  - 192.0.2.2\n  - 198.51.100.0/24\n",
	"# head\nversion: 1\nentries: # who\n- \"192.0.2.1\"\n\n- '2001:db8::1' # a comment\n# between\n- 2001:db8::/32\n- manager.example.com\nother: [a, b]\n",
	"entries:\r\n  - 192.0.2.1\r\n  - 10.0.0.0/8\r\n",
	"entries:\n  - 192.0.2.1\n  - 192.0.2.2\n    and more\n",
	"entries:\n  - 192.0.2.1\n  - true\n  - 1.5\n  - 12:30:45\n  - ::1\n  - 1::\n  - null\n  - 2001-01-01\n  - 0x1f\n",
	"entries:\n  - true\n  - 1.5\n  - 12:30:45\n  - null\n  - 2001-01-01\n  - no\n  - 1e3\n  - fe80::1\n  - 999.1.1.1\n",
	"entries:\n  - 192.0.2.1\n    - 192.0.2.2\n",
	"entries:\n  - 192.0.2.1\n - 192.0.2.2\n",
	"entries:\n  - 192.0.2.1\n  - 192.0.2.2\n  - {a: b}\n",
	"entries:\n  - 192.0.2.1\n  - 192.0.2.2\nentries:\n  - 192.0.2.3\n  - 192.0.2.4\n",
	"a: \"x\nentries:\n  - 192.0.2.1\n  - 192.0.2.2\n\"\n",
	"a: |\nentries:\n  - 192.0.2.1\n  - 192.0.2.2\n",
	"a: {b: [\nentries:\n  - 192.0.2.1\n  - 192.0.2.2\n]}\n",
	"x: \u2028y\nentries:\n  - 192.0.2.1\n  - 192.0.2.2\n",
	"entries:\n  - 192.0.2.1\n  # caf\u0085é\n  - 192.0.2.2\n",
	"---\nentries:\n  - 192.0.2.1\n  - 192.0.2.2\n...\n",
	"---\nentries:\n  - 192.0.2.1\n  - 192.0.2.2\n---\nentries:\n  - 192.0.2.1\n",
	"entries:\n  - 'it''s'\n  - \"a\\tb\"\n  - \"fe80::1%eth0\"\n  - '::ffff:192.0.2.1'\n",
	"entries:\n  - 192.0.2.1:\n  - 192.0.2.2\n",
	"entries:\n  - - 192.0.2.1\n  - 192.0.2.2\n",
	"entries:\n  -   192.0.2.1\n  - 192.0.2.2\n",
	"entries: &a\n  - 192.0.2.1\n  - 192.0.2.2\nb: *a\n",
	"\ufeffentries:\n  - 192.0.2.1\n  - 192.0.2.2\n",
	"entries:\n\t- 192.0.2.1\n  - 192.0.2.2\n",
	"entries:\n  - 192.0.2.1#x\n  - 192.0.2.2\n",
	"entries:\n  - 192.0.2.1\n-   192.0.2.2\n  - 192.0.2.3\n",
}

// asTheParserReads holds the short way against the YAML parser.
func asTheParserReads(t *testing.T, data []byte) {
	t.Helper()
	got, ok := parseSimple(data)
	if !ok {
		return
	}
	f, err := load(data)
	if err != nil {
		t.Fatalf("%q: got %d entries, want %v", data, len(got.Entries), err)
	}
	if !reflect.DeepEqual(got.Entries, f.list.Entries) || !reflect.DeepEqual(got.Invalid, f.list.Invalid) {
		t.Fatalf("%q: got %+v, want %+v", data, got, f.list)
	}
	set := got.Set()
	for _, e := range got.Entries {
		for _, ip := range []netip.Addr{e.Prefix.Addr(), e.Prefix.Addr().Next(), e.Prefix.Addr().Prev()} {
			entry, covered := got.Covering(ip)
			if covered != set.Contains(ip) {
				t.Fatalf("%q: %s: got %v, want %v", data, ip, set.Contains(ip), covered)
			}
			if found, simple := findSimple(data, ip); !simple || found.Covering != entry || (entry != "") != covered {
				t.Fatalf("%q: %s: got %+v, %v, want %q, %v", data, ip, found, simple, entry, covered)
			}
		}
	}
}

func FuzzSimple(f *testing.F) {
	for _, s := range simpleSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(asTheParserReads)
}

// TestSimpleIsTaken: the forms that are in use take the short way.
func TestSimpleIsTaken(t *testing.T) {
	for i, s := range simpleSeeds[:3] {
		if _, ok := parseSimple([]byte(s)); !ok {
			t.Errorf("%d: not taken", i)
		}
	}
}

// TestSetIsTheList: nested, adjacent and doubled networks of both families.
func TestSetIsTheList(t *testing.T) {
	list, err := Parse([]byte("entries: [10.0.0.0/8, 10.1.0.0/16, 10.1.2.3, 11.0.0.0/32, 9.255.255.255, 192.0.2.0/25, 192.0.2.0/25, 192.0.2.64/26, " +
		"'2001:db8::/32', '2001:db8::1', '::ffff:198.51.100.1', 0.0.0.0/32, host.example.com, 999.1.1.1]"))
	if err != nil {
		t.Fatal(err)
	}
	set := list.Set()
	for _, s := range []string{
		"9.255.255.254", "9.255.255.255", "10.0.0.0", "10.1.2.3", "10.255.255.255", "11.0.0.0", "11.0.0.1", "192.0.2.0", "192.0.2.127", "192.0.2.128",
		"192.0.3.0", "198.51.100.1", "::ffff:198.51.100.1", "::ffff:198.51.100.2", "2001:db7:ffff::", "2001:db8::2", "2001:db9::", "::", "0.0.0.0", "255.255.255.255", "fe80::1%eth0",
	} {
		ip := netip.MustParseAddr(s)
		if _, want := list.Covering(ip); set.Contains(ip) != want {
			t.Errorf("%s: got %v, want %v", s, set.Contains(ip), want)
		}
	}
	if (Set{}).Contains(netip.MustParseAddr("192.0.2.1")) {
		t.Error("an empty set lets an address in")
	}
}

// Both ways find the first entry for which deployed agents refuse the file.
func TestFoundRefused(t *testing.T) {
	for _, form := range []string{"entries:\n- %s\n- %s\n- 192.0.2.1\n", "entries: ['%s', '%s', 192.0.2.1]\n"} {
		for entry, refused := range map[string]bool{
			"10.0.0.0/8": false, "10.1.2.3/8": false, "0.0.0.0/0": false, "host.example.com": false, "2001:db8::1": false,
			"2001:db8::/32": true, "::ffff:10.0.0.0/104": true, "10.0.0.0/33": true, "host/24": true, "/": true,
		} {
			want := ""
			if refused {
				want = entry
			}
			data := fmt.Sprintf(form, entry, entry)
			if found, err := Find([]byte(data), netip.MustParseAddr("192.0.2.1")); err != nil || found.Refused != want {
				t.Errorf("%q: got %+v, %v, want %q refused", data, found, err, want)
			}
		}
	}
}

func many(n int) []byte {
	var b strings.Builder
	b.WriteString("# the fleet\nentries:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - \"10.%d.%d.%d\"\n", i>>16, i>>8&255, i&255)
	}
	return []byte(b.String())
}

// BenchmarkParse is what a run pays for a whitelist, by its length.
func BenchmarkParse(b *testing.B) {
	for _, n := range []int{1, 40_000, 100_000} {
		data := many(n)
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := Parse(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFind is what a converged run pays for it.
func BenchmarkFind(b *testing.B) {
	for _, n := range []int{1, 40_000} {
		data := many(n)
		ip := netip.MustParseAddr("10.0.0.0")
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			for b.Loop() {
				if found, err := Find(data, ip); err != nil || found.Covering == "" {
					b.Fatal(found, err)
				}
			}
		})
	}
}

// BenchmarkContains is what a connection pays for it.
func BenchmarkContains(b *testing.B) {
	for _, n := range []int{1, 100_000} {
		list, err := Parse(many(n))
		if err != nil {
			b.Fatal(err)
		}
		set, last := list.Set(), list.Entries[n-1].Prefix.Addr()
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			for b.Loop() {
				if !set.Contains(last) {
					b.Fatal("not let in")
				}
			}
		})
	}
}
