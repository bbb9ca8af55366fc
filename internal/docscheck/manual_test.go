package docscheck_test

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
)

// manual is a page of configs/man: what its sections must name, and where in the
// sources it stands.
type manual struct {
	program, section string
	// started and asking are the sources that catch signals and read the environment.
	started, asking []string
	// exits are those that are no error codes.
	exits []string
}

var manuals = []manual{
	{"linux_patch_api", "8", []string{"internal/cmd/linux_patch_api/*.go"}, []string{"internal/daemon/*.go", "internal/enroll/system.go"}, []string{
		"0 stopped by a signal, or done", "1 cannot listen",
	}},
	{"enrollment", "8", []string{"module/enrollment/*.go"}, []string{"internal/ansible/*.go", "internal/enroll/system.go"}, []string{
		`0 done, or pending without wait: see "state" in the result`,
	}},
	{"enrollment_admin", "1", []string{"internal/cmd/enrollment_admin/*.go"}, []string{"internal/cmd/enrollment_admin/*.go", "internal/admin/params.go"}, []string{
		"0 done", `1 done, and at least one host was refused: see its "reason"`,
	}},
}

var (
	helpArgument   = regexp.MustCompile(`(?m)^  --([a-z][a-z-]+)(?: ([A-Za-z][A-Za-z0-9:|-]*))?`)
	manualOption   = regexp.MustCompile(`(?m)^\.It Fl Fl ([a-z][a-z-]+)(?: (?:Ar|Cm) (\S+))?$`)
	namedOption    = regexp.MustCompile(`(?:Fl Fl |--)([a-z][a-z-]+)`)
	manualExit     = regexp.MustCompile(`(?m)^\.It (\d+)\n(?:\.Sy (\w+) :\n)?((?:[^.].*\n)+)`)
	manualKey      = regexp.MustCompile(`(?m)^\.It Cm (\w+\.\w+)(?: Pq (?:Pa )?(\S+))?$`)
	manualVariable = regexp.MustCompile(`(?m)^\.It Ev (.+)$`)
	caughtSignal   = regexp.MustCompile(`syscall\.(SIG[A-Z]+)`)
	namedSignal    = regexp.MustCompile(`\bSIG[A-Z]+\b`)
	readVariable   = regexp.MustCompile(`(?:[gG]etenv\(|set\(&c\.\w+, )"([A-Z_]+)"\)`)
	manualSection  = regexp.MustCompile(`(?m)^\.Sh (.+)$`)
)

// adminPrefix begins the variables of an administrator's credentials; the code
// adds it to their names.
const adminPrefix = "LINUX_PATCH_MANAGER_"

// proxies are the variables that net/http reads.
var proxies = []string{"HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"}

func (m manual) path() string { return "configs/man/" + m.program + "." + m.section }

// checkManuals holds the manual pages to the help, to the codes, and to the sources.
func checkManuals(t *testing.T) {
	for _, m := range manuals {
		page := read(t, m.path())
		m.options(t, page)
		same(t, m.path()+", exit status", exitsOf(page), append(codeExits(), m.exits...))
		same(t, m.path()+", signals", unique(namedSignal.FindAllString(sectionOf(page, "SIGNALS"), -1)), found(t, caughtSignal, m.started))
		var variables []string
		for _, v := range manualVariable.FindAllStringSubmatch(page, -1) {
			for name := range strings.SplitSeq(v[1], " , ") {
				variables = append(variables, strings.TrimPrefix(name, adminPrefix))
			}
		}
		same(t, m.path()+", environment", variables, append(found(t, readVariable, m.asking), proxies...))
	}
	agent := read(t, manuals[0].path())
	checkManualKeys(t, agent)
	checkManualRestart(t, agent)
}

