package internal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The programs for hosts are built without what these rules of validator need
// (module/lean): with one of them an option could never be valid.
func TestNoOptionHasARuleThatTheLeanProgramsLack(t *testing.T) {
	lacking := regexp.MustCompile(`\b(image|urn_rfc2141|urn_rfc8141|bcp47\w*)\b`)
	rules := regexp.MustCompile(`validate:"([^"]*)"`)
	seen := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, rule := range rules.FindAllStringSubmatch(string(source), -1) {
			seen++
			if lacking.MatchString(rule[1]) {
				t.Errorf("%s: got the rule %q, want none that module/lean takes out", path, rule[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 20 {
		t.Errorf("got %d rules, want those of all options", seen)
	}
}
