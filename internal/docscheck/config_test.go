package docscheck_test

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/linux-patch/enroll/internal/config"
)

// configKeys are the keys that package config reads.
func configKeys() []string {
	var keys []string
	sections := reflect.TypeOf(config.Config{})
	for i := range sections.NumField() {
		section := sections.Field(i)
		if section.Tag.Get("key") == "" {
			continue
		}
		for j := range section.Type.NumField() {
			keys = append(keys, section.Tag.Get("key")+"."+section.Type.Field(j).Tag.Get("key"))
		}
	}
	return keys
}

// configDefaults are what holds where config.yaml has no such key.
func configDefaults() map[string]string {
	var none config.Config
	paths := none.Paths()
	bind, port := none.Listen()
	return map[string]string{
		"server.bind": strings.Join(bind, ", "), "server.port": fmt.Sprint(port),
		"tls.enabled": "true", "tls.port": "server.port", "tls.ca_cert": paths.CACert, "tls.server_cert": paths.ServerCert,
		"tls.server_key": paths.ServerKey, "tls.crl_path": paths.CRL, "whitelist.path": paths.Whitelist,
		"logging.file_path": paths.AuditLog, "logging.level": "info",
		"enrollment.polling_interval_seconds":    settled["polling_interval_seconds"],
		"enrollment.max_poll_attempts":           settled["max_poll_attempts"],
		"enrollment.cert_renewal_threshold_days": strings.TrimSuffix(settled["renew_before"], "d"),
	}
}

func checkConfigKeys(t *testing.T) {
	keys := configKeys()
	docs := documents(t)
	table := docs["docs/SPEC.md"].under("config.yaml", "key")
	same(t, "docs/SPEC.md, config.yaml", first(table), keys)
	defaults := configDefaults()
	for _, row := range table {
		key := first([][]string{row})[0]
		if def, has := defaults[key]; has != strings.HasPrefix(row[1], "`") || has && lastCode(row[1]) != def {
			t.Errorf("docs/SPEC.md: the default of %s is %s, in the code %q", key, row[1], def)
		}
	}

	// The enrollment section is commented out in the example.
	var example map[string]map[string]any
	if err := yaml.Unmarshal([]byte(uncommented(read(t, "configs/config.yaml.example"))), &example); err != nil {
		t.Fatalf("configs/config.yaml.example with its comments taken off: got %v, want no error", err)
	}
	var shown []string
	for section, values := range example {
		for key, value := range values {
			name := section + "." + key
			shown = append(shown, name)
			// What has no default is shown empty, or with an example.
			if def := defaults[name]; def != "" && fmt.Sprint(value) != def && def != "server.port" {
				t.Errorf("configs/config.yaml.example: the default of %s is %v, in the code %q", name, value, def)
			}
		}
	}
	same(t, "configs/config.yaml.example", shown, append(slices.Clone(keys), neededByDeployed...))

	word := regexp.MustCompile("`((server|tls|whitelist|logging)\\.[a-z_]+)`")
	for path, d := range docs {
		for _, m := range word.FindAllStringSubmatch(d.prose, -1) {
			if !contains(keys, m[1]) && m[1] != "whitelist.yaml" && m[1] != "server.pem" {
				t.Errorf("%s: %s is no config key", path, m[1])
			}
		}
	}
	for path, d := range docs {
		for _, f := range d.fences {
			if f.info == "yaml" {
				checkConfigBlock(t, fmt.Sprintf("%s:%d", path, f.line), f.body, keys)
			}
		}
	}
}

// checkConfigBlock looks at a block that is a piece of config.yaml.
func checkConfigBlock(t *testing.T, where, body string, keys []string) {
	t.Helper()
	var block map[string]any
	if yaml.Unmarshal([]byte(body), &block) != nil {
		return // a list of tasks or plays
	}
	for _, section := range []string{"server", "tls", "whitelist", "logging", "enrollment"} {
		values, ok := block[section].(map[string]any)
		for key := range values {
			if name := section + "." + key; ok && !contains(keys, name) {
				t.Errorf("%s: %s is no config key", where, name)
			}
		}
	}
}
