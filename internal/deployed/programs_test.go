package deployed_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/deployed"
	"github.com/linux-patch/enroll/internal/testbuild"
)

// bin holds the built programs.
var bin *testbuild.Programs

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	// Enrollment refuses directories that a group may write.
	syscall.Umask(0o022)
	dir, err := os.MkdirTemp("", "deployed-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if bin, err = testbuild.Build(dir, "-s -w", "../../module/enrollment", "../cmd/linux_patch_api", "../cmd/linux_patch_manager"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return bin.Verdict(m.Run())
}

const machineID = "0123456789abcdef0123456789abcdef"

// site is a manager with a gateway in front of it, and a host of its own.
type site struct {
	t       *testing.T
	manager *deployed.Manager
	gateway *deployed.Gateway
	url     string
	dir     string
	options map[string]any
	// within is the host's network; nil is this machine's.
	within *deployed.Network
}

// newSite starts a manager at an address, and lays a host out.
func newSite(t *testing.T, listen, name string) *site {
	t.Helper()
	m, err := deployed.NewManager()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	at := ln.Addr().(*net.TCPAddr)
	cert, err := m.Certificate(name, at.IP)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, manager: m, gateway: &deployed.Gateway{Manager: m}, dir: t.TempDir()}
	server := httptest.NewUnstartedServer(s.gateway)
	server.Listener.Close()
	server.Listener = ln
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	s.url = fmt.Sprintf("https://%s:%d", name, at.Port)
	s.layOut()
	return s
}

// layOut makes the host's files, with a config.yaml of the deployed kind.
func (s *site) layOut() {
	s.t.Helper()
	if err := os.Chmod(s.dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := deployed.Install(s.dir, os.Getuid(), os.Getgid()); err != nil {
		s.t.Fatal(err)
	}
	for _, dir := range []string{"run", "var", "var/log", "var/log/linux_patch_api"} {
		if err := os.Mkdir(s.path(dir), 0o755); err != nil {
			s.t.Fatal(err)
		}
	}
	s.write("manager-ca.pem", s.manager.CA())
	s.options = map[string]any{
		"manager_url": s.url, "manager_ca_path": s.path("manager-ca.pem"), "config_path": s.path("etc/linux_patch_api/config.yaml"),
		"state_dir": s.path("state"), "wait": false, "polling_interval_seconds": 1,
	}
	s.writeOptions()
	// Its own CRL file, which the deployed example leaves to the default.
	text := s.read("etc/linux_patch_api/config.yaml")
	text = strings.Replace(text, "certs/server.key\"\n", "certs/server.key\"\n  crl_path: \""+s.path("etc/linux_patch_api/certs/crl.pem")+"\"\n", 1)
	text = strings.Replace(text, "polling_interval_seconds: 60", "polling_interval_seconds: 1", 1)
	text = strings.Replace(text, "https://manager.example.com/api/v1/enroll", s.url+"/api/v1/enroll", 1)
	s.write("etc/linux_patch_api/config.yaml", strings.Replace(text, "  polling_token: \"your-enrollment-token-here\"\n", "", 1))
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) read(name string) string {
	s.t.Helper()
	raw, err := os.ReadFile(s.path(name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(raw)
}

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) command(program string, args ...string) *exec.Cmd {
	if s.within != nil {
		return s.within.Command(s.t, bin.Path(program), args...)
	}
	return exec.CommandContext(s.t.Context(), bin.Path(program), args...)
}

// result is what the module says.
type result struct {
	State, Msg string
	Failed     bool
	Warnings   []string
	Manager    struct{ URL, IP string }
	MachineID  string `json:"machine_id"`
	Error      struct{ Code, Hint string }
}

func (r result) String() string {
	return fmt.Sprintf("%s: %s (%s) %q", r.State, r.Msg, r.Error.Code, r.Warnings)
}

// module runs the module with further options.
func (s *site) module(further map[string]any) result {
	s.t.Helper()
	options := map[string]any{}
	for _, from := range []map[string]any{s.options, further} {
		for name, value := range from {
			options[name] = value
		}
	}
	raw, err := json.Marshal(options)
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := s.command("enrollment", "-")
	cmd.Stdin = bytes.NewReader(raw)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	var r result
	if err := json.Unmarshal(out, &r); err != nil {
		s.t.Fatalf("%v: got %s, want no error", err, out)
	}
	return r
}

// must runs the module and checks the state that it says.
func (s *site) must(state string) result {
	s.t.Helper()
	r := s.module(nil)
	if r.State != state || r.Failed {
		s.t.Fatalf("got %v, want %s", r, state)
	}
	return r
}

// approve approves the host's request, the only one.
func (s *site) approve() deployed.Request {
	s.t.Helper()
	requests := s.manager.Requests()
	if len(requests) == 0 {
		s.t.Fatal("got no request, want one")
	}
	last := requests[len(requests)-1]
	if err := s.manager.Approve(last.MachineID); err != nil {
		s.t.Fatal(err)
	}
	return last
}

// deployedAgentStarts checks that the deployed agent takes the host's files, and
// lets the manager in, if there is one yet.
func (s *site) deployedAgentStarts(manager netip.Addr) {
	s.t.Helper()
	if _, err := deployed.ParseConfig([]byte(s.read("etc/linux_patch_api/config.yaml"))); err != nil {
		s.t.Errorf("config.yaml: got %v, want a deployed agent to start", err)
	}
	w, err := deployed.ParseWhitelist([]byte(s.read("etc/linux_patch_api/whitelist.yaml")))
	if err != nil {
		s.t.Errorf("whitelist.yaml: got %v, want a deployed agent to take it", err)
	} else if manager.IsValid() && !w.Allows(manager) {
		s.t.Errorf("got a whitelist without %s, want the manager let in", manager)
	}
}

var loopback = netip.MustParseAddr("127.0.0.1")

// managers are the versions in use: see docs/DEPLOYED.md.
var managers = map[string]func(*deployed.Manager){
	"dialect 1":                   func(*deployed.Manager) {},
	"dialect 1, newer bundles":    func(m *deployed.Manager) { m.Newer = true },
	"dialect 1, old certificates": func(m *deployed.Manager) { m.Old = true },
	"dialect 2":                   func(m *deployed.Manager) { m.Dialect2 = true },
	"dialect 2, newer bundles":    func(m *deployed.Manager) { m.Dialect2, m.Newer = true, true },
}

func TestModuleEnrollsAtDeployedManagers(t *testing.T) {
	for name, version := range managers {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "127.0.0.1:0", "127.0.0.1")
			version(s.manager)
			s.must("pending")
			s.must("pending")
			s.deployedAgentStarts(netip.Addr{})
			s.approve()
			s.must("enrolled")
			s.deployedAgentStarts(loopback)
			asked := len(s.gateway.Asked())
			s.must("enrolled")
			if got := len(s.gateway.Asked()); got != asked {
				t.Errorf("got %d requests of an enrolled host, want none", got-asked)
			}
		})
	}
}

