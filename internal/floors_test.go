// Package internal_test holds the packages of this module to their floors.
package internal_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/linux-patch/enroll/"

// floors: a package imports, from this module, only packages of lower floors.
// So values move one way, and a change shows its reach by its floor.
var floors = map[string]int{
	"internal/contract":  0,
	"internal/yamltext":  0,
	"internal/jsontext":  0,
	"internal/hostname":  0,
	"internal/plaintext": 0,
	"internal/outlet":    0,
	"internal/frugal":    0,
	"internal/device":    0,

	"internal/nearest":   1,
	"internal/pace":      1,
	"internal/aptrepo":   1,
	"internal/plan":      1,
	"internal/pki":       1,
	"internal/whitelist": 1,
	"internal/config":    1,
	"internal/approval":  1,

	"internal/managerclient": 2,
	"internal/hostfs":        2,
	"internal/identity":      2,
	"internal/audit":         2,

	"internal/options":  3,
	"internal/report":   3,
	"internal/statedir": 3,

	"internal/observe":   4,
	"internal/ownership": 4,

	"internal/install": 5,

	"internal/converse": 6,

	"internal/enroll": 7,

	"internal/ansible": 8,
	"internal/daemon":  8,
	"internal/manager": 8,
	"internal/admin":   8,

	"module/enrollment":                9,
	"internal/cmd/linux_patch_api":     9,
	"internal/cmd/linux_patch_manager": 9,
	"internal/cmd/enrollment_admin":    9,
}

// only lists what a package may import of this module where its floor alone
// would allow more.
var only = map[string][]string{
	// The reference manager shares the contract with the client and nothing
	// else of what they say to each other, so that each checks the other.
	"internal/manager": {"internal/contract", "internal/nearest", "internal/device"},
}

// pure packages are handed bytes and times: no files, no network, no clock.
var pure = []string{"internal/contract", "internal/yamltext", "internal/jsontext", "internal/hostname", "internal/plaintext", "internal/nearest", "internal/pace", "internal/plan", "internal/pki", "internal/whitelist", "internal/config", "internal/approval", "internal/aptrepo"}

var impure = []string{"os", "net", "net/http", "os/exec", "syscall", "io/ioutil", "github.com/spf13/afero", "golang.org/x/sys/unix"}

func TestFloors(t *testing.T) {
	seen := 0
	for dir, imports := range packages(t) {
		floor, known := floors[dir]
		if !known {
			t.Errorf("%s has no floor: give it one in floors", dir)
			continue
		}
		seen++
		for _, path := range imports {
			dep, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			if below, known := floors[dep]; !known || below >= floor {
				t.Errorf("%s (floor %d) imports %s (floor %d)", dir, floor, dep, below)
			}
			if allowed, limited := only[dir]; limited && !contains(allowed, dep) {
				t.Errorf("%s imports %s; it may import %v alone", dir, dep, allowed)
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d packages were seen: the test looks in the wrong place", seen)
	}
}

// The table that a person reads first is this one.
func TestFloorsAreThoseOfTheDocument(t *testing.T) {
	text, err := os.ReadFile("../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d) \| ([^|]*) \|`).FindAllStringSubmatch(string(text), -1) {
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[2], -1) {
			got[name[1]] = int(row[1][0] - '0')
		}
	}
	if !maps.Equal(got, floors) {
		t.Errorf("CONTRIBUTING.md: got the floors %v, want %v", got, floors)
	}
}

func TestPurePackagesTouchNothing(t *testing.T) {
	all := packages(t)
	for _, dir := range pure {
		for _, path := range all[dir] {
			if contains(impure, path) {
				t.Errorf("%s imports %s", dir, path)
			}
		}
	}
}

// packages maps each package of this module to what its program files import.
// Packages for tests alone are left out.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, top := range []string{"../internal", "../module"} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			// module/lean holds modules of their own, under other names.
			if d.IsDir() && (d.Name() == "testdata" || d.Name() == "lean" || forTests(path)) {
				return filepath.SkipDir
			}
			if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			dir := filepath.ToSlash(filepath.Dir(strings.TrimPrefix(path, "../")))
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			found[dir] = append(found[dir], []string{}...)
			for _, spec := range file.Imports {
				name, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					return err
				}
				found[dir] = append(found[dir], name)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func forTests(path string) bool {
	for _, suffix := range []string{"/pkitest", "/faultfs", "/hosttest", "/torture", "/testbuild", "/testconsole", "/deployed"} {
		if strings.HasSuffix(path, suffix) {
			return true
		}
	}
	return false
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
