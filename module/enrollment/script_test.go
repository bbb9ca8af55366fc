// Package main_test runs the built programs as their users do: real processes,
// sockets and files. What each script shows stands in testdata/*.txtar.
package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// bin holds the built programs.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "enrollment-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", "validator_novalidatefn,nethttpomithttp2",
		"-o", dir, ".", "../../internal/cmd/linux_patch_manager")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
			env.Setenv("HOST", filepath.Join(env.WorkDir, "host"))
			return layOut(filepath.Join(env.WorkDir, "host"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"host":     hostCmd,
			"manager":  managerCmd,
			"scripted": scriptedCmd,
			"requests": requestsCmd,
			"args":     argsCmd,
			"result":   resultCmd,
			"mode":     modeCmd,
			"secret":   secretCmd,
			"exits":    exitsCmd,
			"signal":   signalCmd,
			"until":    untilCmd,
			"snapshot": snapshotCmd,
		},
	})
}
