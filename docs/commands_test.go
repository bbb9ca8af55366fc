package docs_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	// helpFlag is a flag as a program's help lists it.
	helpFlag = regexp.MustCompile(`(?m)(?:^ +|, | \[| \| )--?([a-z][a-z-]+)`)
	docFlag  = regexp.MustCompile(`(?:^|[ \[(|])--([a-z][a-z-]+)`)
)

// flagsOf are the flags that a program's own help names.
func flagsOf(t *testing.T, program string, verb ...string) []string {
	t.Helper()
	out, err := exec.Command(filepath.Join(bin, program), append(verb, "--help")...).Output()
	if err != nil {
		t.Fatalf("%s --help: %v", program, err)
	}
	var flags []string
	for _, m := range helpFlag.FindAllStringSubmatch(string(out), -1) {
		if !contains(flags, m[1]) {
			flags = append(flags, m[1])
		}
	}
	return flags
}

func built(program string) bool {
	_, err := os.Stat(filepath.Join(bin, program))
	return err == nil
}

func checkFlags(t *testing.T) {
	docs := documents(t)
	spec := docs["docs/SPEC.md"]
	known := map[string][]string{}
	for _, program := range []string{"enrollment", "linux_patch_api"} {
		if !built(program) {
			t.Logf("%s is not built: its main is not there, so its flags were not compared", program)
			continue
		}
		known[program] = append(flagsOf(t, program), "help")
		if program == "linux_patch_api" {
			for _, f := range []string{"enroll", "enroll-insecure"} {
				if !contains(known[program], f) {
					t.Errorf("linux_patch_api --help does not have --%s", f)
				}
			}
		}
		same(t, "docs/SPEC.md, flags of "+program, documentedFlags(spec.under(program, "flag")), unique(known[program]))
	}
	const manager = "linux_patch_manager"
	serve := without(flagsOf(t, manager, "serve"), "data")
	same(t, "docs/SPEC.md, flags of linux_patch_manager serve", documentedFlags(spec.under(manager, "flag")), serve)
	known[manager] = append(serve, "data", "help", "version")
	for _, r := range spec.under(manager, "verb") {
		verb := first([][]string{r})[0]
		flags := without(flagsOf(t, manager, verb), "data")
		known[manager] = append(known[manager], flags...)
		if verb != "serve" {
			same(t, "docs/SPEC.md, flags of linux_patch_manager "+verb, documentedFlags([][]string{{r[1]}}), flags)
		}
	}
	for path, d := range docs {
		for _, command := range commandsIn(d) {
			words := strings.Fields(command)
			flags, ok := known[words[0]]
			for _, m := range docFlag.FindAllStringSubmatch(command, -1) {
				if ok && !contains(flags, m[1]) {
					t.Errorf("%s: %s has no flag --%s", path, words[0], m[1])
				}
			}
		}
	}
}

// documentedFlags are the flags in the first cells of a table.
func documentedFlags(rows [][]string) []string {
	var flags []string
	for _, r := range rows {
		for _, m := range inCode.FindAllStringSubmatch(r[0], -1) {
			if f := docFlag.FindStringSubmatch(m[1]); f != nil {
				flags = append(flags, f[1])
			}
		}
	}
	return flags
}

func without(list []string, drop string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == drop })
}

func unique(list []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

// commandsIn are all calls of our programs: lines of console blocks, and code
// in the text.
func commandsIn(d *document) []string {
	var lines []string
	for _, f := range d.fences {
		if strings.HasPrefix(f.info, "console") {
			lines = append(lines, strings.Split(f.body, "\n")...)
		}
	}
	for _, m := range inCode.FindAllStringSubmatch(d.prose, -1) {
		lines = append(lines, m[1])
	}
	var commands []string
	for _, line := range lines {
		line, _, _ = strings.Cut(line, " # ")
		for part := range strings.SplitSeq(strings.TrimPrefix(line, "$ "), "|") {
			part = strings.TrimSpace(part)
			if word, _, _ := strings.Cut(part, " "); programs[word] != "" {
				commands = append(commands, part)
			}
		}
	}
	return commands
}

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
	blocks := 0
	for path, d := range documents(t) {
		for _, f := range d.fences {
			if f.info != "console tested" {
				continue
			}
			blocks++
			t.Run(fmt.Sprintf("%s:%d", path, f.line), func(t *testing.T) { runBlock(t, steps(f.body)) })
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
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "LC_ALL=C.UTF-8")
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
