package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/config"
)

// wrongValues are values that no program takes for a key, and what is expected of
// it. Those of the second list are the agent's alone: the module does not use them.
var wrongValues = []struct {
	key, value, expected string
	agentAlone           bool
}{
	{"server.bind", "everywhere", "IP address", true},
	{"server.port", "70000", "at most 65535", true},
	{"server.port", "0", "at least 1", true},
	{"server.port", "https", "whole number", false},
	{"tls.enabled", "maybe", "neither true nor false", false},
	{"tls.port", "-1", "at least 1", true},
	{"tls.ca_cert", "certs/ca.pem", "absolute path", false},
	{"tls.ca_cert", "/etc/../ca.pem", "absolute path", false},
	{"tls.ca_cert", "5", "needs quotes", false},
	{"tls.server_cert", "./server.pem", "absolute path", false},
	{"tls.server_key", "~/server.key", "absolute path", false},
	{"tls.crl_path", "crl.pem", "absolute path", false},
	{"whitelist.path", "whitelist.yaml", "absolute path", false},
	{"logging.file_path", "audit.log", "absolute path", true},
	{"logging.level", "loud", "one of: trace, debug, info, warn, error", true},
	{"enrollment.manager_url", "manager.example.net", "http", false},
	{"enrollment.manager_url", "https://m:99999", "number from 1 to 65535", false},
	{"enrollment.polling_token", "31337666", "needs quotes", false},
	{"enrollment.polling_interval_seconds", "soon", "whole number", false},
	{"enrollment.max_poll_attempts", "-3", "at least 0", true},
	{"enrollment.report_interface", "eth0/1", "interface", false},
	{"enrollment.report_ip", "10.0.0.0/8", "address", false},
	{"enrollment.cert_renewal_threshold_days", "7d", "whole number", false},
	{"enrollment.cert_renewal_threshold_days", "99999", "at most 36500", true},
}

// TestConfigValuesAreNamed: a value of config.yaml that is refused is told of with
// file, key, value and what is expected, by the agent and by the module.
func TestConfigValuesAreNamed(t *testing.T) {
	untold := map[string]bool{}
	for section := range reflect.TypeFor[config.Config]().Fields() {
		for key := range fieldsOf(section.Type) {
			untold[section.Tag.Get("key")+"."+key] = true
		}
	}
	for i, c := range wrongValues {
		delete(untold, c.key)
		// Not by its value: the test's directory is named by it, and told.
		t.Run(fmt.Sprintf("%s, %d", c.key, i), func(t *testing.T) {
			host := t.TempDir()
			path := filepath.Join(host, "config.yaml")
			section, key, _ := strings.Cut(c.key, ".")
			text := fmt.Sprintf("%s:\n  %s: %s\n", section, key, c.value)
			if section != "enrollment" {
				text += "enrollment:\n  manager_url: https://127.0.0.1:9\n"
			} else if key != "manager_url" {
				text += "  manager_url: https://127.0.0.1:9\n"
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			said := map[string]*exec.Cmd{
				"agent": exec.Command(bin.Path("linux_patch_api"), "--check-config", "--config", path, "--state-dir", host+"/state", "--status-file", host+"/status.json"),
			}
			if !c.agentAlone {
				said["module"] = exec.Command(bin.Path("enrollment"), "-")
				said["module"].Stdin = strings.NewReader(fmt.Sprintf(
					`{"config_path":%q,"state_dir":%q,"fqdn":"web1.example.com","manager_ip":"192.0.2.7","token_storage":"state_dir","_ansible_check_mode":true}`, path, host+"/state"))
			}
			for who, cmd := range said {
				out, err := cmd.CombinedOutput()
				if err == nil {
					t.Errorf("%s: got %s, want a failure", who, out)
				}
				holds(t, who, strings.ReplaceAll(string(out), `\"`, `"`), path, c.key, c.expected, c.value)
			}
		})
	}
	if len(untold) > 0 {
		t.Errorf("no wrong value is tried of %v, want one of each key", untold)
	}
}

// fieldsOf are the keys of a section of config.yaml.
func fieldsOf(section reflect.Type) map[string]bool {
	keys := map[string]bool{}
	if section.Kind() == reflect.Struct {
		for field := range section.Fields() {
			keys[field.Tag.Get("key")] = true
		}
	}
	return keys
}

// holds looks for one line with all that a person needs. A token is in none.
func holds(t *testing.T, who, out, path, key, expected, value string) {
	t.Helper()
	if key == "enrollment.polling_token" {
		if strings.Contains(out, value) {
			t.Errorf("%s: got the token in %s, want it hidden", who, out)
		}
		value = ""
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, path) && strings.Contains(line, key) && strings.Contains(line, expected) && strings.Contains(line, value) {
			return
		}
	}
	t.Errorf("%s: got %s, want a line with %s, %s, %q and %q", who, out, path, key, expected, value)
}
