package main_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/approval"
	"github.com/linux-patch/enroll/internal/testbuild"
)

var bin *testbuild.Programs

func TestMain(m *testing.M) { os.Exit(build(m)) }

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "admin")
	if err == nil {
		defer os.RemoveAll(dir)
		const all = "github.com/linux-patch/enroll/internal/cmd/"
		bin, err = testbuild.Build(dir, "", all+"enrollment_admin", all+"linux_patch_manager")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return bin.Verdict(m.Run())
}

// lab is a running manager, and an administrator's arguments for it.
type lab struct {
	t         testing.TB
	dir, url  string
	stop      func()
	http      *http.Client
	arguments map[string]any
	hosts     int
}

const password = "CANARY-password-of-the-robot"

func newLab(t testing.TB, flags ...string) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir()}
	l.start(flags...)
	l.manage("add-account", "robot", "--password-file", l.file("password", password))
	l.arguments = map[string]any{
		"manager_url": l.url, "manager_ca_path": l.path("m/ca.pem"), "username": "robot", "password": password,
		"lock_dir": l.dir,
	}
	return l
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

func (l *lab) file(name, content string) string {
	must(l.t, os.WriteFile(l.path(name), []byte(content), 0o600))
	return l.path(name)
}

// start runs the manager until the test ends. It keeps its address.
func (l *lab) start(flags ...string) {
	l.t.Helper()
	listen := strings.TrimPrefix(l.url, "https://")
	if l.url == "" {
		listen = freeAddress(l.t)
	}
	_ = os.Remove(l.path("url"))
	cmd := exec.Command(bin.Path("linux_patch_manager"), append([]string{"serve", "--data", l.path("m"), "--listen", listen, "--url-file", l.path("url")}, flags...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(l.t, cmd.Start())
	l.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	l.t.Cleanup(l.stop)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for l.url = ""; l.url == ""; {
		select {
		case <-tick.C:
			raw, _ := os.ReadFile(l.path("url"))
			l.url = strings.TrimSpace(string(raw))
		case <-late:
			l.t.Fatal("the manager does not listen after a minute")
		}
	}
	ca, err := os.ReadFile(l.path("m/ca.pem"))
	must(l.t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	l.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 30 * time.Second}
	l.t.Cleanup(l.http.CloseIdleConnections)
}

// freeAddress is below the ports of which the kernel gives one to anyone who asks
// for any: it stays free while its server is away.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+mathrand.IntN(20_000))
		if listener, err := net.Listen("tcp", address); err == nil {
			must(t, listener.Close())
			return address
		}
	}
	t.Fatal("got no free address, want one")
	return ""
}

// manage runs a verb of the reference manager.
func (l *lab) manage(verb string, args ...string) {
	l.t.Helper()
	out, err := exec.Command(bin.Path("linux_patch_manager"), append([]string{verb, "--data", l.path("m")}, args...)...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s: %v\n%s", verb, err, out)
	}
}

// host is one host as the manager and the inventory know it.
type host struct {
	l                                 *lab
	name, machine, fqdn, ip, expected string
	token, proof, id                  string
	addresses                         any
	change                            func(evidence map[string]any)
	repairs                           int
}

// host makes a host that has not registered.
func (l *lab) host(name string) *host {
	machine := make([]byte, 16)
	_, _ = rand.Read(machine)
	h := &host{l: l, name: name, machine: hex.EncodeToString(machine), fqdn: name + ".example.com", expected: name + ".example.com"}
	l.hosts++
	h.ip = fmt.Sprintf("198.18.%d.%d", l.hosts/250, 1+l.hosts%250)
	h.addresses = []string{h.ip}
	return h
}

// post registers, and returns the answer's status.
func (h *host) post() int {
	h.l.t.Helper()
	nonce := make([]byte, 32)
	_, _ = rand.Read(nonce)
	h.proof = approval.Proof(h.machine, nonce)
	return h.send()
}

