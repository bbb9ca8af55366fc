package internal_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// mostAsked is at how many places the use case may ask whether it only says what
// it would do. plan.Step asks for all others, so that a message can be that of
// the wrong mode only where both stand side by side.
const mostAsked = 3

// TestField4_8_CheckModeIsAskedWhereStepsArePerformed: anyone who asks elsewhere
// has two ways through a run that can tell different things.
func TestField4_8_CheckModeIsAskedWhereStepsArePerformed(t *testing.T) {
	var asked []string
	for dir := range story {
		asked = append(asked, conditions(t, "../"+dir)...)
	}
	asked = append(asked, conditions(t, "plan")...)
	if len(asked) == 0 || len(asked) > mostAsked {
		t.Errorf("check mode is asked at %d places, want 1 to %d: %s", len(asked), mostAsked, strings.Join(asked, ", "))
	}
}

// conditions lists where a package decides by a name of check mode.
func conditions(t *testing.T, dir string) []string {
	t.Helper()
	fset := token.NewFileSet()
	paths, err := filepath.Glob(dir + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	note := func(conditions ...ast.Expr) {
		for _, condition := range conditions {
			if condition != nil && speaksOfCheck(condition) {
				found = append(found, fset.Position(condition.Pos()).String())
			}
		}
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.IfStmt:
				note(n.Cond)
			case *ast.ForStmt:
				note(n.Cond)
			case *ast.SwitchStmt:
				note(n.Tag)
			case *ast.CaseClause:
				note(n.List...)
			case *ast.AssignStmt, *ast.ReturnStmt, *ast.CallExpr:
				ast.Inspect(n, func(inner ast.Node) bool {
					if logic, ok := inner.(*ast.BinaryExpr); ok && (logic.Op == token.LAND || logic.Op == token.LOR) {
						note(logic)
					}
					_, deeper := inner.(*ast.FuncLit)
					return !deeper
				})
			}
			return true
		})
	}
	return found
}

func speaksOfCheck(condition ast.Expr) bool {
	speaks := false
	ast.Inspect(condition, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			switch strings.ToLower(id.Name) {
			case "check", "checkmode", "foresees", "dryrun":
				speaks = true
			}
		}
		return true
	})
	return speaks
}
