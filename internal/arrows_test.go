package internal_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// story lists the files of a package in the order in which to read them: a file
// uses only what is declared in itself and in files below it. A new file gets
// its place here.
var story = map[string][]string{
	"internal/enroll": {
		"run.go", "info.go", "crl.go", "system.go", "recover.go", "lock.go", "converged.go",
		"agentstatus.go", "decide.go", "ask.go", "bundle.go", "approved.go", "enroll.go",
	},
	"internal/converse": {
		"identity.go", "await.go", "register.go", "dial.go", "evidence.go", "poll.go", "token.go",
		"fetched.go", "wait.go", "conversation.go",
	},
	"internal/install": {
		"preflight.go", "remove.go", "apply.go", "repair.go", "crl.go",
		"foresee.go", "accept.go", "configurl.go", "mirror.go", "whitelist.go", "lock.go", "repo.go",
		"rehearse.go", "replace.go", "desired.go", "installer.go",
	},
	"internal/observe": {
		"facts.go", "token.go", "trust.go", "foreign.go", "enrolled.go", "view.go", "disk.go",
	},
	"internal/ownership": {
		"ownership.go",
	},
	"internal/options": {
		"settle.go", "defaults.go", "places.go", "accounts.go", "settings.go", "params.go", "span.go",
	},
	"internal/report": {
		"show.go", "result.go",
	},
	"internal/statedir": {
		"load.go", "end.go", "proof.go", "registration.go", "spool.go", "clones.go", "token.go", "journal.go",
		"remember.go", "store.go", "record.go", "paths.go", "provenance.go",
	},
	"internal/pace": {
		"pace.go",
	},
}

// TestFilesUseOnlyFilesBelow: inside a package nothing runs back up either.
func TestFilesUseOnlyFilesBelow(t *testing.T) {
	exported := exports(t)
	for dir, files := range story {
		t.Run(dir, func(t *testing.T) {
			for _, problem := range upward(t, "../"+dir, files, exported) {
				t.Error(problem)
			}
		})
	}
}

// upward lists the uses that run up, and the files that story does not order.
func upward(t *testing.T, dir string, order []string, exported map[string]string) []string {
	t.Helper()
	fset := token.NewFileSet()
	paths, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	var problems []string
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
		if !slices.Contains(order, filepath.Base(path)) {
			problems = append(problems, filepath.Base(path)+" has no place in story")
		}
	}
	if len(order) > len(files) {
		problems = append(problems, fmt.Sprintf("story has %d files, the directory %d", len(order), len(files)))
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	lookup := func(path string) (io.ReadCloser, error) { return os.Open(exported[path]) }
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", lookup)}
	pkg, err := conf.Check(dir, fset, files, info)
	if err != nil {
		t.Fatal(err)
	}
	place := func(pos token.Pos) int { return slices.Index(order, filepath.Base(fset.Position(pos).Filename)) }
	for id, object := range info.Uses {
		if object.Pkg() == pkg && place(object.Pos()) < place(id.Pos()) {
			problems = append(problems, fmt.Sprintf("%s uses %s, which is declared above it, in %s",
				fset.Position(id.Pos()), id.Name, filepath.Base(fset.Position(object.Pos()).Filename)))
		}
	}
	slices.Sort(problems)
	return problems
}

// exports maps import paths to what the compiler knows of them.
func exports(t *testing.T) map[string]string {
	t.Helper()
	list := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", "./...")
	var failed bytes.Buffer
	list.Stderr = &failed
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, failed.Bytes())
	}
	found := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if path, file, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			found[path] = file
		}
	}
	return found
}
