package testbuild_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/testbuild"
)

// small is a module with a program, a package that it imports, and a test that
// runs the program and imports nothing of it.
var small = map[string]string{
	"go.mod":          "module github.com/linux-patch/enroll\n\ngo 1.26\n",
	"program/main.go": "package main\n\nimport \"github.com/linux-patch/enroll/word\"\n\nfunc main() { print(word.Word) }\n",
	"word/word.go":    "package word\n\nvar Word = \"right\"\n",
	"test/run_test.go": `package test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/linux-patch/enroll/internal/testbuild"
)

var bin *testbuild.Programs

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "small-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if bin, err = testbuild.Build(dir+"/", "", "../program"); err != nil {
		panic(err)
	}
	m.Run()
}

func TestWord(t *testing.T) {
	if out, err := exec.Command(bin.Path("program")).CombinedOutput(); err != nil || string(out) != "right" {
		t.Errorf("got %q, %v, want right", out, err)
	}
}
`,
}

// A result that go test remembers must not outlive a line of the program.
func TestAChangedProgramIsTestedAgain(t *testing.T) {
	source, err := os.ReadFile("testbuild.go")
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]map[string]string{
		"a line of the program":     {"program/main.go": "package main\n\nfunc main() { print(\"broken\") }\n"},
		"a line of what it imports": {"word/word.go": "package word\n\nvar Word = \"wrong\"\n"},
		"a new file":                {"word/init.go": "package word\n\nfunc init() { Word = \"new\" }\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, small)
			put(t, dir, map[string]string{"internal/testbuild/testbuild.go": string(source)})
			if out, err := gotest(t, dir); err != nil {
				t.Fatalf("got %v\n%s, want no error", err, out)
			}
			if out, err := gotest(t, dir); err != nil || !strings.Contains(out, "(cached)") {
				t.Fatalf("nothing changed: got %v, want a remembered result\n%s", err, out)
			}
			put(t, dir, change)
			if out, err := gotest(t, dir); err == nil {
				t.Errorf("got a passing test, want a failing one\n%s", out)
			}
		})
	}
}

// put writes files, with times that are far enough back for go test to
// remember a result.
func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	past := time.Now().Add(-time.Minute)
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, past, past); err != nil {
			t.Fatal(err)
		}
	}
}

func gotest(t *testing.T, dir string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "test", "./test")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// tied are the packages whose tests run built programs, and for each a short
// test that does.
var tied = map[string]string{
	"module/enrollment":            "TestScripts/^badinput$",
	"internal/cmd/linux_patch_api": "TestScripts/^flags$",
	"internal/torture":             "TestResetAtEachByte",
	"internal/docscheck":           "TestAudit/flags",
	"internal/deployed":            "TestAgentEnrollsAtDeployedManagers/dialect_1$",
}

// built finds tests that build or run programs of this module.
var built = regexp.MustCompile(`testbuild\.(Build|Programs|Tie)|"go", "build"|"go", append\(\[\]string\{"build"|"build", "bin"|module/enrollment"`)

// elsewhere are files that match and need no tie of that kind.
var elsewhere = map[string]string{
	"internal/testbuild":            "this test",
	"configs/packages":              "ties itself to what the packages are made of",
	"internal/cmd/enrollment_admin": "gets its programs from testbuild; it runs no program of a host",
	"internal/fleet":                "imports the client, and the program only through testbuild",
	"ansible/tests":                 "ties itself to the sources of build/bin: its own build takes minutes",
	"internal":                      "names floors",
}

func TestEachPackageThatRunsProgramsIsTiedToTheirSources(t *testing.T) {
	for _, dir := range testsThatMatch(t, built) {
		if tied[dir] == "" && elsewhere[dir] == "" {
			t.Errorf("the tests of %s run built programs: use testbuild, and name them in tied", dir)
		}
	}
	for dir, test := range tied {
		t.Run(dir, func(t *testing.T) {
			opened := record(t, dir, test)
			for _, source := range []string{"module/enrollment/main_linux.go", "internal/enroll/decide.go", "internal/contract", "go.mod"} {
				if dir == "internal/cmd/linux_patch_api" {
					source = strings.Replace(source, "module/enrollment", dir, 1)
				}
				path, err := filepath.Abs(filepath.Join("../..", source))
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Contains(opened, "open "+path) {
					t.Errorf("got a record without %s, want it opened by %s", source, test)
				}
			}
		})
	}
}

// record runs one test of a package and returns what go test would look at
// before it takes the result from its cache.
func record(t *testing.T, dir, test string) []string {
	t.Helper()
	at, err := filepath.Abs(filepath.Join("../..", dir))
	if err != nil {
		t.Fatal(err)
	}
	binary, log := filepath.Join(t.TempDir(), "test"), filepath.Join(t.TempDir(), "log")
	compile := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, ".")
	compile.Dir = at
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("go test -c: got %v\n%s, want no error", err, out)
	}
	run := exec.CommandContext(t.Context(), binary, "-test.run", test, "-test.testlogfile", log)
	run.Dir = at
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("got %v\n%s, want no error", err, out)
	}
	raw, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(raw), "\n")
}

// testsThatMatch lists the directories of test files with a text in them.
func testsThatMatch(t *testing.T, text *regexp.Regexp) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && (name == "build" || name == ".venv" || name == ".git" || name == "testdata") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		raw, err := os.ReadFile(path)
		if text.Match(raw) {
			found = append(found, filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), "../../")))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// What a test of playbooks runs is built before it, from these.
func TestSourcesAreThoseOfTheProgramsAlone(t *testing.T) {
	got, err := testbuild.Sources("../../internal/cmd/linux_patch_manager")
	if err != nil {
		t.Fatal(err)
	}
	for suffix, want := range map[string]bool{"/internal/manager/manager.go": true, "/internal/enroll": false, "_test.go": false, "/go.sum": true} {
		if has := slices.ContainsFunc(got, func(path string) bool { return strings.HasSuffix(path, suffix) }); has != want {
			t.Errorf("a source %s: got %t, want %t", suffix, has, want)
		}
	}
}

func TestPathsOfTheMachineThatTestsMakeFailThem(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, map[string]string{"before": ""})
	verdict := testbuild.Watch(filepath.Join(dir, "before"), filepath.Join(dir, "log"))
	if got := []int{verdict(0), verdict(2)}; !slices.Equal(got, []int{0, 2}) {
		t.Errorf("nothing was made: got %v, want the codes as they are", got)
	}
	put(t, dir, map[string]string{"log": ""})
	if got := []int{verdict(0), verdict(2)}; !slices.Equal(got, []int{1, 2}) {
		t.Errorf("a file was made: got %v, want no 0", got)
	}
}
