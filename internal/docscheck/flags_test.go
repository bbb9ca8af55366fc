package docscheck_test

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	// helpFlag is a flag as a program's help lists it.
	helpFlag = regexp.MustCompile(`(?m)(?:^ +|, | \[| \| )--?([a-z][a-z-]+)`)
	docFlag  = regexp.MustCompile(`(?:^|[ \[(|])--([a-z][a-z-]+)`)
)

// flagsOf are the flags that a program's own help names.
func flagsOf(t *testing.T, program string, verb ...string) []string {
	t.Helper()
	out, err := exec.Command(bin.Path(program), append(verb, "--help")...).Output()
	if err != nil {
		t.Fatalf("%s --help: got %v, want no error", program, err)
	}
	var flags []string
	for _, m := range helpFlag.FindAllStringSubmatch(string(out), -1) {
		if !contains(flags, m[1]) {
			flags = append(flags, m[1])
		}
	}
	return flags
}

func checkFlags(t *testing.T) {
	docs := documents(t)
	spec := docs["docs/SPEC.md"]
	known := map[string][]string{}
	for _, program := range []string{"enrollment", "linux_patch_api"} {
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
