package audit_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/audit"
	"github.com/linux-patch/enroll/internal/contract"
)

var actor = audit.Actor{Program: "enrollment/1", UID: 0, User: "op", PID: 7}

func open(path string) (afero.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
}

func newLog(path string) *audit.Log {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return audit.New(open, path, actor, func() time.Time { return now })
}

func TestRecordAppendsOneLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := newLog(path)
	for _, event := range []contract.Event{contract.EventRequestSent, contract.EventProvisioned} {
		if err := l.Record(event, map[string]string{"fqdn": "web1\nfake: line\x1b[0m", "empty": ""}); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %d lines: %q, want 2", len(lines), raw)
	}
	var first map[string]string
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"event": "enrollment.request_sent", "time": "2026-01-02T03:04:05Z", "fqdn": "web1 fake: line\uFFFD[0m",
		"program": "enrollment/1", "uid": "0", "user": "op", "pid": "7",
	} {
		if first[name] != want {
			t.Errorf("%s is %q, want %q", name, first[name], want)
		}
	}
	if _, there := first["empty"]; there {
		t.Error("an empty field was written")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("mode %v, %v, want 0", info.Mode(), err)
	}
}

func TestRecordDropsSecretsAndBoundsValues(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	fields := map[string]string{"reason": strings.Repeat("é", 4000)}
	for _, name := range []string{"polling_token", "server_key", "Password", "ca_pem", "client_secret", "proxy_url", "passphrase"} {
		fields[name] = "canary"
	}
	if err := newLog(path).Record(contract.EventFailed, fields); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "canary") || len(raw) > 2*512+200 || !json.Valid(raw) {
		t.Errorf("%d bytes: %.200s", len(raw), raw)
	}
}

func TestRecordKeepsTheActor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	forged := map[string]string{"event": "x", "program": "x", "uid": "x", "pid": "x", "user": "x", "time": "x", "level": "x", "msg": "x"}
	now := func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
	if err := audit.New(open, path, audit.Actor{Program: "p", PID: 7}, now).Record(contract.EventFailed, forged); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"event": "enrollment.failed", "program": "p", "uid": "0", "pid": "7", "user": "", "time": "2026-01-02T03:04:05Z", "level": "info",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

// Runs on one host share the log: no line is torn.
func TestRecordsOfManyRunsAreWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			for j := range 20 {
				if err := newLog(path).Record(contract.EventFailed, map[string]string{"n": fmt.Sprint(i, j)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(raw)) {
		var entry struct{ N string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%q: got %v, want no error", line, err)
		}
		seen[entry.N] = true
	}
	if len(seen) != 400 {
		t.Errorf("%d lines, want 400", len(seen))
	}
}
