package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// managerCmd starts a real reference manager for the rest of the script:
//
//	manager [FLAG…]
//
// It sets MANAGER_URL, MANAGER_CA and MANAGER_DATA.
func managerCmd(ts *testscript.TestScript, neg bool, args []string) {
	data := ts.MkAbs("manager-data")
	url := ts.MkAbs("manager-url")
	ts.Check(os.RemoveAll(url))
	cmd := exec.Command(bin.Path("linux_patch_manager"),
		append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--url-file", url}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
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
		ts.Fatalf("the manager did not start: %s", out.String())
	}
	ts.Setenv("MANAGER_URL", address)
	ts.Setenv("MANAGER_DATA", data)
	ts.Setenv("MANAGER_CA", filepath.Join(data, "ca.pem"))
}

// layOut makes the script's host directory anew: config.yaml names every path
// in it, so that nothing of the real host is touched.
func layOut(host string) error {
	if err := os.RemoveAll(host); err != nil {
		return err
	}
	if err := os.MkdirAll(host+"/etc", 0o755); err != nil {
		return err
	}
	config := fmt.Sprintf(`# Agent configuration
tls:
  ca_cert: %[1]s/certs/ca.pem
  server_cert: %[1]s/certs/server.pem
  server_key: %[1]s/certs/server.key.pem
  crl_path: %[1]s/certs/crl.pem
whitelist:
  path: %[1]s/etc/whitelist.yaml
logging:
  file_path: %[1]s/audit.log
`, host)
	return os.WriteFile(host+"/etc/config.yaml", []byte(config), 0o640)
}

// hostCmd gives the script a host that never was enrolled.
func hostCmd(ts *testscript.TestScript, neg bool, args []string) { ts.Check(layOut(ts.Getenv("HOST"))) }

// argsCmd writes a file of arguments for the script's host:
//
//	args FILE [OPTION=JSON…]
//
// A value that is not JSON is a string.
func argsCmd(ts *testscript.TestScript, neg bool, args []string) {
	host := ts.Getenv("HOST")
	options := map[string]any{
		"config_path": host + "/etc/config.yaml", "state_dir": host + "/state",
		"fqdn": "web1.example.com", "report_ip": "127.0.0.1", "wait": false,
		"polling_interval_seconds": 1,
	}
	if url := ts.Getenv("MANAGER_URL"); url != "" {
		options["manager_url"] = url
		if ca := ts.Getenv("MANAGER_CA"); ca != "" {
			options["manager_ca_path"] = ca
		}
	}
	for _, arg := range args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		var v any
		if err := json.Unmarshal([]byte(value), &v); err != nil {
			v = value
		}
		if v == nil {
			delete(options, name)
			continue
		}
		options[name] = v
	}
	raw, err := json.Marshal(options)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), raw, 0o600))
}

// resultCmd checks the one JSON object that the last command printed:
//
//	result PATH PATTERN     the value at the dotted path matches the whole pattern
//	! result PATH           there is no such value, or it is empty
func resultCmd(ts *testscript.TestScript, neg bool, args []string) {
	out := ts.ReadFile("stdout")
	if strings.Count(strings.TrimRight(out, "\n"), "\n") != 0 {
		ts.Fatalf("more than one line on stdout: %s", out)
	}
	if stderr := ts.ReadFile("stderr"); stderr != "" {
		ts.Fatalf("something on stderr: %s", stderr)
	}
	var v any
	ts.Check(json.Unmarshal([]byte(out), &v))
	got := lookup(v, strings.Split(args[0], "."))
	if neg {
		if got != "" && got != "null" && got != "[]" {
			ts.Fatalf("%s is %s", args[0], got)
		}
		return
	}
	if !regexp.MustCompile(`(?s)^(?:` + args[1] + `)$`).MatchString(got) {
		ts.Fatalf("%s is %s, want %s\n%s", args[0], got, args[1], out)
	}
}

