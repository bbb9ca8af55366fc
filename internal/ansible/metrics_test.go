package ansible

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/report"
)

func reported() *enroll.Info {
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	days := 364
	return &enroll.Info{
		State: contract.StateEnrolled, Valid: true, DaysLeft: &days, Problems: []string{"one"}, Warnings: []string{},
		FQDN: "web1.example.com", MachineID: "3d1219c7c4c5404aaa1f6d2a48adfda4", PendingSince: "2026-11-28T12:00:00Z", CRLNextUpdate: "2026-11-29T12:00:00Z",
		Manager: &report.Manager{URL: "https://manager.example.com", IP: "192.0.2.1"},
		Certificates: &report.Certificates{
			CA:     &report.Certificate{Facts: pki.Facts{NotAfter: at.AddDate(9, 0, 0)}},
			Server: &report.Certificate{Facts: pki.Facts{NotBefore: at, NotAfter: at.AddDate(1, 0, 0)}},
		},
		Whitelist: &report.Whitelist{Entry: "192.0.2.1", Present: true},
	}
}

var sample = regexp.MustCompile(`^([a-z_]+)(\{[a-z_]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\["\\n])*")*\})? -?[0-9]+$`)

// named returns the metrics of a text, each of whose lines it holds to the format.
func named(t *testing.T, text string) map[string]bool {
	t.Helper()
	found, kind := map[string]bool{}, map[string]bool{}
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if words := strings.Fields(line); words[0] == "#" {
			kind[words[2]] = kind[words[2]] || words[1] == "TYPE" && words[3] == "gauge"
			continue
		}
		match := sample.FindStringSubmatch(line)
		if match == nil || !kind[match[1]] {
			t.Errorf("got line %q, want a sample of a metric that has a HELP and a TYPE line", line)
			continue
		}
		found[match[1]] = true
	}
	return found
}

func TestMetricsKeepTheFormatWhateverANameHolds(t *testing.T) {
	info := reported()
	info.FQDN = "a\"} 1\nlinux_patch_enrollment_valid 7\\\xff{"
	info.Manager.URL = "https://m/\n# TYPE x counter\n"
	text := metrics(info)
	if named(t, text)["linux_patch_enrollment_valid"] != true || strings.Contains(text, "valid 7\n") || strings.Contains(text, "\n# TYPE x") {
		t.Errorf("got %q, want the names inside their labels", text)
	}
	for _, want := range []string{
		"\nlinux_patch_enrollment_state{state=\"enrolled\"} 1\n", "\nlinux_patch_enrollment_state{state=\"absent\"} 0\n",
		"\nlinux_patch_enrollment_certificate_not_after_timestamp_seconds 1827403200\n", "\nlinux_patch_enrollment_problems 1\n",
		"\nlinux_patch_enrollment_crl_next_update_timestamp_seconds 1795953600\n", "\nlinux_patch_enrollment_whitelist_manager_present 1\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("got %s\nwant %q in it", text, want)
		}
	}
}

func TestMetricsOfAFailedReport(t *testing.T) {
	text := metrics(unreported(contract.Errorf(contract.CodeConfig, "no")))
	if got := named(t, text); len(got) != 1 || !strings.Contains(text, "report_failed 1\n") {
		t.Errorf("got %s, want report_failed alone", text)
	}
}

// The rules name only metrics that are written, and every alert says what to do.
func TestAlertsNameMetricsThatExist(t *testing.T) {
	raw, err := os.ReadFile("../../configs/prometheus-alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(raw)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	exist := named(t, metrics(reported()))
	exist["node_textfile_mtime_seconds"] = true
	used := 0
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			names := regexp.MustCompile(`\b(?:linux_patch|node)_[a-z_]+\b`).FindAllString(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(rule.Expr, ""), -1)
			for _, name := range names {
				if used++; !exist[name] {
					t.Errorf("%s: got metric %s, which the program does not write", rule.Alert, name)
				}
			}
			if len(names) == 0 || rule.Alert == "" || rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
				t.Errorf("got rule %+v, want a name, a metric, a severity, a summary and a description", rule)
			}
			if open, closed := strings.Count(rule.Expr, "("), strings.Count(rule.Expr, ")"); open != closed {
				t.Errorf("%s: got %d ( and %d ) in %q, want %v", rule.Alert, open, closed, rule.Expr, closed)
			}
			if rule.For != "" && !regexp.MustCompile(`^[0-9]+[smhd]$`).MatchString(rule.For) {
				t.Errorf("%s: got for %q, want a duration", rule.Alert, rule.For)
			}
		}
	}
	if used < 10 {
		t.Errorf("got %d uses of metrics, want at least 10", used)
	}
}
