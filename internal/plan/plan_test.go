package plan

import (
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	old := File{Path: "/etc/x/ca.pem", Exists: true, Content: []byte("old"), Text: says("facts of old\n"), Mode: 0o644}
	with := func(f File, change func(*File)) File { change(&f); return f }
	absent := File{Path: "/etc/x/ca.pem"}

	tests := []struct {
		name          string
		before, after File
		op            Op
		action        string
	}{
		{"nothing stays nothing", absent, absent, "", ""},
		{"equal", old, old, "", ""},
		{"text alone is no change", old, with(old, func(f *File) { f.Text = says("said otherwise") }), "", ""},
		{"type bits of the mode do not count", old, with(old, func(f *File) { f.Mode |= 1 << 31 }), "", ""},
		{"create", absent, old, Create, "create /etc/x/ca.pem (mode 0644, owner 0, group 0)"},
		{"remove", old, absent, Remove, "remove /etc/x/ca.pem"},
		{"content", old, with(old, func(f *File) { f.Content = []byte("new") }), Replace, "replace /etc/x/ca.pem (mode 0644, owner 0, group 0)"},
		{"mode", old, with(old, func(f *File) { f.Mode = 0o600 }), Attributes,
			"set attributes of /etc/x/ca.pem: mode 0644, owner 0, group 0 to mode 0600, owner 0, group 0"},
		{"owner", old, with(old, func(f *File) { f.UID = 7 }), Attributes,
			"set attributes of /etc/x/ca.pem: mode 0644, owner 0, group 0 to mode 0644, owner 7, group 0"},
		{"group", old, with(old, func(f *File) { f.GID = 7 }), Attributes,
			"set attributes of /etc/x/ca.pem: mode 0644, owner 0, group 0 to mode 0644, owner 0, group 7"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := Compare(tt.before, tt.after)
			if (c != nil) != (tt.op != "") || c != nil && c.Op != tt.op {
				t.Fatalf("got %+v, want %q", c, tt.op)
			}
			if c != nil && c.Action() != tt.action {
				t.Errorf("action %q, want %q", c.Action(), tt.action)
			}
		})
	}
}

func TestDiffShowsEveryChangeAndNoContent(t *testing.T) {
	key := File{Path: "/k", Exists: true, Content: []byte("SECRET"), Text: says("private key A\n"), Mode: 0o600}
	for _, after := range []File{
		{Path: "/k"},
		{Path: "/k", Exists: true, Content: []byte("SECRET"), Text: says("private key A\n"), Mode: 0o640},
		{Path: "/k", Exists: true, Content: []byte("SECRET2"), Text: says("private key B\n"), Mode: 0o600},
	} {
		c := Compare(key, after)
		if c == nil {
			t.Fatalf("no change to %+v", after)
		}
		d := c.Diff()
		if d.Before == d.After {
			t.Errorf("Ansible would print nothing for %s, want other than %v", c.Action(), d.After)
		}
		if all := d.Before + d.After + d.BeforeHeader + d.AfterHeader + c.Action(); strings.Contains(all, "SECRET") {
			t.Errorf(`content shown in %q, want no "SECRET" in it`, all)
		}
		if !strings.HasPrefix(d.BeforeHeader, "/k") || !strings.HasPrefix(d.AfterHeader, "/k") {
			t.Errorf(`headers %q, %q do not name the file, want "/k" first, "/k" first`, d.BeforeHeader, d.AfterHeader)
		}
	}
}

func says(text string) func() string { return func() string { return text } }
