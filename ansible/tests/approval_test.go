package tests

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// plant registers as a stranger would: plant MACHINE-ID FQDN ADDRESS. The
// machine-id "mine" is this machine's own.
func plant(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: plant MACHINE-ID FQDN ADDRESS")
	}
	if args[0] == "mine" {
		raw, err := os.ReadFile("/etc/machine-id")
		ts.Check(err)
		args[0] = strings.TrimSpace(string(raw))
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ts.ReadFile(ts.Getenv("MANAGER_CA"))))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	// What it says of its system speaks to terminals and to templates.
	const system = `{"name":"\u001b[2J{{ lookup('pipe', 'touch pwned') }}","version":"{% raw %}"}`
	body := fmt.Sprintf(`{"machine_id":%q,"fqdn":%q,"ip_address":%q,"os_details":%s}`, args[0], args[1], args[2], system)
	resp, err := (&http.Client{Transport: transport, Timeout: 30 * time.Second}).Post(ts.Getenv("MANAGER_URL")+"/api/v1/enroll", "application/json", strings.NewReader(body))
	ts.Check(err)
	resp.Body.Close()
	if (resp.StatusCode == http.StatusAccepted) == neg {
		ts.Fatalf("planting %s: %s", args[1], resp.Status)
	}
}

// administrator puts an account into the environment, as an execution environment
// would, and remembers its secrets for leaks: administrator [totp]. Without totp it
// is the manager's own account.
func administrator(ts *testscript.TestScript, neg bool, args []string) {
	data := ts.Getenv("MANAGER_DATA")
	name, password := "admin", strings.TrimSpace(ts.ReadFile(data+"/admin.token"))
	if len(args) > 0 {
		name, password = "robot", "password-of-the-robot"
		ts.Check(os.WriteFile(ts.MkAbs(".password"), []byte(password), 0o600))
		ts.Check(ts.Exec(filepath.Join(programs, "linux_patch_manager"), "add-account", "--data", data, name, "--password-file", ts.MkAbs(".password"), "--new-totp-file", ts.MkAbs(".totp")))
		seed := strings.TrimSpace(ts.ReadFile(".totp"))
		ts.Setenv("LINUX_PATCH_MANAGER_TOTP_SECRET", seed)
		ts.Check(keep(ts, seed))
	}
	ts.Setenv("LINUX_PATCH_MANAGER_USERNAME", name)
	ts.Setenv("LINUX_PATCH_MANAGER_PASSWORD", password)
	ts.Check(keep(ts, password))
}

// keep remembers a secret for leaks.
func keep(ts *testscript.TestScript, secret string) error {
	f, err := os.OpenFile(ts.MkAbs(".secrets"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, secret)
	return err
}

// tokens remembers for leaks, until the script ends, each token that a session
// file holds: tokens PATTERN. With ! it checks that at least two were seen.
func tokens(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		if seen, err := os.ReadFile(ts.MkAbs(".tokens")); err != nil || len(seen) < 2 {
			ts.Fatalf("%d tokens were seen in session files, want two", len(seen))
		}
		return
	}
	pattern, seen := ts.MkAbs(args[0]), map[string]bool{}
	look := func() {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			var session map[string]any
			raw, err := os.ReadFile(file)
			if err != nil || json.Unmarshal(raw, &session) != nil {
				continue // it is being written, or gone
			}
			for _, name := range []string{"access_token", "refresh_token"} {
				if token, _ := session[name].(string); token != "" && !seen[token] {
					seen[token] = true
					// The check with ! fails where either cannot be written.
					if keep(ts, token) == nil {
						_ = os.WriteFile(ts.MkAbs(".tokens"), make([]byte, len(seen)), 0o600)
					}
				}
			}
		}
	}
	ended, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-ended:
				return
			case <-time.After(20 * time.Millisecond):
				look()
			}
		}
	}()
	ts.Defer(func() {
		close(ended)
		<-stopped
	})
}

// killed runs a command and kills it, and all that it started, when the manager
// was called for a text that many times: killed COUNT TEXT COMMAND...
func killed(ts *testscript.TestScript, neg bool, args []string) {
	count, err := strconv.Atoi(args[0])
	ts.Check(err)
	program := args[2]
	if found := filepath.Join(ansible, program); program == "ansible-playbook" {
		program = found
	}
	cmd := exec.Command(program, args[3:]...)
	cmd.Dir, cmd.SysProcAttr = ts.MkAbs("."), &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	for _, name := range []string{
		"PATH", "HOME", "HOST", "WORK", "MANAGER_URL", "MANAGER_CA", "ANSIBLE_CONFIG", "ANSIBLE_HOME", "LC_ALL",
		"LINUX_PATCH_MANAGER_USERNAME", "LINUX_PATCH_MANAGER_PASSWORD", "LINUX_PATCH_MANAGER_TOTP_SECRET",
	} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	out, err := os.Create(ts.MkAbs("killed.log"))
	ts.Check(err)
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		log, _ := os.ReadFile(ts.Getenv("MANAGER_DATA") + "/access.log")
		if strings.Count(string(log), args[1]) >= count {
			break
		}
		select {
		case err := <-ended:
			ts.Fatalf("it ended before it was killed: %v\n%s", err, ts.ReadFile("killed.log"))
		case <-time.After(5 * time.Millisecond):
		}
	}
	// Each worker is in a process group of its own from Ansible 2.19 on.
	for _, pid := range descendants(cmd.Process.Pid) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-ended
}

// descendants are a process and all that it started, the first of them first.
func descendants(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		for _, file := range files {
			raw, _ := os.ReadFile(file)
			for _, word := range strings.Fields(string(raw)) {
				if child, err := strconv.Atoi(word); err == nil {
					all = append(all, child)
				}
			}
		}
	}
	return all
}

// called checks how often the manager was called: called COUNT TEXT
func called(ts *testscript.TestScript, neg bool, args []string) {
	log := ts.ReadFile(ts.Getenv("MANAGER_DATA") + "/access.log")
	if got := fmt.Sprint(strings.Count(log, args[1])); (got == args[0]) == neg {
		ts.Fatalf("%s was called %s times, want %s:\n%s", args[1], got, args[0], log)
	}
}
