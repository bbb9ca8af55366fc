// Package main_test runs the built agent as its users do, with a real manager,
// and curl and openssl as its clients. What each script shows stands in
// testdata/*.txtar.
package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/linux-patch/enroll/internal/testbuild"
)

// bin holds the built programs.
var bin *testbuild.Programs

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "agent-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if bin, err = testbuild.Build(dir, "-X main.version=1.2.3-test", ".", "../linux_patch_manager", "../../../module/enrollment"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return bin.Verdict(m.Run())
}

func TestScripts(t *testing.T) {
	for _, client := range []string{"curl", "openssl"} {
		if _, err := exec.LookPath(client); err != nil {
			t.Skipf("these tests need %s as a client, which is not installed: %v", client, err)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin.Dir()+string(filepath.ListSeparator)+os.Getenv("PATH"))
			host := filepath.Join(env.WorkDir, "host")
			env.Setenv("HOST", host)
			env.Values[agentKey{}] = &agent{}
			// Modes of what a script makes are as on a host, no matter who runs this.
			return os.MkdirAll(filepath.Join(host, "etc"), 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"manager":  managerCmd,
			"config":   configCmd,
			"set":      setCmd,
			"agent":    agentCmd,
			"waitfor":  waitForCmd,
			"ends":     endsCmd,
			"signal":   signalCmd,
			"stays":    staysCmd,
			"exits":    exitsCmd,
			"until":    untilCmd,
			"enrolls":  enrollsCmd,
			"nosecret": noSecretCmd,
		},
		RequireUniqueNames: true,
	})
}
