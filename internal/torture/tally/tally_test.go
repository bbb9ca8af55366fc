package tally

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestRowsOfOtherProcesses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "table")
	for _, r := range []Row{{Attack: "a", Points: 2, All: 3}, {Attack: "b", Leaks: 1}} {
		if err := appendTo(file, r); err != nil {
			t.Fatal(err)
		}
	}
	table := Table{}
	table.Row("kill: c").PerCall["fsync"] = 7
	table.Row("kill: c").Window["read"] = 1
	if table.Bad() {
		t.Error("bad before anything was")
	}
	if err := table.Load(file); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	table.Print(&text)
	got := strings.Join(strings.Fields(text.String()), " ")
	for _, want := range []string{"a 2 3 0 0 0 0 0", "b 0 0 0 0 0 0 1", "all 2 3 0 0 0 0 1", "system call in the window kill", "fsync 0 7", "read 1 0"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, text.String())
		}
	}
	if !table.Bad() {
		t.Error("a leak is not bad")
	}
}

func TestNoteOfATestThatPasses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "table")
	t.Setenv("TORTURE_TABLE", file)
	t.Run("one", func(t *testing.T) { Note(t, func() Row { return Row{Attack: "one", Runs: 5} }) })
	table := Table{}
	if err := table.Load(file); err != nil || table["one"] == nil || table["one"].Runs != 5 || table.Bad() {
		t.Errorf("%v %v", table["one"], err)
	}
}
