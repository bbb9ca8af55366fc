// Package main_test runs the built programs as their users do: real processes,
// sockets and files. What each script shows stands in testdata/*.txtar.
package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/linux-patch/enroll/internal/testbuild"
)

// bin holds the built programs.
var bin *testbuild.Programs

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "enrollment-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if bin, err = testbuild.Build(dir, "-s -w", ".", "../../internal/cmd/linux_patch_manager"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return bin.Verdict(m.Run())
}

func TestScripts(t *testing.T) { testscript.Run(t, scripts(bin.Dir())) }

// TestScriptsOnArm64 runs the same with the program of the other architecture
// that is shipped, emulated.
func TestScriptsOnArm64(t *testing.T) {
	const emulator = "qemu-aarch64-static"
	if _, err := exec.LookPath(emulator); err != nil {
		t.Skipf("no emulator: %v; it is in Debian's qemu-user-static", err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "enrollment-arm64")
	if err := testbuild.BuildFor("arm64", program, "-s -w", "."); err != nil {
		t.Fatal(err)
	}
	wrapper := fmt.Sprintf("#!/bin/sh\nexec %s %s \"$@\"\n", emulator, program)
	if err := os.WriteFile(filepath.Join(dir, "enrollment"), []byte(wrapper), 0o755); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, scripts(dir))
}

// scripts runs the programs of a directory, and those that it has not from bin.
func scripts(dir string) testscript.Params {
	return testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", strings.Join([]string{dir, bin.Dir(), os.Getenv("PATH")}, string(filepath.ListSeparator)))
			env.Setenv("PROGRAMS", dir)
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
	}
}
