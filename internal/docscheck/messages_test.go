package docscheck_test

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"

	"github.com/linux-patch/enroll/internal/testconsole"
)

// TestTroubleshooting provokes each symptom, and looks for what the program
// says in the guide, word for word but for what differs from host to host. An
// entry of the guide that nothing here provokes fails too.
func TestTroubleshooting(t *testing.T) {
	verdict(t, "each entry of troubleshooting is provoked, and its message is the real one", checkTroubles)
}

func checkTroubles(t *testing.T) {
	guide := documents(t)["docs/DEPLOYMENT_GUIDE.md"]
	text := anyHost(unwrapped(guide.text), "")
	heard := &messages{said: map[string]bool{}}
	quoted := func(t *testing.T, h *host, said string) {
		t.Helper()
		said = anyHost(said, h.dir)
		t.Log(said)
		heard.add(said)
		if !strings.Contains(text, said) {
			t.Errorf("the deployment guide does not have this message:\n%s", said)
		}
	}
	t.Run("provoked", func(t *testing.T) {
		for _, c := range slices.Concat(onTheHost, ofTheHost, withTheManager) {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel() // some wait for retries
				t.Cleanup(func() { heard.count(t) })
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
		for _, c := range unreachable {
			t.Run("ending: "+c.name, func(t *testing.T) {
				t.Parallel()
				h := newHost(t)
				o := c.provoke(t, h)
				if o.Error == nil || contract.Code(o.Error.Code) != contract.CodeUnreachable {
					t.Fatalf("want %s: %s", contract.CodeUnreachable, o.Msg)
				}
				t.Log(o.Msg)
				heard.add(strings.ReplaceAll(o.Msg, silentName, "manager.example.com"))
			})
		}
		for _, c := range ofTheDaemon {
			t.Run("daemon: "+c.name, func(t *testing.T) {
				t.Parallel()
				h := newHost(t)
				quoted(t, h, h.daemon(c.last, c.start(t, h)...))
			})
		}
	})
	if t.Failed() {
		return // the lists below would only repeat it
	}
	_, section, _ := strings.Cut(guide.text, "\n## Troubleshooting\n")
	entries := parse(guide.path, section)
	var silent []string
	for _, f := range entries.fences {
		if entry := anyHost(unwrapped(f.body), ""); f.info == "text" && !heard.said[entry] {
			silent = append(silent, entry)
		}
	}
	if len(silent) > heard.skipped {
		t.Errorf("no test provokes these entries of the guide:\n%s", strings.Join(silent, "\n"))
	}
	rows := entries.under("The connection to the manager (ENROLL_UNREACHABLE)", "ending")
	if len(rows) < 5 {
		t.Errorf("%d endings were seen: this test looks in the wrong place", len(rows))
	}
	for _, r := range rows {
		if !heard.ends(r[0]) {
			t.Errorf("no test provokes this ending: %s", r[0])
		}
	}
}

// messages are what the programs said, of all tests that run side by side.
type messages struct {
	mu      sync.Mutex
	said    map[string]bool
	skipped int
}

func (m *messages) add(said string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said[said] = true
}

// count notes a test that could not provoke its entry, such as one that only
// root can.
func (m *messages) count(t *testing.T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.Skipped() {
		m.skipped++
		verdicts = append(verdicts, "skip  "+path.Base(t.Name())+": it cannot be provoked here, -v tells why")
	}
}

// ends says whether a message ends as one of the codes in a cell does; "…" is
// anything.
func (m *messages) ends(cell string) bool {
	for _, code := range inCode.FindAllStringSubmatch(cell, -1) {
		for said := range m.said {
			if testconsole.Matches(said, "cannot reach the manager at …: "+code[1]) {
				return true
			}
		}
	}
	return false
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
	{regexp.MustCompile(`\b([0-9A-F]{2}:){31}[0-9A-F]{2}\b`), "SHA-256"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "MACHINE-ID"},
	{regexp.MustCompile(`may be written by user \d+`), "may be written by user UID"},
	{regexp.MustCompile(`listen tcp4? \S+:\d+:`), "listen tcp ADDRESS:"},
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
