package tally

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestNoteOfATestThatPasses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "table")
	t.Setenv("TORTURE_TABLE", file)
	t.Run("one", func(t *testing.T) { Note(t, func() Row { return Row{Attack: "one", Runs: 5} }) })
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got Row
	if err := json.Unmarshal(raw, &got); err != nil || got.Attack != "one" || got.Runs != 5 || got.Lost != 0 {
		t.Errorf("got %s (%v), want the row that was noted", raw, err)
	}
}
