package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// fullPipe returns the ends of a pipe that takes no byte more.
func fullPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(r.Close(), w.Close()) })
	fd := int(w.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for page := make([]byte, 1<<16); err == nil; {
		_, err = unix.Write(fd, page)
	}
	for one := []byte("\n"); err == nil || errors.Is(err, unix.EAGAIN); {
		if _, err = unix.Write(fd, one); errors.Is(err, unix.EAGAIN) {
			break
		}
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	return r, w
}

// TestField3_6_LoggingNeverStopsTheAgent: wherever its lines go, or do not, the
// agent goes by a whitelist that has changed, and a signal ends it.
func TestField3_6_LoggingNeverStopsTheAgent(t *testing.T) {
	program := bin.Path("linux_patch_api")
	for name, test := range map[string]struct {
		start func(t *testing.T, args ...string) *exec.Cmd
		lost  bool
	}{
		"a pipe that nobody reads": {func(t *testing.T, args ...string) *exec.Cmd {
			cmd := exec.CommandContext(t.Context(), program, args...)
			_, cmd.Stderr = fullPipe(t)
			return cmd
		}, false},
		"a pipe whose reader has gone": {func(t *testing.T, args ...string) *exec.Cmd {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = w.Close() })
			cmd := exec.CommandContext(t.Context(), program, args...)
			cmd.Stderr = w
			return cmd
		}, true},
		"a full disk": {func(t *testing.T, args ...string) *exec.Cmd {
			full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = full.Close() })
			cmd := exec.CommandContext(t.Context(), program, args...)
			cmd.Stderr = full
			return cmd
		}, true},
		"closed": {func(t *testing.T, args ...string) *exec.Cmd {
			return exec.CommandContext(t.Context(), "/bin/sh", append([]string{"-c", `exec "$0" "$@" 2>&-`, program}, args...)...)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ca := pkitest.NewCA(t)
			bundle := ca.Issue(t, pkitest.IP("127.0.0.1")).Bundle(t)
			write := func(name, content string) {
				t.Helper()
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			write("ca.pem", bundle.CACrt)
			write("server.pem", bundle.ServerCrt)
			write("server.key", bundle.ServerKey)
			write("whitelist.yaml", "entries: [127.0.0.1]\n")
			write("config.yaml", fmt.Sprintf("tls: {ca_cert: %[1]s/ca.pem, server_cert: %[1]s/server.pem, server_key: %[1]s/server.key, crl_path: %[1]s/crl.pem}\n"+
				"whitelist: {path: %[1]s/whitelist.yaml}\nlogging: {file_path: %[1]s/audit.log, level: debug}\n", dir))
			cmd := test.start(t, "--config", filepath.Join(dir, "config.yaml"), "--state-dir", filepath.Join(dir, "state"),
				"--status-file", filepath.Join(dir, "status.json"), "--listen", "127.0.0.1:0")
			cmd.Cancel = func() error { return cmd.Process.Kill() }
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			var status struct {
				State     string   `json:"state"`
				Whitelist []string `json:"whitelist"`
				Lost      int      `json:"log_lines_lost"`
			}
			until := func(what string, done func() bool) {
				t.Helper()
				if !eventually(func() bool {
					raw, err := os.ReadFile(filepath.Join(dir, "status.json"))
					return err == nil && json.Unmarshal(raw, &status) == nil && done()
				}) {
					t.Fatalf("waited in vain until %s, status %+v", what, status)
				}
			}
			until("it listens", func() bool { return status.State == "listening" })
			for range 50 {
				if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
					t.Fatal(err)
				}
			}
			write("whitelist.yaml", "entries: []\n")
			until("the whitelist is in force", func() bool { return len(status.Whitelist) == 0 })
			if test.lost {
				until("lost lines are told of", func() bool { return status.Lost > 0 })
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			late, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("it ended with %v, want exit code 0", err)
				}
			case <-late.Done():
				t.Error("SIGTERM does not end it")
			}
		})
	}
}
