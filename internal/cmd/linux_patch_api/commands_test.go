package main_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// agent is the one agent of a script.
type agent struct {
	cmd    *exec.Cmd
	output *output
	ended  chan error
}

type agentKey struct{}

func agentOf(ts *testscript.TestScript) *agent { return ts.Value(agentKey{}).(*agent) }

// output is what a process wrote so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// managerCmd starts a real reference manager for the rest of the script:
//
//	manager [FLAG…]
//
// It sets MANAGER_URL, MANAGER_CA and MANAGER_DATA, for the manager's own verbs
// LINUX_PATCH_MANAGER_DATA too.
func managerCmd(ts *testscript.TestScript, neg bool, args []string) {
	data, url := ts.MkAbs("manager-data"), ts.MkAbs("manager-url")
	cmd := exec.Command(bin.Path("linux_patch_manager"),
		append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--url-file", url, "--rate-limit", "off"}, args...)...)
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	var address string
	if !eventually(func() bool {
		content, err := os.ReadFile(url)
		address = strings.TrimSpace(string(content))
		return err == nil && address != ""
	}) {
		ts.Fatalf("the manager did not start: %s", out)
	}
	ts.Setenv("MANAGER_URL", address)
	ts.Setenv("MANAGER_DATA", data)
	ts.Setenv("LINUX_PATCH_MANAGER_DATA", data)
	ts.Setenv("MANAGER_CA", filepath.Join(data, "ca.pem"))
}

// configCmd writes the host's config.yaml, every path below $HOST:
//
//	config [KEY=VALUE…]    keys of the section enrollment
func configCmd(ts *testscript.TestScript, neg bool, args []string) {
	host := ts.Getenv("HOST")
	text := fmt.Sprintf(`tls:
  ca_cert: %[1]s/certs/ca.pem
  server_cert: %[1]s/certs/server.pem
  server_key: %[1]s/certs/server.key.pem
  crl_path: %[1]s/certs/crl.pem
whitelist:
  path: %[1]s/etc/whitelist.yaml
logging:
  file_path: %[1]s/log/audit.log
enrollment:
  report_ip: 127.0.0.1
  polling_interval_seconds: 1
`, host)
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		text += fmt.Sprintf("  %s: %s\n", key, value)
	}
	ts.Check(os.WriteFile(filepath.Join(host, "etc", "config.yaml"), []byte(text), 0o600))
}

// setCmd puts a certificate set of an authority of the test in place, and a
// client's certificate beside it (client.pem, client.key):
//
//	set [KIND]    good, soon (expires tomorrow), expired, mismatch
func setCmd(ts *testscript.TestScript, neg bool, args []string) {
	t := scriptTB{ts: ts}
	now := time.Now()
	valid := pkitest.Valid(now.Add(-time.Hour), now.Add(90*24*time.Hour))
	kind := "good"
	if len(args) > 0 {
		kind = args[0]
	}
	switch kind {
	case "soon":
		valid = pkitest.Valid(now.Add(-30*24*time.Hour), now.Add(24*time.Hour))
	case "expired":
		valid = pkitest.Valid(now.Add(-30*24*time.Hour), now.Add(-24*time.Hour))
	}
	ca := pkitest.NewCA(t)
	bundle := ca.Issue(t, valid, pkitest.IP("127.0.0.1")).Bundle(t)
	if kind == "mismatch" {
		bundle.ServerKey = ca.Issue(t).KeyPEM(t)
	}
	client := ca.Issue(t, pkitest.EKU(x509.ExtKeyUsageClientAuth))
	certs := filepath.Join(ts.Getenv("HOST"), "certs")
	ts.Check(os.MkdirAll(certs, 0o755))
	for path, content := range map[string]string{
		filepath.Join(certs, "ca.pem"): bundle.CACrt, filepath.Join(certs, "server.pem"): bundle.ServerCrt,
		filepath.Join(certs, "server.key.pem"): bundle.ServerKey,
		ts.MkAbs("client.pem"):                 client.PEM(), ts.MkAbs("client.key"): client.KeyPEM(t),
	} {
		temp := path + ".new"
		ts.Check(os.WriteFile(temp, []byte(content), 0o600))
		ts.Check(os.Rename(temp, path))
	}
}

