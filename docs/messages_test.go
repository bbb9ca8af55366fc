package docs_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
)

// TestTroubleshooting provokes each symptom, and looks for what the program
// says in the guide, word for word but for what differs from host to host.
func TestTroubleshooting(t *testing.T) {
	guide := anyHost(unwrapped(read(t, "docs/DEPLOYMENT_GUIDE.md")), "")
	quoted := func(t *testing.T, h *host, said string) {
		t.Helper()
		said = anyHost(said, h.dir)
		t.Log(said)
		if !strings.Contains(guide, said) {
			t.Errorf("the deployment guide does not have this message:\n%s", said)
		}
	}
	for _, c := range append(onTheHost, withTheManager...) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // some wait for retries
			h := newHost(t)
			o := c.provoke(t, h)
			var code contract.Code
			if o.Error != nil {
				code = contract.Code(o.Error.Code)
			}
			if code != c.code {
				t.Fatalf("code %q, want %q: %s", code, c.code, o.Msg)
			}
			quoted(t, h, o.Msg)
		})
	}
	for _, c := range warned {
		t.Run("warning: "+c.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			o := c.provoke(t, h)
			if len(o.Warnings) == 0 {
				t.Fatalf("no warning: %s", o.Msg)
			}
			for _, w := range o.Warnings {
				quoted(t, h, w)
			}
		})
	}
}

// particulars are what differs from host to host and run to run.
var particulars = []struct {
	pattern *regexp.Regexp
	generic string
}{
	{regexp.MustCompile(`https://127\.0\.0\.1:\d+`), "https://manager.example.com"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`\d{8}T\d{6}\.\d+Z`), "TIME"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d UTC`), "TIME"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "SHA-256"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "MACHINE-ID"},
	{regexp.MustCompile(`Supported parameters include: [^.]*\.`), "Supported parameters include: …."},
	{regexp.MustCompile(`but there are: ([\w@.:-]+, )*[\w@.:-]+`), "but there are: …"},
}

// anyHost puts a word in the place of each particular.
func anyHost(text, dir string) string {
	if dir != "" {
		text = strings.ReplaceAll(text, dir, "")
	}
	for _, p := range particulars {
		text = p.pattern.ReplaceAllString(text, p.generic)
	}
	return text
}
