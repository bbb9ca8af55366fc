// Package docscheck_test holds the documents to the code: a name, code, flag, key or
// link that differs in one place fails here. `make docs-check` prints the list
// of checks.
package docscheck_test

import (
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/testbuild"
)

// top is the repository.
const top = "../.."

// bin holds the built programs.
var bin *testbuild.Programs

// programs are built for what runs them.
var programs = map[string]string{
	"enrollment":          "module/enrollment",
	"enrollment_admin":    "internal/cmd/enrollment_admin",
	"linux_patch_api":     "internal/cmd/linux_patch_api",
	"linux_patch_manager": "internal/cmd/linux_patch_manager",
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "docs-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	// A test runs them as someone else.
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var sources []string
	for _, source := range programs {
		sources = append(sources, top+"/"+source)
	}
	if bin, err = testbuild.Build(dir, "", sources...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	net.DefaultResolver = resolver
	code := bin.Verdict(m.Run())
	// With -run the list would call pass what did not run.
	if only := flag.Lookup("test.run"); only == nil || only.Value.String() == "" {
		fmt.Println(strings.Join(verdicts, "\n"))
	}
	return code
}

// verdicts is the pass/fail list, printed at the end.
var verdicts []string

// verdict runs a check as a test and enters it in the list.
func verdict(t *testing.T, name string, check func(*testing.T)) {
	t.Helper()
	word := "FAIL"
	if t.Run(name, check) {
		word = "pass"
	}
	verdicts = append(verdicts, word+"  "+name)
}

// TestAudit is the documentation audit.
func TestAudit(t *testing.T) {
	for _, c := range []struct {
		name  string
		check func(*testing.T)
	}{
		{"links and anchors lead somewhere", checkLinks},
		{"lists of contents have each chapter", checkContents},
		{"paths in the text exist", checkPaths},
		{"fenced blocks are of a known kind", checkFences},
		{"error codes are the same in code and documents", checkCodes},
		{"audit events are the same in code and documents", checkEvents},
		{"wire fields are the same in code and documents", checkWire},
		{"result fields are the same in code, sidecars and documents", checkResults},
		{"options and defaults are the same in code and documents", checkOptions},
		{"options are the same in code, sidecars and the role", checkSidecars},
		{"config keys are the same in code, example and documents", checkConfigKeys},
		{"flags are those that the programs name", checkFlags},
		{"examples have options that exist, with values that are taken", checkExamples},
		{"OpenAPI says what contract and documents say", checkOpenAPI},
		{"OpenAPI refuses what no manager may answer", checkStrict},
		{"the reference manager answers as OpenAPI says", checkManager},
		{"tests that the security review names exist", checkReview},
		{"enrollment is mentioned wherever it is relevant", checkMentions},
		{"exit codes that stop a restart are those of the unit", checkExits},
		{"manual pages name what the programs have", checkManuals},
		{"manual pages have no lint", checkManualLint},
		{"terms are those of the glossary", checkTerms},
	} {
		verdict(t, c.name, c.check)
	}
}

// documents are all that people read, by their paths in the repository.
func documents(t *testing.T) map[string]*document {
	t.Helper()
	all := map[string]*document{}
	for _, pattern := range []string{"*.md", "docs/*.md", "ansible/*.md", "ansible/roles/*/*.md"} {
		paths, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			name := strings.TrimPrefix(filepath.ToSlash(path), top+"/")
			all[name] = parse(name, read(t, name))
		}
	}
	for _, must := range []string{
		"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/SPEC.md", "docs/API_DOCUMENTATION.md",
		"docs/DEPLOYMENT_GUIDE.md", "docs/SECURITY_REVIEW.md", "docs/ROADMAP.md",
	} {
		if all[must] == nil {
			t.Errorf("%s is missing", must)
			all[must] = parse(must, "")
		}
	}
	return all
}

// read returns a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(top, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// same fails with what is in one list alone.
func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	for _, g := range got {
		if !contains(want, g) {
			t.Errorf("%s: %s is unknown to the code", what, g)
		}
	}
	for _, w := range want {
		if !contains(got, w) {
			t.Errorf("%s: %s is missing", what, w)
		}
	}
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
