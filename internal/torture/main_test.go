// Package torture_test attacks the built program: it kills it and makes it
// fail at every system call, crowds it, lies to it, and counts what is lost.
// The numbers are printed as a table when all tests have run.
package torture_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/linux-patch/enroll/internal/testbuild"
	"github.com/linux-patch/enroll/internal/torture"
)

// TORTURE_FULL=1 runs every point, not a sample; TORTURE_FULL=all counts the
// calls too that only look, about 4,000 a run, which takes hours.
var (
	full  = os.Getenv("TORTURE_FULL") != ""
	every = os.Getenv("TORTURE_FULL") == "all"
)

// bin holds the built programs.
var bin *testbuild.Programs

func TestMain(m *testing.M) {
	torture.Shim()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "torture-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if bin, err = testbuild.Build(dir, "-s -w", "../../module/enrollment", "../cmd/linux_patch_api"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := bin.Verdict(m.Run())
	if !full {
		fmt.Println("a sample; make torture injects every point")
	}
	good, err := counted.print(os.Stdout, os.Getenv("TORTURE_TABLE"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if code == 0 && (!good || err != nil) {
		code = 1
	}
	return code
}