// agentCmd starts the agent in the background, at a port of its own:
//
//	agent [FLAG…]
func agentCmd(ts *testscript.TestScript, neg bool, args []string) {
	host, a := ts.Getenv("HOST"), agentOf(ts)
	a.cmd = exec.Command(bin.Path("linux_patch_api"), append([]string{
		"--config", host + "/etc/config.yaml", "--state-dir", host + "/state", "--status-file", host + "/run/status.json",
		"--listen", "127.0.0.1:0",
	}, args...)...)
	a.cmd.Dir = ts.Getenv("WORK")
	a.output, a.ended = &output{}, make(chan error, 1)
	a.cmd.Stdout, a.cmd.Stderr = a.output, a.output
	ts.Check(a.cmd.Start())
	cmd, ended := a.cmd, a.ended
	go func() { ended <- cmd.Wait() }()
	ts.Defer(func() { _ = cmd.Process.Kill() })
}

type status struct {
	PID                        int
	State, Listen, Fingerprint string
	Problem                    string
	Whitelist                  []string
}

func (a *agent) status(ts *testscript.TestScript) (status, error) {
	var s status
	raw, err := os.ReadFile(filepath.Join(ts.Getenv("HOST"), "run", "status.json"))
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(raw, &s)
}

// waitForCmd waits until the status file says so, and that of the process that
// the script has started:
//
//	waitfor state STATE
//	waitfor whitelist ENTRY…
//	waitfor served CERTIFICATE     its fingerprint is the one that is served
//	waitfor log PATTERN            a line of the log matches
//
// An agent that enrolls may listen as soon as the set stands, which is before the
// manager is in the whitelist and the enrollment has ended.
//
// It sets AGENT to the address that is listened on.
func waitForCmd(ts *testscript.TestScript, neg bool, args []string) {
	a := agentOf(ts)
	var s status
	var err error
	ok := eventually(func() bool {
		if args[0] == "log" {
			return regexp.MustCompile(args[1]).MatchString(a.output.String())
		}
		if s, err = a.status(ts); err != nil || s.PID != a.cmd.Process.Pid {
			return false
		}
		switch args[0] {
		case "state":
			return s.State == args[1]
		case "problem":
			return regexp.MustCompile(args[1]).MatchString(s.Problem)
		case "whitelist":
			return slices.Equal(s.Whitelist, args[1:])
		case "served":
			return s.Fingerprint == fingerprint(ts, args[1])
		}
		return false
	})
	if !ok {
		ts.Fatalf("waited in vain for %s, status %+v (%v), log:\n%s", strings.Join(args, " "), s, err, a.output)
	}
	if args[0] == "log" {
		return
	}
	ts.Setenv("AGENT", s.Listen)
	ts.Setenv("AGENT_PID", strconv.Itoa(s.PID))
}

func fingerprint(ts *testscript.TestScript, path string) string {
	out, err := exec.Command("openssl", "x509", "-in", ts.MkAbs(path), "-noout", "-fingerprint", "-sha256").Output()
	ts.Check(err)
	_, hex, _ := strings.Cut(strings.TrimSpace(string(out)), "=")
	return strings.ToLower(strings.ReplaceAll(hex, ":", ""))
}

// staysCmd checks for a second that the agent runs on in the same state:
//
//	stays STATE
func staysCmd(ts *testscript.TestScript, neg bool, args []string) {
	a := agentOf(ts)
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		select {
		case err := <-a.ended:
			ts.Fatalf("the agent ended: %v\n%s", err, a.output)
		default:
		}
		if s, err := a.status(ts); err != nil || s.State != args[0] {
			ts.Fatalf("status %+v, %v, want %s", s, err, args[0])
		}
	}
}

func signalCmd(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(agentOf(ts).cmd.Process.Signal(signals[args[0]]))
}

var signals = map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}

