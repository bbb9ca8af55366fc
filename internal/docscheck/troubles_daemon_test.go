package docscheck_test

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// ofTheDaemon make the daemon say why no one is served. The last message of
// each is looked for in the guide.
var ofTheDaemon = []struct {
	name string
	// last is how that message begins.
	last  string
	start func(t *testing.T, h *host) []string
}{
	{"no certificates and no manager", "there is no valid", func(*testing.T, *host) []string { return nil }},
	{"no one may connect", "the whitelist is", func(*testing.T, *host) []string { return nil }},
	{"taken out", "the enrollment of this host", func(t *testing.T, h *host) []string {
		enrolled(t, h, pkitest.NewCA(t))
		if o := h.run(context.Background(), map[string]any{"state": "absent"}); !o.Changed {
			t.Fatalf("the enrollment was to be taken back: %s", o.Msg)
		}
		config, err := os.ReadFile(h.path("/etc/linux_patch_api/config.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		h.write("/etc/linux_patch_api/config.yaml", string(config)+"enrollment:\n  manager_url: https://192.0.2.10\n", 0o640)
		return nil
	}},
	{"the port is taken", "listener: ", func(t *testing.T, h *host) []string {
		enrolled(t, h, pkitest.NewCA(t))
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ln.Close() })
		return []string{"--listen", ln.Addr().String()}
	}},
}

// logged is the message of a line of the daemon's log.
var logged = regexp.MustCompile(`msg=("(?:[^"\\]|\\.)*")`)

// daemon runs the daemon until it has said what begins so.
func (h *host) daemon(last string, flags ...string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin.Path("linux_patch_api"), append([]string{
		"--config", h.path("/etc/linux_patch_api/config.yaml"), "--state-dir", h.path("/var/lib/linux_patch_enroll"),
		"--status-file", h.path("/run/status.json")}, flags...)...)
	out, err := cmd.StderrPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait() // it was killed, or failed as it was to
	}()
	var all []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		all = append(all, lines.Text())
		if m := logged.FindStringSubmatch(lines.Text()); m != nil {
			if said, err := strconv.Unquote(m[1]); err == nil && strings.HasPrefix(said, last) {
				return said
			}
		}
	}
	h.t.Fatalf("the daemon does not say %q:\n%s", last, strings.Join(all, "\n"))
	return ""
}