// options holds the page's options and their arguments to those of the help.
func (m manual) options(t *testing.T, page string) {
	t.Helper()
	out, err := exec.Command(bin.Path(m.program), "--help").Output()
	if err != nil {
		t.Fatalf("%s --help: got %v, want no error", m.program, err)
	}
	want := map[string]string{"help": "", "version": ""}
	for _, o := range helpArgument.FindAllStringSubmatch(string(out), -1) {
		want[o[1]] = o[2]
	}
	same(t, m.path()+", options of the help", keysOf(want), unique(append(flagsOf(t, m.program), "help")))
	described := map[string]string{}
	for _, o := range manualOption.FindAllStringSubmatch(page, -1) {
		described[o[1]] = o[2]
		if argument, known := want[o[1]]; known && o[2] != argument {
			t.Errorf("%s, --%s: got the argument %q, want %q", m.path(), o[1], o[2], argument)
		}
	}
	same(t, m.path()+", options", keysOf(described), keysOf(want))
	var named []string
	for line := range strings.SplitSeq(strings.ReplaceAll(page, `\-`, "-"), "\n") {
		if strings.HasPrefix(line, ".Dl systemctl") {
			continue
		}
		for _, o := range namedOption.FindAllStringSubmatch(line, -1) {
			named = append(named, o[1])
		}
	}
	same(t, m.path()+", options in the text", unique(named), keysOf(want))
	synopsis := sectionOf(page, "SYNOPSIS")
	for name := range want {
		if !regexp.MustCompile(`Fl Fl ` + name + `( |\n)`).MatchString(synopsis) {
			t.Errorf("%s: got a synopsis without --%s, want each option in it", m.path(), name)
		}
	}
}

// exitsOf are the entries of the page's exit status, one line each.
func exitsOf(page string) []string {
	var exits []string
	for _, e := range manualExit.FindAllStringSubmatch(sectionOf(page, "EXIT STATUS"), -1) {
		exits = append(exits, strings.Join(strings.Fields(e[1]+" "+e[2]+" "+e[3]), " "))
	}
	return exits
}

// codeExits are the error codes in the same form.
func codeExits() []string {
	var exits []string
	for _, c := range contract.Codes {
		exits = append(exits, strconv.Itoa(c.Exit)+" "+string(c.Code)+" "+c.Meaning)
	}
	return exits
}

// sectionOf is the text of a section.
func sectionOf(page, name string) string {
	_, text, _ := strings.Cut(page, "\n.Sh "+name+"\n")
	if next := manualSection.FindStringIndex(text); next != nil {
		return text[:next[0]]
	}
	return text
}

// found are what a pattern finds in the sources, tests left out.
func found(t *testing.T, pattern *regexp.Regexp, sources []string) []string {
	t.Helper()
	var names []string
	for _, source := range sources {
		paths, err := filepath.Glob(filepath.Join(top, source))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: got %v, %v, want files", source, paths, err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			for _, m := range pattern.FindAllStringSubmatch(read(t, strings.TrimPrefix(path, top+"/")), -1) {
				names = append(names, m[1])
			}
		}
	}
	return unique(names)
}

// checkManualKeys holds the configuration of the agent's page to the code.
func checkManualKeys(t *testing.T, page string) {
	t.Helper()
	defaults := configDefaults()
	var keys []string
	for _, k := range manualKey.FindAllStringSubmatch(sectionOf(page, "CONFIGURATION"), -1) {
		keys = append(keys, k[1])
		if k[2] != defaults[k[1]] {
			t.Errorf("%s, %s: got the default %q, want %q", manuals[0].path(), k[1], k[2], defaults[k[1]])
		}
	}
	same(t, manuals[0].path()+", config.yaml", keys, configKeys())
}

// checkManualRestart holds the exits that stop a restart to the unit.
func checkManualRestart(t *testing.T, page string) {
	t.Helper()
	unit := regexp.MustCompile(`(?m)^RestartPreventExitStatus=(.+)$`).FindStringSubmatch(read(t, "configs/linux-patch-api.service"))
	said := regexp.MustCompile(`does not start again by itself after ([\d, ]+(?:and \d+))`).FindStringSubmatch(page)
	if unit == nil || said == nil {
		t.Fatalf("got %q in the unit and %q in %s, want both", unit, said, manuals[0].path())
	}
	same(t, manuals[0].path()+", exits that stop a restart", regexp.MustCompile(`\d+`).FindAllString(said[1], -1), strings.Fields(unit[1]))
}

// checkManualLint asks mandoc(1). Which other pages this machine has is no fault of ours.
func checkManualLint(t *testing.T) {
	if _, err := exec.LookPath("mandoc"); err != nil {
		t.Skip("mandoc is not installed")
	}
	for _, m := range manuals {
		// Its exit code counts also what is left out here.
		out, _ := exec.Command("mandoc", "-T", "lint", filepath.Join(top, m.path())).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if !strings.Contains(line, "referenced manual not found") && !strings.Contains(line, "mandoc.db") {
				t.Errorf("%s: got %s, want no lint", m.path(), strings.TrimSpace(line))
			}
		}
	}
}
