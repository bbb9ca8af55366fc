package docscheck_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// step is a command of a console block with what it prints.
type step struct {
	command, output string
}

// steps takes a console block apart: a line with "$ " begins a command, which
// goes on until a here-document in it ends; the rest is output.
func steps(body string) []step {
	var all []step
	end := ""
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case end != "":
			all[len(all)-1].command += "\n" + line
			if line == end {
				end = ""
			}
		case isCommand:
			all = append(all, step{command: command})
			if _, word, ok := strings.Cut(command, "<<"); ok {
				end = strings.Fields(word)[0]
			}
		case len(all) > 0:
			all[len(all)-1].output += line + "\n"
		}
	}
	return all
}

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
				runBlock(t, steps(f.body))
			})
		}
	}
	if blocks < 3 {
		t.Errorf("only %d blocks are marked as tested", blocks)
	}
}

func runBlock(t *testing.T, all []step) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// Job control, as a person's shell has it, makes %1 known.
	script := "set -m\nexec 2>&1\ntrap 'kill $(jobs -p) 2>/dev/null' EXIT\n"
	for i, s := range all {
		script += s.command + "\n" + fmt.Sprintf("status=$?; echo; echo '### %d' $status\n", i)
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
			t.Fatalf("%s: was not reached (%v)\n%s", s.command, err, out)
		}
		status, after, _ := strings.Cut(after, "\n")
		rest = after
		if status != "0" {
			t.Errorf("%s: exit code %s\n%s", s.command, status, said)
		}
		if !matches(strings.TrimSpace(said), strings.TrimSpace(s.output)) {
			t.Errorf("%s: prints\n  %s\nthe document has\n  %s", s.command, said, s.output)
		}
	}
}

// matches compares output with a document's, in which "…" is anything.
func matches(got, want string) bool {
	if want == "" {
		return true
	}
	var pattern strings.Builder
	for i, part := range strings.Split(want, "…") {
		if i > 0 {
			pattern.WriteString(".*")
		}
		pattern.WriteString(regexp.QuoteMeta(part))
	}
	return regexp.MustCompile(`(?s)^` + pattern.String() + `$`).MatchString(got)
}
