package deployed_test

import (
	"go/parser"
	"go/token"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/deployed"
)

// What is imported here is believed, so nothing of this project is.
func TestStandInsShareNothingWithTheProject(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	standIns := 0
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		if file.Name.Name != "deployed" {
			continue // a test of programs
		}
		standIns++
		for _, spec := range file.Imports {
			if strings.Contains(spec.Path.Value, "linux-patch/enroll") {
				t.Errorf(`%s imports %s, want no "linux-patch/enroll" in it`, name, spec.Path.Value)
			}
		}
	}
	if standIns < 6 {
		t.Errorf("got %d files of stand-ins, want all of them looked at", standIns)
	}
}

func TestHealthIsParsedStrictly(t *testing.T) {
	const whole = `{"success":true,"request_id":"r","timestamp":"2026-01-01T00:00:00Z","data":{"status":"healthy","version":"1","uptime_seconds":7},"error":null}`
	for name, c := range map[string]struct {
		old, new string
		refused  string
	}{
		"whole":                    {},
		"further fields":           {`"uptime_seconds":7`, `"uptime_seconds":7,"load":[1],"crl_status":"valid","crl_age_seconds":0,"crl_next_update":"2026-01-01T00:00:00Z"`, ""},
		"null where there is none": {`"uptime_seconds":7`, `"uptime_seconds":7,"crl_status":null,"crl_age_seconds":null`, ""},
		"no uptime":                {`,"uptime_seconds":7`, ``, "missing field `uptime_seconds`"},
		"uptime of null":           {`:7`, `:null`, "uptime_seconds"},
		"negative uptime":          {`:7`, `:-7`, "uptime_seconds"},
		"uptime with a point":      {`:7`, `:7.0`, "uptime_seconds"},
		"uptime in quotes":         {`:7`, `:"7"`, "uptime_seconds"},
		"no version":               {`"version":"1",`, ``, "version"},
		"a version as a number":    {`"version":"1"`, `"version":1`, "version"},
		"age with a point":         {`:7`, `:7,"crl_age_seconds":1.5`, "crl_age_seconds"},
		"no data":                  {`"data"`, `"payload"`, "data"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := deployed.ParseHealth([]byte(strings.Replace(whole, c.old, c.new, 1)))
			if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
				t.Errorf("got %v, want %q", err, c.refused)
			}
		})
	}
}

func TestConfigIsReadAsTheDeployedAgentReadsIt(t *testing.T) {
	if _, err := deployed.ParseConfig([]byte(deployed.ExampleConfig)); err != nil {
		t.Errorf("its own example: got %v, want a start", err)
	}
	for text, refused := range map[string]string{
		"server: {bind: 0.0.0.0, port: 12443}\n":                                                             "jobs",
		"jobs: {max_concurrent: 5, timeout_minutes: 30}\n":                                                   "server",
		"server: {bind: 0.0.0.0, port: 12443}\njobs: {max_concurrent: 5}\n":                                  "timeout_minutes",
		"server: {bind: 0.0.0.0, port: 12443}\njobs: {max_concurrent: -1, timeout_minutes: 30}\n":            "cannot unmarshal",
		"server: {bind: 0.0.0.0, port: 99999}\njobs: {max_concurrent: 1, timeout_minutes: 30}\n":             "cannot unmarshal",
		"server: {bind: 0.0.0.0, port: 12443}\njobs: {max_concurrent: 5, timeout_minutes: 30}\nmore: {a: 1}": "",
	} {
		if _, err := deployed.ParseConfig([]byte(text)); (err == nil) != (refused == "") || err != nil && !strings.Contains(err.Error(), refused) {
			t.Errorf("%q: got %v, want %q", text, err, refused)
		}
	}
}

func TestWhitelistIsReadAsTheDeployedAgentReadsIt(t *testing.T) {
	w, err := deployed.ParseWhitelist([]byte("entries: [192.0.2.1, 198.51.100.0/24, '2001:db8::1', manager.example.com]"))
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]bool{"192.0.2.1": true, "192.0.2.2": false, "198.51.100.7": true, "2001:db8::1": false} {
		if got := w.Allows(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: got %t, want %t", addr, got, want)
		}
	}
	if len(w.Names) != 1 || len(w.Ignored) != 1 {
		t.Errorf("got names %v and ignored %v, want one of each", w.Names, w.Ignored)
	}
	for _, text := range []string{"entries: [192.0.2.1, '2001:db8::/64']", "entries: [192.0.2.0/33]", "entries: [a/b]", "other: []", "entries: 192.0.2.1"} {
		if _, err := deployed.ParseWhitelist([]byte(text)); err == nil {
			t.Errorf("%q: got a whitelist, want the whole file refused", text)
		}
	}
}

func TestInstallLeavesTheDirectoryToTheService(t *testing.T) {
	dir := t.TempDir()
	if err := deployed.Install(dir, os.Getuid(), os.Getgid()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "etc/linux_patch_api/config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := deployed.ParseConfig(text)
	if err != nil || c.TLS.CACert != filepath.Join(dir, "etc/linux_patch_api/certs/ca.pem") || c.Enrollment.PollingToken != "your-enrollment-token-here" {
		t.Errorf(`got %+v, %v, want %v, "your-enrollment-token-here"`, c, err, filepath.Join(dir, "etc/linux_patch_api/certs/ca.pem"))
	}
}
