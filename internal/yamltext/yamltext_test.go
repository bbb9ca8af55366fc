package yamltext

import (
	"bytes"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestParse(t *testing.T) {
	for _, in := range []string{"", "# c\n", "\ufeff", "---\n", "---\n# c\n...\n"} {
		if d, err := Parse([]byte(in)); err != nil || d.Root != nil {
			t.Errorf("%q: %+v, %v; want no root", in, d, err)
		}
	}
	errs := []struct{ in, want string }{
		{"a: \"\n", "line 2: found unexpected end of stream"},
		{"a: b: c\n", "line 1: "},
		{"a: *b\n", "an alias has no anchor"},
		{"a: 1\n---\nb: 2\n", "line 2: a second document"},
		{"a: 1\n...\nb: 2\n", "line "},
		{"a: 1\n\x7f", "line 2: not UTF-8"},
		{"a: 1\n\xc2\x9f", "line 2: not UTF-8"},
		{"a: 1\n\xed\xa0\x80", "line 2: not UTF-8"},
		{"a: 1\n\uffff", "line 2: not UTF-8"},
		{"\xfe\xff\x00a", "line 1: not UTF-8"},
	}
	for _, tt := range errs {
		if _, err := Parse([]byte(tt.in)); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %s", tt.in, err, tt.want)
		}
	}
}

func TestOddBreak(t *testing.T) {
	tests := []struct {
		in   string
		want int
	}{
		{"a\r\nb\n\r\n", 0}, {"é…\u20ac\n", 0}, {"a\r", 1}, {"a\n\rb", 2}, {"a\n\n\u0085", 3}, {"\u2028", 1}, {"\n\u2029", 2},
	}
	for _, tt := range tests {
		if got := (&Text{Data: []byte(tt.in)}).OddBreak(); got != tt.want {
			t.Errorf("%q: line %d, want %d", tt.in, got, tt.want)
		}
	}
}

func TestCheckKeys(t *testing.T) {
	tests := []struct{ in, want string }{
		{"a: 1\nb: 2\n? [a]\n: 3\n", ""},
		{"a: 1\n'a': 2\n", "line 2: the same key as in line 1"},
		{"a: &x a\n*x : 2\n", "line 2: the same key as in line 1"},
		{"a: &x {}\n<<: *x\n", "line 2: a merge key"},
		{"\"<<\": 1\n", ""},
	}
	for _, tt := range tests {
		d, err := Parse([]byte(tt.in))
		if err != nil {
			t.Fatal(err)
		}
		err = CheckKeys(d.Root)
		if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.in, err, tt.want)
		}
	}
}

func TestSame(t *testing.T) {
	alike := []struct {
		a, b string
		want bool
	}{
		{"a: [b, {c: 1}]", "# c\na:   [b, {c: 1}] # d\n", true},
		{"a: 1", "a: 2", false},
		{"a: 1", "a: '1'", false},
		{"a: b", "a: 'b'", false},
		{"a: &x b", "a: &y b", false},
		{"a: [b]", "a: [b, b]", false},
		{"a: [b]", "a: [[b]]", false},
		{"a: !x b", "a: !y b", false},
		{"", "# c", true},
		{"", "a: 1", false},
	}
	for _, tt := range alike {
		a, errA := Parse([]byte(tt.a))
		b, errB := Parse([]byte(tt.b))
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if Same(a.Root, b.Root) != tt.want || Same(b.Root, a.Root) != tt.want {
			t.Errorf("%q and %q: want %v", tt.a, tt.b, tt.want)
		}
	}
}

// What Scalar places reads as the same value when it is parsed by itself.
func FuzzScalar(f *testing.F) {
	for _, s := range []string{"é: \"ü\\\"\" # c\n", "\ufeffa: 'it''s'\n", "- &a !!str x\n- *a\n", "\U0001f600: [a, 'b', \"c\"]\r\n", "a: x\n  y\n", "a:\t\"b\\\\\"\t#\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil || d.Root == nil || d.OddBreak() > 0 {
			return
		}
		var walk func(n *yaml.Node)
		walk = func(n *yaml.Node) {
			for _, c := range n.Content {
				walk(c)
			}
			start, end, ok := d.Scalar(n, false)
			if !ok {
				return
			}
			text := data[start:end]
			if bytes.ContainsRune(text, '\n') {
				t.Fatalf("%q: %q is not on one line", data, text)
			}
			alone, err := Parse([]byte("- " + string(text) + "\n"))
			if err != nil || len(alone.Root.Content) != 1 || alone.Root.Content[0].Kind != yaml.ScalarNode {
				// A text that means something else there, such as the key ":".
				return
			}
			if got := alone.Root.Content[0].Value; got != n.Value {
				t.Fatalf("%q: %q is placed at %q, want %v", data, n.Value, text, n.Value)
			}
		}
		walk(d.Root)
	})
}

// Cut takes back what InsertAfter and Append put in, whatever the text.
func FuzzCut(f *testing.F) {
	for _, s := range []string{"", "a", "a\n", "a\r\nb", "\ufeff", "\ufeffa\r\n\r\n", "a: 1\n...\n", "\n\n", "---\n...\n"} {
		f.Add([]byte(s), uint8(0))
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, at uint8) {
		d, err := Parse(data)
		if err != nil || d.OddBreak() > 0 {
			return
		}
		l := d.LineAt(min(int(at), len(data)))
		for name, edited := range map[string][]byte{
			"InsertAfter": d.InsertAfter(l, "x: @one", "x: @two"),
			"Append":      d.Append("x: @one", "x: @two"),
		} {
			e := &Text{Data: edited}
			one := bytes.LastIndex(edited, []byte("x: @one"))
			two := bytes.LastIndex(edited, []byte("x: @two"))
			first, last := e.LineAt(one), e.LineAt(two)
			if first.Start != one || last.Start != two || last.End != two+len("x: @two") {
				t.Fatalf("%q: %s gives %q, not two lines, want %v, %v, %v", data, name, edited, one, two, two+len("x: @two"))
			}
			if back := e.Cut(first, last); !bytes.Equal(back, data) {
				t.Fatalf("%q: %s gives %q, and Cut %q, want %v", data, name, edited, back, data)
			}
		}
	})
}

func TestField4_13_TabIsNamed(t *testing.T) {
	for in, want := range map[string]string{
		"a:\n\tb: 1\n":                  "line 2: a tab where YAML takes spaces only",
		"a:\n  b: 1\n\tc: 2\n":          "line 3: a tab where YAML takes spaces only",
		"entries:\n  - x\n \t- y\n":     "line 3: a tab where YAML takes spaces only",
		"entries:\n\t- x\n":             "line 2: a tab where YAML takes spaces only",
		"\n\t\na: 1\n":                  "line 2: a tab where YAML takes spaces only",
		"\ta: 1\n":                      "line 1: a tab where YAML takes spaces only",
		"# c\na:\n  b:\n\t\tc: 1\nd: 2": "line 4: a tab where YAML takes spaces only",
	} {
		if _, err := Parse([]byte(in)); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", in, err, want)
		}
	}
	for _, in := range []string{"a:\tb\n", "a: [1,\n\t2]\n", "a: 1 \t# c\n"} {
		if _, err := Parse([]byte(in)); err != nil {
			t.Errorf("%q: got %v, want no error", in, err)
		}
	}
}