func (h *host) send() int {
	h.l.t.Helper()
	body, err := json.Marshal(map[string]any{
		"machine_id": h.machine, "fqdn": h.fqdn, "hostname": "h", "ip_address": h.ip, "ip_addresses": []string{h.ip},
		"os_details": map[string]string{"name": "Debian", "enrollment_proof": h.proof},
	})
	must(h.l.t, err)
	resp, err := h.l.http.Post(h.l.url+"/api/v1/enroll", "application/json", bytes.NewReader(body))
	must(h.l.t, err)
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"polling_token"`
	}
	raw, err := io.ReadAll(resp.Body)
	must(h.l.t, err)
	if resp.StatusCode == http.StatusAccepted {
		must(h.l.t, json.Unmarshal(raw, &answer))
		h.token = answer.Token
	}
	return resp.StatusCode
}

func (l *lab) registered(name string) *host {
	l.t.Helper()
	h := l.host(name)
	if code := h.post(); code != http.StatusAccepted {
		l.t.Fatalf("registration of %s: %d", name, code)
	}
	return h
}

// entry is what the controller says of the host.
func (h *host) entry() map[string]any {
	request := map[string]any{"proof": h.proof, "inventory_hostname": h.name, "connection": "verified", "token_sha256": ""}
	if h.token != "" {
		request["token_sha256"] = approval.TokenSHA256(h.token)
	}
	evidence := map[string]any{
		"state": "pending", "machine_id": h.machine, "request": request, "manager": map[string]any{"verified_by": "manager_ca_path"},
	}
	if h.change != nil {
		h.change(evidence)
	}
	e := map[string]any{"name": h.name, "fqdn": h.expected, "evidence": evidence, "repairs": h.repairs}
	if h.addresses != nil {
		e["addresses"] = h.addresses
	}
	if h.id != "" {
		e["request_id"] = h.id
	}
	return e
}

// poll asks for the host's bundle and returns the answer's body.
func (h *host) poll() string {
	h.l.t.Helper()
	resp, err := h.l.http.Get(h.l.url + "/api/v1/enroll/status/" + h.token)
	must(h.l.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(h.l.t, err)
	return string(raw)
}

// report is what the program answered.
type report struct {
	Changed, Failed bool
	Msg             string
	Results         map[string]struct {
		Decision, Reason string
		Refused          bool
		RequestID        string `json:"request_id"`
		MatchedBy        string `json:"matched_by"`
		RegisterAgain    bool   `json:"register_again"`
		Repairs          int
		Twin             string
		Existing         *struct{ ID, FQDN string }
		Suspects         []struct {
			ID   string `json:"request_id"`
			FQDN string
			Same []string
		}
		SuspectCount int `json:"suspect_count"`
	}
	Counts        map[string]int
	UnclaimedRows struct{ Count int } `json:"unclaimed_rows"`
	Requests      map[string]int
	Enrollments   struct {
		Total int
		Rows  []map[string]any
	}
	Audit    []map[string]string
	Warnings []string
	Error    struct{ Code, Hint string }
	Bundle   struct {
		Key string `json:"server_key"`
	}
	exit int
	raw  string
	// rss is the most memory that the program had, in MB.
	rss int64
}

// run calls the program, with more or other arguments.
func (l *lab) run(command string, more map[string]any, flags ...string) report {
	l.t.Helper()
	arguments := map[string]any{"_ansible_evidence_marked": true}
	for _, m := range []map[string]any{l.arguments, more} {
		for name, value := range m {
			if value != nil {
				arguments[name] = value
			} else {
				delete(arguments, name)
			}
		}
	}
	raw, err := json.Marshal(arguments)
	must(l.t, err)
	cmd := exec.Command(bin.Path("enrollment_admin"), append(flags, command, "-")...)
	cmd.Env = []string{}
	cmd.Stdin = bytes.NewReader(raw)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	r := report{raw: string(out)}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.rss = usage.Maxrss / 1024
	}
	if exited := (*exec.ExitError)(nil); errors.As(err, &exited) {
		r.exit = exited.ExitCode()
	} else {
		must(l.t, err)
	}
	if stderr.Len() > 0 || bytes.Count(out, []byte("\n")) != 1 || json.Unmarshal(out, &r) != nil {
		l.t.Fatalf("got %s on standard output and %s on standard error, want one JSON object", out, stderr.String())
	}
	l.noSecrets(string(out))
	return r
}

// noSecrets fails where a text holds what no one may see.
func (l *lab) noSecrets(text string) {
	l.t.Helper()
	if strings.Contains(text, password) || strings.Contains(text, `"refresh_token":`) || strings.Contains(text, `"access_token":`) {
		l.t.Errorf("got a secret in %s", text)
	}
}

// approve decides on hosts.
func (l *lab) approve(more map[string]any, hosts ...*host) report {
	l.t.Helper()
	entries := []any{}
	for _, h := range hosts {
		entries = append(entries, h.entry())
	}
	all := map[string]any{"hosts": entries}
	for name, value := range more {
		all[name] = value
	}
	return l.run("approve", all)
}

// want fails unless a host met a decision.
func (r report) want(t *testing.T, h *host, decision string) {
	t.Helper()
	if got := r.Results[h.name]; got.Decision != decision {
		t.Errorf("%s: got %s (%s; %s), want %s", h.name, got.Decision, got.Reason, r.Msg, decision)
	}
}

// waiting lists the names of the requests that wait at the manager.
func (l *lab) waiting() []string {
	l.t.Helper()
	var names []string
	for _, row := range l.run("requests", nil).Enrollments.Rows {
		name, _ := row["fqdn"].(string)
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// calls counts the requests that the manager logged with a text in them.
func (l *lab) calls(text string) int {
	l.t.Helper()
	raw, err := os.ReadFile(l.path("m/access.log"))
	must(l.t, err)
	return strings.Count(string(raw), text)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