// endsCmd sends a signal, or none, and checks that the agent ends by it, soon,
// with an exit code. Its output becomes the file agent.log. On a busy machine
// soon is seconds.
//
//	ends TERM 0
//	ends - 17        it ends by itself, within a minute
func endsCmd(ts *testscript.TestScript, neg bool, args []string) {
	a := agentOf(ts)
	within := time.Minute
	if args[0] != "-" {
		within = 20 * time.Second
		ts.Check(a.cmd.Process.Signal(signals[args[0]]))
	}
	begin := time.Now()
	var err error
	select {
	case err = <-a.ended:
	case <-time.After(within):
		ts.Fatalf("still running after %s:\n%s", within, a.output)
	}
	ts.Logf("ended after %s", time.Since(begin).Round(time.Millisecond))
	ts.Check(os.WriteFile(ts.MkAbs("agent.log"), []byte(a.output.String()), 0o600))
	code := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	}
	if strconv.Itoa(code) != args[1] {
		ts.Fatalf("exit code %d, want %s:\n%s", code, args[1], a.output)
	}
	if s, err := a.status(ts); args[0] != "KILL" && !errors.Is(err, os.ErrNotExist) {
		ts.Fatalf("the status file was left behind: %+v, %v", s, err)
	}
}

// exitsCmd runs a program and checks its exit code: exits 17 PROGRAM [ARG…]
func exitsCmd(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	code := 0
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("%s ended with %d, want exit code %s\n%s%s", args[1], code, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// untilCmd runs a command of the PATH until it succeeds, or with ! fails.
func untilCmd(ts *testscript.TestScript, neg bool, args []string) {
	if !eventually(func() bool { return (ts.Exec(args[0], args[1:]...) == nil) != neg }) {
		ts.Fatalf("never came true: %s\n%s", strings.Join(args, " "), ts.ReadFile("stderr"))
	}
}

// enrollsCmd runs the module on the agent's host and checks its state:
//
//	enrolls STATE[|STATE] [OPTION=JSON…]
func enrollsCmd(ts *testscript.TestScript, neg bool, args []string) {
	host := ts.Getenv("HOST")
	options := map[string]any{
		"config_path": host + "/etc/config.yaml", "state_dir": host + "/state", "wait": false, "lock_timeout": "30",
		"manager_url": ts.Getenv("MANAGER_URL"), "manager_ca_path": ts.Getenv("MANAGER_CA"),
	}
	for _, arg := range args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		var v any
		if err := json.Unmarshal([]byte(value), &v); err != nil {
			v = value
		}
		options[name] = v
	}
	raw, err := json.Marshal(options)
	ts.Check(err)
	cmd := exec.Command(bin.Path("enrollment"), "-")
	cmd.Stdin = bytes.NewReader(raw)
	out, err := cmd.Output()
	var result struct{ State, Msg string }
	if jsonErr := json.Unmarshal(out, &result); jsonErr != nil || err != nil || !slices.Contains(strings.Split(args[0], "|"), result.State) {
		ts.Fatalf("state %q, want %q: %v\n%s", result.State, args[0], err, out)
	}
}

// noSecretCmd fails where the polling token of config.yaml, kept before in a
// file, is found elsewhere: nosecret TOKENFILE FILE…
func noSecretCmd(ts *testscript.TestScript, neg bool, args []string) {
	m := regexp.MustCompile(`polling_token: "?([A-Za-z0-9]{20,})`).FindStringSubmatch(ts.ReadFile(args[0]))
	if m == nil {
		ts.Fatalf("%s holds no token", args[0])
	}
	for _, file := range args[1:] {
		if strings.Contains(ts.ReadFile(file), m[1]) {
			ts.Fatalf("%s holds the token", file)
		}
	}
}

func eventually(done func() bool) bool {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if done() {
			return true
		}
	}
	return done()
}

// scriptTB lets a script's command use what is made for tests.
type scriptTB struct {
	testing.TB
	ts *testscript.TestScript
}

func (t scriptTB) Helper()                   {}
func (t scriptTB) Fatal(args ...any)         { t.ts.Fatalf("%s", fmt.Sprint(args...)) }
func (t scriptTB) Fatalf(f string, a ...any) { t.ts.Fatalf(f, a...) }
