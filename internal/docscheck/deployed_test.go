package docscheck_test

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/linux-patch/enroll/internal/deployed"
)

// neededByDeployed are keys that the example shows for deployed agents alone.
var neededByDeployed = []string{"jobs.max_concurrent", "jobs.timeout_minutes"}

var (
	// written is a config.yaml that a console block writes, appended one that it
	// adds to what is there.
	written  = regexp.MustCompile(`(?s)\$ (?:cat >|install -m \d+ /dev/stdin) \S*config\.yaml <<END\n(.*?)\nEND\n`)
	appended = regexp.MustCompile(`\$ printf '([^']*)' >> \S*config\.yaml`)
)

// A deployed agent starts with each config.yaml that is shipped or shown.
func TestField1_2_EachConfigStartsADeployedAgent(t *testing.T) {
	example := read(t, "configs/config.yaml.example")
	configs := map[string]string{
		"configs/config.yaml.example":                       example,
		"configs/config.yaml.example, with all uncommented": uncommented(example),
	}
	for path, d := range documents(t) {
		for _, f := range d.fences {
			where := fmt.Sprintf("%s:%d", path, f.line)
			if f.info == "yaml" && isConfig(f.body) {
				configs[where] = f.body
			}
			for _, m := range written.FindAllStringSubmatch(f.body, -1) {
				configs[where] = strings.ReplaceAll(m[1], "$PWD", "/srv")
			}
			for _, m := range appended.FindAllStringSubmatch(f.body, -1) {
				configs[where] = example + strings.ReplaceAll(m[1], `\n`, "\n")
			}
		}
	}
	if len(configs) < 5 {
		t.Errorf("got %d configs, want the example's and the guide's", len(configs))
	}
	for where, text := range configs {
		if _, err := deployed.ParseConfig([]byte(text)); err != nil {
			t.Errorf("%s: got %v, want a deployed agent to start", where, err)
		}
	}
}

// isConfig reports whether a block is a config.yaml.
func isConfig(body string) bool {
	var sections map[string]any
	if yaml.Unmarshal([]byte(body), &sections) != nil {
		return false
	}
	for _, name := range []string{"server", "tls", "whitelist", "logging", "enrollment", "jobs"} {
		if _, ok := sections[name].(map[string]any); ok {
			return true
		}
	}
	return false
}

// uncommented is the example with its section enrollment in force.
func uncommented(example string) string {
	before, after, _ := strings.Cut(example, "# enrollment:")
	var section strings.Builder
	for line := range strings.Lines("# enrollment:" + after) {
		section.WriteString(strings.TrimPrefix(strings.TrimPrefix(line, "#"), " "))
	}
	return before + section.String()
}

// Anyone who puts an example of the whitelist into force must not lock everyone out
// of a deployed agent. The same text is what enrollment makes a new file from.
func TestField1_4_NoExampleInTheWhitelistStopsADeployedAgent(t *testing.T) {
	text := read(t, "configs/whitelist.yaml.example")
	if _, err := deployed.ParseWhitelist([]byte(text)); err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(text, -1)
	if len(examples) < 3 {
		t.Fatalf("got %d examples, want one of each kind", len(examples))
	}
	for _, m := range examples {
		w, err := deployed.ParseWhitelist([]byte("entries: [" + m[0] + "]"))
		if err != nil {
			t.Errorf("%s: got %v, want an entry that a deployed agent takes", m[0], err)
			continue
		}
		if len(w.Ignored) > 0 {
			t.Errorf("%s: got an entry that a deployed agent ignores", m[0])
		}
		if addr, err := netip.ParseAddr(m[1]); err == nil && !w.Allows(addr) {
			t.Errorf("%s: got no entrance for it", m[0])
		}
	}
}
