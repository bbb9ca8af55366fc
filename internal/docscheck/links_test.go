package docscheck_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)
	// repoPath is a path of this repository in the text.
	repoPath = regexp.MustCompile(`^(docs|configs|internal|module|ansible|molecule|\.ci)/[\w./-]+$`)
)

func checkLinks(t *testing.T) {
	docs := documents(t)
	links := 0
	for name, d := range docs {
		for _, m := range link.FindAllStringSubmatch(d.prose, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			links++
			to := name
			if target != "" {
				to = path.Join(path.Dir(name), target)
			}
			if _, err := os.Stat(filepath.Join(top, to)); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", name, m[1])
				continue
			}
			if anchor != "" && (docs[to] == nil || !docs[to].anchors[anchor]) {
				t.Errorf("%s: %s has no heading for #%s", name, to, anchor)
			}
		}
	}
	if links < 40 {
		t.Errorf("only %d links were seen: this test looks in the wrong place", links)
	}
}

// checkContents holds a list of contents to the chapters, which it has all of.
func checkContents(t *testing.T) {
	lists := 0
	for name, d := range documents(t) {
		head, rest, _ := strings.Cut(d.text, "\n## ")
		if !strings.Contains(head, "\n- [") {
			continue
		}
		lists++
		for _, m := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch("## "+rest, -1) {
			if !strings.Contains(head, "](#"+slug(m[1])+")") {
				t.Errorf("%s: the list of contents lacks %q", name, m[1])
			}
		}
	}
	if lists < 4 {
		t.Errorf("got %d lists of contents, want 4 at least", lists)
	}
}

func checkPaths(t *testing.T) {
	seen := 0
	for name, d := range documents(t) {
		for _, m := range inCode.FindAllStringSubmatch(d.prose, -1) {
			if !repoPath.MatchString(m[1]) {
				continue
			}
			seen++
			if _, err := os.Stat(filepath.Join(top, m[1])); err != nil {
				t.Errorf("%s names %s, which does not exist", name, m[1])
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d paths were seen: this test looks in the wrong place", seen)
	}
}

// kinds of fenced blocks. What is "tested" is run by TestCommands, and what is
// for a "host" by the test of the packages, on a host of its own.
var kinds = []string{"text", "console", "console tested", "console host", "yaml", "json", "mermaid", "go", "nginx", "haproxy", "apache"}

func checkFences(t *testing.T) {
	for name, d := range documents(t) {
		for _, f := range d.fences {
			if !contains(kinds, f.info) {
				t.Errorf("%s:%d: a block of the kind %q; known are %q", name, f.line, f.info, kinds)
			}
		}
	}
}
