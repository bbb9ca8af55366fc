package daemon

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/report"
)

func shipped(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "configs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// setting returns the words of all lines NAME=… of a unit.
func setting(unit, name string) []string {
	var words []string
	for _, m := range regexp.MustCompile(`(?m)^`+name+`=(.*)$`).FindAllStringSubmatch(unit, -1) {
		words = append(words, strings.Fields(m[1])...)
	}
	return words
}

// systemd must not start again what cannot get better by itself, and must
// start again what can.
func TestUnitRestartsWhereThatCanHelp(t *testing.T) {
	var prevented []int
	for _, word := range setting(shipped(t, "linux-patch-api.service"), "RestartPreventExitStatus") {
		n, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		prevented = append(prevented, n)
	}
	for _, code := range []contract.Code{contract.CodeDenied, contract.CodeTokenUnknown, contract.CodeConfig} {
		if !slices.Contains(prevented, code.Info().Exit) {
			t.Errorf("%v lacks %s", prevented, code)
		}
	}
	if slices.Contains(prevented, exitListener) {
		t.Error("a port that is taken is not tried again")
	}
	for _, code := range contract.Codes {
		if code.Retryable && slices.Contains(prevented, code.Exit) {
			t.Errorf("%s can be retried", code.Code)
		}
	}
	for _, n := range prevented {
		if !slices.ContainsFunc(contract.Codes, func(c contract.CodeInfo) bool { return c.Exit == n }) {
			t.Errorf("no error has the exit code %d", n)
		}
	}
}

// A manager may be away for longer than any number of starts lasts.
func TestInitScriptNeverGivesUp(t *testing.T) {
	script := shipped(t, "linux-patch-api.openrc")
	for name, want := range map[string]string{"respawn_max": "0", "respawn_delay": "30"} {
		if got := setting(script, name); !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %s", name, got, want)
		}
	}
	if period := setting(script, "respawn_period"); period != nil {
		t.Errorf("respawn_period %q says nothing where nothing is counted", period)
	}
}

// A clock that is not set yet fixes itself: the unit comes after who sets it,
// and starts again an agent that found the clock wrong.
func TestUnitsWaitForTheClock(t *testing.T) {
	unit, script := shipped(t, "linux-patch-api.service"), shipped(t, "linux-patch-api.openrc")
	if !slices.Contains(setting(unit, "After"), "time-sync.target") {
		t.Error("the unit does not wait for the clock")
	}
	if slices.Contains(setting(unit, "RestartPreventExitStatus"), strconv.Itoa(contract.CodeIdentity.Info().Exit)) {
		t.Error("a wrong clock ends the service for good")
	}
	for _, service := range []string{"ntp-client", "ntpd", "openntpd", "chronyd"} {
		if !regexp.MustCompile(`(?m)^\tafter .*\b` + service + `\b`).MatchString(script) {
			t.Errorf("the init script does not wait for %s", service)
		}
	}
}

// Where the unit does not start the service again, the hint says to do so.
func TestHintsOfAServiceThatIsNotStartedAgain(t *testing.T) {
	prevented := setting(shipped(t, "linux-patch-api.service"), "RestartPreventExitStatus")
	for _, info := range contract.Codes {
		hint := serviceHint(&report.Error{Code: info.Code, Hint: info.Hint})
		again := info.Code == contract.CodeRejected || strings.Contains(hint, "run again") || strings.Contains(hint, "the next run")
		if slices.Contains(prevented, strconv.Itoa(info.Exit)) && again && !strings.HasSuffix(hint, startIt) {
			t.Errorf("%s: got %q, want it to say that the service must be started", info.Code, hint)
		}
		if !slices.Contains(prevented, strconv.Itoa(info.Exit)) && hint != info.Hint {
			t.Errorf("%s is started again: got %q, want %q", info.Code, hint, info.Hint)
		}
	}
}

// The unit and the init script make, and allow to be written, what the agent
// writes by default.
func TestUnitsKnowTheAgentsPlaces(t *testing.T) {
	unit, script := shipped(t, "linux-patch-api.service"), shipped(t, "linux-patch-api.openrc")
	writable := setting(unit, "ReadWritePaths")
	for path, directive := range map[string]string{
		contract.DefaultConfigPath:                       "ConfigurationDirectory",
		filepath.Join(contract.DefaultStateDir, "token"): "StateDirectory",
		contract.DefaultAuditLogPath:                     "LogsDirectory",
		contract.DefaultStatusPath:                       "RuntimeDirectory",
	} {
		dir := filepath.Dir(path)
		if !slices.Contains(setting(unit, directive), filepath.Base(dir)) {
			t.Errorf("%s does not make %s, want %v in it", directive, dir, filepath.Base(dir))
		}
		if directive != "RuntimeDirectory" && !slices.Contains(writable, dir) {
			t.Errorf("%s cannot be written", dir)
		}
		if !strings.Contains(script, " "+dir) {
			t.Errorf("the init script does not make %s, want %q in it", dir, " "+dir)
		}
	}
	for _, path := range []string{contract.DefaultServerKeyPath, contract.DefaultCACertPath, contract.DefaultCRLPath, contract.DefaultWhitelistPath} {
		if !slices.ContainsFunc(writable, func(dir string) bool { return strings.HasPrefix(path, dir+"/") }) {
			t.Errorf("%s cannot be written", path)
		}
	}
}

func TestUnitIsHardened(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here:", err)
	}
	unit := filepath.Join("..", "..", "configs", "linux-patch-api.service")
	out, err := exec.Command(tool, "security", "--offline=true", "--threshold=30", "--no-pager", unit).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case strings.Contains(string(out), "unrecognized option"):
		t.Skipf("systemd-analyze is too old to look at a file: %s", out)
	case errors.As(err, &exit):
		t.Errorf("exposure above 3.0: %s", out)
	case err != nil:
		t.Fatal(err)
	}
	t.Logf("%s", regexp.MustCompile(`Overall exposure level.*`).Find(out))
}

func TestInitScriptIsShell(t *testing.T) {
	out, err := exec.Command("sh", "-n", filepath.Join("..", "..", "configs", "linux-patch-api.openrc")).CombinedOutput()
	if err != nil {
		t.Errorf("%v: got %s, want no error", err, out)
	}
}

// Debian's /bin/kill is in procps, which small hosts lack.
func TestUnitReloadsWithTheShellAlone(t *testing.T) {
	reload := setting(shipped(t, "linux-patch-api.service"), "ExecReload")
	if len(reload) == 0 || reload[0] != "/bin/sh" {
		t.Errorf("ExecReload is %q", reload)
	}
}
