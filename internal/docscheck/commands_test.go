package docscheck_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/testconsole"
)

// TestCommands runs each console block that is marked as tested, by one shell
// in an empty directory, and compares what it prints; "…" stands for anything.
func TestCommands(t *testing.T) {
	verdict(t, "commands that are marked as tested run, and print what the documents have", checkCommands)
}

func checkCommands(t *testing.T) {
	blocks := 0
	for path, d := range documents(t) {
		for _, f := range d.fences {
			if f.info != "console tested" {
				continue
			}
			blocks++
			where := fmt.Sprintf("%s:%d", path, f.line)
			t.Run(where, func(t *testing.T) {
				for _, tool := range []string{"curl", "openssl"} {
					if _, err := exec.LookPath(tool); err != nil && strings.Contains(f.body, tool+" ") {
						verdicts = append(verdicts, "skip  "+where+": "+tool+" is not installed")
						t.Skipf("the commands use %s, which is not installed", tool)
					}
				}
				runBlock(t, testconsole.Steps(f.body))
			})
		}
	}
	if blocks < 3 {
		t.Errorf("only %d blocks are marked as tested", blocks)
	}
}

func runBlock(t *testing.T, all []testconsole.Step) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// Job control, as a person's shell has it, makes %1 known.
	script := "set -m\nexec 2>&1\ntrap 'kill $(jobs -p) 2>/dev/null' EXIT\n"
	for i, s := range all {
		script += s.Command + "\n" + fmt.Sprintf("status=$?; echo; echo '### %d' $status\n", i)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+bin.Dir()+":"+os.Getenv("PATH"), "LC_ALL=C.UTF-8")
	// Job control needs no terminal in a session of its own.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("the block does not end: %s", out)
	}
	rest := string(out)
	for i, s := range all {
		said, after, ok := strings.Cut(rest, fmt.Sprintf("\n### %d ", i))
		if !ok {
			t.Fatalf("%s: was not reached (%v)\n%s", s.Command, err, out)
		}
		status, after, _ := strings.Cut(after, "\n")
		rest = after
		if status != "0" {
			t.Errorf("%s: exit code %s\n%s", s.Command, status, said)
		}
		if !testconsole.Matches(said, s.Output) {
			t.Errorf("%s: prints\n  %s\nthe document has\n  %s", s.Command, said, s.Output)
		}
	}
}
