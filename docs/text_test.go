package docs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// top is the repository.
const top = ".."

// read returns a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(top, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// unwrapped joins the lines of a text: a message may be broken in a document.
func unwrapped(text string) string { return strings.Join(strings.Fields(text), " ") }
