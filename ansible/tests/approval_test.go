package tests

import (
	"bytes"
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
	"go.etcd.io/bbolt"
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

// junk makes of each request that waits at a manager that does not run that many
// more: junk COUNT. Each has an id, a machine-id, a name and a token's hash of its own.
func junk(ts *testscript.TestScript, neg bool, args []string) {
	count, err := strconv.Atoi(args[0])
	ts.Check(err)
	db, err := bbolt.Open(filepath.Join(ts.Getenv("MANAGER_DATA"), "manager.db"), 0o600, &bbolt.Options{Timeout: 10 * time.Second})
	ts.Check(err)
	defer db.Close()
	ts.Check(db.Update(func(tx *bbolt.Tx) error {
		var rows [][]byte
		_ = tx.Bucket([]byte("pending")).ForEach(func(_, row []byte) error {
			rows = append(rows, bytes.Clone(row))
			return nil
		})
		for _, row := range rows {
			for i := range count {
				if err := copyRequest(tx, row, i); err != nil {
					return err
				}
			}
		}
		return nil
	}))
}

// copyRequest stores a request anew, in all places that lead to it.
func copyRequest(tx *bbolt.Tx, raw []byte, number int) error {
	var row struct {
		ID      string    `json:"id"`
		Machine string    `json:"machine_id"`
		FQDN    string    `json:"fqdn"`
		Token   string    `json:"token_hash"`
		Expires time.Time `json:"expires_at"`
	}
	if err := json.Unmarshal(raw, &row); err != nil {
		return err
	}
	id, machine, token := fmt.Sprintf("ffffffff-0000-4000-8000-%012x", number), fmt.Sprintf("f%031x", number), fmt.Sprintf("f%063x", number)
	copied := strings.NewReplacer(row.ID, id, row.Machine, machine, row.Token, token, row.FQDN, fmt.Sprintf("junk%d.example.org", number)).Replace(string(raw))
	for _, place := range []struct{ bucket, key, value string }{
		{"pending", id, copied},
		{"pending_by_token", token, id},
		{"pending_by_machine", machine, id},
		{"pending_by_expiry", row.Expires.UTC().Format("2006-01-02T15:04:05.000000000Z") + id, id},
	} {
		if err := tx.Bucket([]byte(place.bucket)).Put([]byte(place.key), []byte(place.value)); err != nil {
			return err
		}
	}
	return nil
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
func killed(ts *testscript.TestScript, neg bool, args []string) { stopped(ts, args, syscall.SIGKILL) }

// interrupted is killed by a person who types ctrl-C.
func interrupted(ts *testscript.TestScript, neg bool, args []string) {
	stopped(ts, args, syscall.SIGINT)
}

func stopped(ts *testscript.TestScript, args []string, signal syscall.Signal) {
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
	if signal == syscall.SIGINT {
		ts.Check(syscall.Kill(-cmd.Process.Pid, signal))
		<-ended
		return
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
