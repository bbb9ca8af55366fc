package docscheck_test

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
)

// testName is a test as the security review names it: a function with its
// package's directory, or a script of a test that runs scripts.
var testName = regexp.MustCompile(`^(\w+)\.((?:Test|Fuzz|Benchmark)\w+)(?:/([\w-]+))?$`)

func checkReview(t *testing.T) {
	functions, scripts := map[string]bool{}, map[string]bool{}
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "build" || d.Name() == ".git" || d.Name() == ".venv"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".txtar"):
			tests := filepath.Dir(filepath.Dir(path))
			scripts[filepath.Base(tests)+"/"+strings.TrimSuffix(filepath.Base(path), ".txtar")] = true
		case strings.HasSuffix(path, "_test.go"):
			for _, m := range function.FindAllStringSubmatch(read(t, strings.TrimPrefix(filepath.ToSlash(path), top+"/")), -1) {
				functions[filepath.Base(filepath.Dir(path))+"."+m[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	review := documents(t)["docs/SECURITY_REVIEW.md"]
	named := 0
	for _, m := range inCode.FindAllStringSubmatch(review.prose, -1) {
		test := testName.FindStringSubmatch(m[1])
		if test == nil {
			continue
		}
		named++
		if !functions[test[1]+"."+test[2]] {
			t.Errorf("docs/SECURITY_REVIEW.md names %s, which is no test", m[1])
		}
		if script := test[1] + "/" + test[3]; test[2] == "TestScripts" && !scripts[script] {
			t.Errorf("docs/SECURITY_REVIEW.md names %s, and there is no testdata/%s.txtar", m[1], test[3])
		}
	}
	if named < 20 {
		t.Errorf("docs/SECURITY_REVIEW.md names %d tests only, want 20 at least", named)
	}
	for _, row := range append(review.under("Threats", "threat"), review.under("Guarantees", "guarantee")...) {
		if last := row[len(row)-1]; !strings.Contains(last, ".Test") && !strings.HasPrefix(last, "none yet: ") {
			t.Errorf("docs/SECURITY_REVIEW.md: no test for: %s", row[0])
		}
	}
	if n := len(review.under("Guarantees", "guarantee")); n != guarantees(t) {
		t.Errorf("docs/SECURITY_REVIEW.md has %d guarantees, docs/SPEC.md %d", n, guarantees(t))
	}
}

// guarantees counts those of the specification.
func guarantees(t *testing.T) int {
	t.Helper()
	_, section, _ := strings.Cut(read(t, "docs/SPEC.md"), "\n## Guarantees\n")
	section, _, _ = strings.Cut(section, "\n## ")
	return len(regexp.MustCompile(`(?m)^\d+\. `).FindAllString(section, -1))
}

// mentions are what each document must say of enrollment.
var mentions = map[string][]string{
	"README.md": {"Self-enrollment", "linux_patch_api --enroll", "docs/DEPLOYMENT_GUIDE.md", "docs/API_DOCUMENTATION.md", "make demo", "make test",
		"converged run", "CPU time", "peak memory", "make bench"},
	"docs/SPEC.md":              {"## Workflow", "## Error codes", "## Audit events", "**Automated.**", "**By hand.**", "--enroll URL"},
	"docs/API_DOCUMENTATION.md": {"/api/v1/enroll", "sequenceDiagram", "curl", "Retry-After"},
	"docs/DEPLOYMENT_GUIDE.md": {"## Self-enrollment deployment", "### Prerequisites", "## Troubleshooting", "## Verification", "## Rollback",
		"## Re-enrollment", "## Manual certificates", "linux_patch_api --enroll"},
	"docs/SECURITY_REVIEW.md": {"enrollment"},
	"docs/ROADMAP.md":         {"Self-enrollment"},
	"CHANGELOG.md": {"Self-enrollment workflow with manager registration and PKI provisioning", "`--enroll <MANAGER_URL>` CLI flag",
		"Automated certificate provisioning from linux_patch_manager", "Automatic whitelist entry for the manager's IP after enrollment",
		"Configurable polling interval and max attempts"},
	"CONTRIBUTING.md":                {"enroll", "make test"},
	"SECURITY.md":                    {"enroll", "polling token"},
	"configs/config.yaml.example":    {"enrollment:", "manager_url", "polling_interval_seconds", "max_poll_attempts", "0 = unlimited"},
	"configs/whitelist.yaml.example": {"Enrollment adds"},
}

func checkMentions(t *testing.T) {
	readme := read(t, "README.md")
	for _, m := range regexp.MustCompile(`(?m)^title "(.*)"$`).FindAllStringSubmatch(read(t, "ansible/demo/demo"), -1) {
		if !strings.Contains(readme, "\n== "+m[1]+"\n") {
			t.Errorf("README.md does not have what make demo prints: got %s, want %q in it", m[1], "\n== "+m[1]+"\n")
		}
	}
	for path, words := range mentions {
		text := unwrapped(read(t, path))
		for _, w := range words {
			if !strings.Contains(text, w) {
				t.Errorf("got %s, want %q in it", path, w)
			}
		}
	}
}

// checkExits holds the exit codes that stop a restart in the guide to those of
// the daemon's unit.
func checkExits(t *testing.T) {
	list := regexp.MustCompile(`RestartPreventExitStatus=([\d ]+)`)
	unit := list.FindStringSubmatch(read(t, "configs/linux-patch-api.service"))
	guide := list.FindStringSubmatch(read(t, "docs/DEPLOYMENT_GUIDE.md"))
	if unit == nil || guide == nil {
		t.Fatal("unit or guide has no RestartPreventExitStatus")
	}
	if strings.TrimSpace(unit[1]) != strings.TrimSpace(guide[1]) {
		t.Errorf("docs/DEPLOYMENT_GUIDE.md has %q, the unit %q, want %v", guide[1], unit[1], strings.TrimSpace(guide[1]))
	}
	exits := map[string]bool{}
	for _, c := range contract.Codes {
		exits[strconv.Itoa(c.Exit)] = !c.Retryable
	}
	for _, exit := range strings.Fields(unit[1]) {
		if !exits[exit] {
			t.Errorf("configs/linux-patch-api.service: exit code %s is retryable, or none of ours", exit)
		}
	}
}

// strangers are words for which the glossary of docs/SPEC.md has another.
var strangers = map[string]string{
	`enrolments?`:                "enrollment",
	`self enrollment`:            "self-enrollment",
	`white[ -]lists?`:            "whitelist",
	`allow-?lists?|allowed list`: "whitelist",
	`poll(ing)?[ -]key|poll token|(enroll(ment)?|registration|status) token`: "polling token",
	`cert(ificate)? bundle|pki (package|archive)`:                            "bundle",
	`patch (manager|server)|(central|management) server`:                     "manager",
	`(admin|operator) user|approver account|sysadmin`:                        "administrator",
	`(managed|target) (node|machine)|nodes`:                                  "host",
	`trust store|truststore|root of trust`:                                   "trust anchor",
	`spool(ed)? queue|answer cache`:                                          "spool",
	`idempotent state|steady state`:                                          "converged",
}

func checkTerms(t *testing.T) {
	texts := readable(t)
	for pattern, word := range strangers {
		stranger := regexp.MustCompile(`(?i)\b(` + pattern + `)\b`)
		for path, text := range texts {
			if m := stranger.FindString(text); m != "" {
				t.Errorf("%s says %q; the glossary's word is %q, want an empty text", path, m, word)
			}
		}
	}
	spec := documents(t)["docs/SPEC.md"]
	glossary, words := spec.under("Words", "word"), 0
	for _, row := range glossary {
		for word := range strings.SplitSeq(row[0], ", ") {
			words++
			used := regexp.MustCompile(`(?i)\b` + word)
			n := 0
			for _, text := range texts {
				n += len(used.FindAllString(text, -1))
			}
			if n < 3 {
				t.Errorf("docs/SPEC.md: the glossary explains %q, which hardly any text uses, want 3 at least", word)
			}
		}
	}
	if words < 12 {
		t.Errorf("the glossary has %d words: this test looks in the wrong place, want 12 at least", words)
	}
}