func lookup(v any, path []string) string {
	for _, name := range path {
		switch node := v.(type) {
		case map[string]any:
			v = node[name]
		case []any:
			if i, err := strconv.Atoi(name); err == nil && i < len(node) {
				v = node[i]
			} else {
				v = nil
			}
		default:
			v = nil
		}
	}
	if s, ok := v.(string); ok {
		return s
	}
	if v == nil {
		return ""
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// exitsCmd runs a program and checks its exit code: exits 17 PROGRAM [ARG…]
func exitsCmd(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || strconv.Itoa(exit.ExitCode()) != args[0] {
		ts.Fatalf("%s ended with %v, want exit code %s\n%s", args[1], err, args[0], ts.ReadFile("stdout"))
	}
}

// modeCmd checks permission bits: mode FILE 0600.
func modeCmd(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Lstat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// secretCmd fails where the polling token or a private key is found outside of
// the files that are to hold it:
//
//	secret token FILE…   the token that the state directory or config.yaml holds is in none of FILE
//	secret key FILE…     the same for the host's private key
//
// stdout and stderr stand for the last command's output.
func secretCmd(ts *testscript.TestScript, neg bool, args []string) {
	var needles []string
	if args[0] == "token" {
		raw, err := os.ReadFile(filepath.Join(ts.Getenv("HOST"), "state", "token"))
		ts.Check(err)
		var record struct{ Token string }
		ts.Check(json.Unmarshal(raw, &record))
		needles = []string{record.Token}
	} else {
		raw, err := os.ReadFile(filepath.Join(ts.Getenv("HOST"), "certs", "server.key.pem"))
		ts.Check(err)
		for _, line := range strings.Split(string(raw), "\n") {
			if len(line) > 20 && !strings.Contains(line, "PRIVATE KEY") {
				needles = append(needles, line)
			}
		}
	}
	if len(needles) == 0 || len(needles[0]) < 20 {
		ts.Fatalf("there is no %s to look for", args[0])
	}
	for _, file := range args[1:] {
		text := ts.ReadFile(file)
		for _, needle := range needles {
			if strings.Contains(text, needle) {
				ts.Fatalf("%s holds the %s", file, args[0])
			}
		}
	}
}

// signalCmd runs the program until a file holds a text, signals it, and checks
// that it ends soon, which on a busy machine takes seconds:
//
//	signal TERM FILE[:TEXT] PROGRAM [ARG…]
//
// Its output becomes the file signal.out.
func signalCmd(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}
	cmd := exec.Command(filepath.Join(ts.Getenv("PROGRAMS"), args[2]), args[3:]...)
	cmd.Dir = ts.Getenv("WORK")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	ts.Check(cmd.Start())
	file, text, _ := strings.Cut(args[1], ":")
	if !eventually(func() bool {
		raw, err := os.ReadFile(ts.MkAbs(file))
		return err == nil && bytes.Contains(raw, []byte(text))
	}) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		ts.Fatalf("%s did not appear: %s", args[1], out.String())
	}
	ts.Check(cmd.Process.Signal(signals[args[0]]))
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill()
		ts.Fatalf("still running 20 s after SIG%s", args[0])
	}
	if errs.Len() > 0 {
		ts.Fatalf("something on stderr: %s", errs.String())
	}
	ts.Check(os.WriteFile(ts.MkAbs("signal.out"), out.Bytes(), 0o600))
}

// untilCmd runs a command of the PATH until it succeeds.
func untilCmd(ts *testscript.TestScript, neg bool, args []string) {
	if !eventually(func() bool { return ts.Exec(args[0], args[1:]...) == nil }) {
		ts.Fatalf("never succeeded: %s", strings.Join(args, " "))
	}
}

// snapshotCmd notes everything below a directory, or compares it with what was
// noted, names, modes, times and contents:
//
//	snapshot take DIR
//	snapshot same DIR
func snapshotCmd(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.MkAbs(args[1])
	noted := ts.MkAbs(".snapshot-" + filepath.Base(dir))
	now := map[string]string{}
	ts.Check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		entry := fmt.Sprintf("%v %v", info.Mode(), info.ModTime().UnixNano())
		if d.Type().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			entry += fmt.Sprintf(" %x", content)
		}
		now[path] = entry
		return nil
	}))
	if args[0] == "take" {
		raw, err := json.Marshal(now)
		ts.Check(err)
		ts.Check(os.WriteFile(noted, raw, 0o600))
		return
	}
	raw, err := os.ReadFile(noted)
	ts.Check(err)
	before := map[string]string{}
	ts.Check(json.Unmarshal(raw, &before))
	for _, path := range slices.Sorted(maps.Keys(now)) {
		if before[path] != now[path] {
			ts.Fatalf("%s was made or changed", path)
		}
	}
	for path := range before {
		if _, ok := now[path]; !ok {
			ts.Fatalf("%s is gone", path)
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