// agent is linux_patch_api on the host.
type agent struct {
	*site

	cmd *exec.Cmd
	out bytes.Buffer
}

func (s *site) startAgent(args ...string) *agent {
	s.t.Helper()
	return s.launch(s.command("linux_patch_api", append(s.agentArgs(), args...)...))
}

// startAgentOf starts an agent of another version.
func (s *site) startAgentOf(path string) *agent {
	s.t.Helper()
	return s.launch(exec.CommandContext(s.t.Context(), path, s.agentArgs()...))
}

func (s *site) agentArgs() []string {
	return []string{
		"--config", s.path("etc/linux_patch_api/config.yaml"), "--state-dir", s.path("state"), "--status-file", s.path("run/status.json"),
		"--listen", "127.0.0.1:0", "--enroll-ca", s.path("manager-ca.pem"),
	}
}

func (s *site) launch(cmd *exec.Cmd) *agent {
	s.t.Helper()
	a := &agent{site: s, cmd: cmd}
	a.cmd.Stdout, a.cmd.Stderr = &a.out, &a.out
	if err := a.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(a.stop)
	return a
}

// untilDone waits until something is so, and does something meanwhile.
func (a *agent) untilDone(done func() bool, meanwhile func()) {
	a.t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		meanwhile()
		if time.Now().After(end) {
			a.stop()
			a.t.Fatalf("the agent does not end it:\n%s", a.out.String())
		}
	}
}

// writeOptions writes the module's arguments file.
func (s *site) writeOptions() {
	s.t.Helper()
	raw, err := json.Marshal(s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write("args.json", string(raw))
}

// stop ends the agent; its log may be read then.
func (a *agent) stop() {
	if a.cmd.ProcessState == nil {
		_ = a.cmd.Process.Signal(syscall.SIGTERM)
		_ = a.cmd.Wait()
	}
}

// until waits until the agent says that it is in a state, and returns where it
// listens.
func (a *agent) until(state string) netip.AddrPort {
	a.t.Helper()
	var status struct{ State, Listen string }
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		raw, err := os.ReadFile(a.path("run/status.json"))
		if err == nil && json.Unmarshal(raw, &status) == nil && status.State == state {
			at, _ := netip.ParseAddrPort(status.Listen)
			return at
		}
	}
	a.stop()
	a.t.Fatalf("got state %q, want %q\n%s", status.State, state, a.out.String())
	return netip.AddrPort{}
}

// waitRequest waits for a request to be registered.
func (s *site) waitRequest() {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); len(s.manager.Requests()) == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatal("got no request, want one")
		}
	}
}

func TestAgentEnrollsAtDeployedManagers(t *testing.T) {
	for name, version := range managers {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "127.0.0.1:0", "127.0.0.1")
			version(s.manager)
			a := s.startAgent()
			s.waitRequest()
			s.approve()
			a.until("listening")
			a.untilDone(s.ended, func() {}) // it listens as soon as the set stands
			s.deployedAgentStarts(loopback)
		})
	}
}

// A manager that parses health strictly calls the host healthy, and knows its
// version.
func TestField1_1_DeployedManagerFindsTheAgentHealthy(t *testing.T) {
	for name, newer := range map[string]bool{"without a CRL": false, "with a CRL": true} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "127.0.0.1:0", "127.0.0.1")
			s.manager.Newer = newer
			s.options["report_ip"] = "127.0.0.1"
			s.must("pending")
			s.approve()
			s.must("enrolled")
			at := s.startAgent().until("listening")
			client, err := s.manager.Client()
			if err != nil {
				t.Fatal(err)
			}
			health, err := deployed.Poller{Client: client}.Poll(t.Context(), at.Addr().String(), int(at.Port()))
			if err != nil {
				t.Fatalf("got %v, want a health answer that a manager takes", err)
			}
			if health.Version == "" || (health.CRLStatus != nil) != newer || (health.CRLAgeSeconds != nil) != newer {
				t.Errorf("got %+v, want a version, and the CRL's state where there is one", health)
			}
		})
	}
}
