package docs_test

import (
	"fmt"
	"reflect"
	"regexp"
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

func checkConfigKeys(t *testing.T) {
	keys := configKeys()
	docs := documents(t)
	same(t, "docs/SPEC.md, config.yaml", first(docs["docs/SPEC.md"].under("config.yaml", "key")), keys)

	// The enrollment section is commented out in the example.
	var lines []string
	commented := false
	for line := range strings.Lines(read(t, "configs/config.yaml.example")) {
		commented = commented || strings.HasPrefix(line, "# enrollment:")
		if commented {
			line = strings.TrimPrefix(strings.TrimPrefix(line, "#"), " ")
		}
		lines = append(lines, line)
	}
	var example map[string]map[string]any
	if err := yaml.Unmarshal([]byte(strings.Join(lines, "")), &example); err != nil {
		t.Fatalf("configs/config.yaml.example with its comments taken off: %v", err)
	}
	var shown []string
	for section, values := range example {
		for key := range values {
			shown = append(shown, section+"."+key)
		}
	}
	same(t, "configs/config.yaml.example", shown, keys)

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
