package daemon

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// systemd itself finds nothing wrong in any unit that is shipped: it warns of
// an unknown setting, and of a timer or path without its service.
func TestUnitsAreVerifiedBySystemd(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here:", err)
	}
	units := unitsToVerify(t)
	if len(units) < 7 {
		t.Fatalf("got %d units, want the agent's, the timers' and the path's", len(units))
	}
	out, err := exec.Command(tool, append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("got %v\n%s\nwant no finding", err, out)
	}
	broken := filepath.Join(filepath.Dir(units[0]), "broken.service")
	if err := os.WriteFile(broken, []byte("[Service]\nExecStart=/bin/true\nRestrat=no\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := exec.Command(tool, "verify", "--man=no", broken).CombinedOutput(); len(out) == 0 {
		t.Error("got nothing about a setting that does not exist, want a finding")
	}
}

// unitsToVerify are copies of the shipped units, with a program of this machine
// in the place of ours, which need not be installed.
func unitsToVerify(t *testing.T) []string {
	t.Helper()
	var units []string
	dir := t.TempDir()
	for _, kind := range []string{"service", "timer", "path"} {
		found, err := filepath.Glob(filepath.Join("..", "..", "configs", "*."+kind))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text = regexp.MustCompile(`(?m)^(ExecStart=)\S+`).ReplaceAll(text, []byte("$1/bin/true"))
			unit := filepath.Join(dir, filepath.Base(path))
			if err := os.WriteFile(unit, text, 0o600); err != nil {
				t.Fatal(err)
			}
			units = append(units, unit)
		}
	}
	return units
}
