package setup_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Without a way to PyPI the first line says so, and how to name another way; a
// login in the mirror's URL is not shown.
func TestPyPIOutOfReachIsSaidFirst(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "ansible", "setup"), os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	for _, env := range [][]string{
		{"HTTPS_PROXY=http://127.0.0.1:9", "PIP_INDEX_URL=https://pypi.example.com/simple"},
		{"PIP_INDEX_URL=https://user:password@127.0.0.1:9/simple/"},
	} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "ansible", "setup", "ansible"), "lint")
		cmd.Env = append(os.Environ(), append(env, "NO_PROXY=", "no_proxy=", "https_proxy=", "PIP_NO_INDEX=")...)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		err := cmd.Run()
		first, _, _ := strings.Cut(stderr.String(), "\n")
		if err == nil || !strings.HasPrefix(first, "PyPI cannot be reached (") || !strings.Contains(first, "PIP_INDEX_URL") || !strings.Contains(first, "HTTPS_PROXY") {
			t.Errorf("%s: got %v and %q first, want PyPI named with both variables", env, err, first)
		}
		if strings.Contains(stderr.String(), "password") {
			t.Errorf("got %q, want no password", stderr.String())
		}
	}
}

// A command that is silent is said to be running, and its exit code stays.
func TestHeartbeat(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "./heartbeat", "sh", "-c", "read line; exit 7")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	said := make([]byte, 100)
	n, _ := stderr.Read(said)
	if got := string(said[:n]); !strings.Contains(got, "still running, 15 s") || time.Since(began) > time.Minute {
		t.Errorf("got %q after %s, want a line within a minute", got, time.Since(began))
	}
	_ = stdin.Close()
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != 7 {
		t.Errorf("got exit code %d, want 7", got)
	}
}
