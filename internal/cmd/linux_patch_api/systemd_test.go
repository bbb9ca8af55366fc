package main_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// machine is a container with systemd and the agent under its own unit.
type machine struct {
	t    *testing.T
	name string
}

// boot starts Debian's systemd as molecule does. What is copied in is as
// shipped, but for waits.
func boot(t *testing.T) *machine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a container with systemd needs root")
	}
	if out, err := exec.Command("docker", "info").CombinedOutput(); err != nil {
		t.Skipf("no Docker engine, which ansible/setup/docker starts: %v\n%s", err, out)
	}
	image := exec.Command("../../../molecule/setup/image", "bookworm")
	image.Stderr = os.Stderr
	name, err := image.Output()
	if err != nil {
		t.Fatalf("molecule/setup/image: got %v, want no error", err)
	}
	m := &machine{t: t, name: fmt.Sprintf("linux-patch-unit-%d", os.Getpid())}
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", m.name).Run() })
	m.docker("run", "-d", "--name", m.name, "--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined",
		"--security-opt", "apparmor=unconfined", "--cgroupns", "host", "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp",
		"-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "-e", "container=docker", strings.TrimSpace(string(name)), "/sbin/init")
	m.until("running", "systemctl is-system-running")
	for _, program := range []string{"linux_patch_api", "enrollment"} {
		m.docker("cp", bin.Path(program), m.name+":/usr/local/sbin/"+program)
	}
	return m
}

func (m *machine) docker(args ...string) string {
	m.t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("docker %s: got %v\n%s, want no error", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// sh runs a script in the container.
func (m *machine) sh(script string) string {
	m.t.Helper()
	return m.docker("exec", m.name, "sh", "-ec", script)
}

// put writes a file in the container.
func (m *machine) put(path, mode, content string) {
	m.t.Helper()
	cmd := exec.Command("docker", "exec", "-i", m.name, "sh", "-ec", fmt.Sprintf("mkdir -p %s; cat >%s; chmod %s %[2]s", filepath.Dir(path), path, mode))
	cmd.Stdin = strings.NewReader(content)
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("write %s: got %v\n%s, want no error", path, err, out)
	}
}

// until waits until a script prints what is wanted.
func (m *machine) until(want, script string) {
	m.t.Helper()
	got := ""
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		out, _ := exec.Command("docker", "exec", m.name, "sh", "-c", script).CombinedOutput()
		if got = strings.TrimSpace(string(out)); got == want {
			return
		}
	}
	journal, _ := exec.Command("docker", "exec", m.name, "journalctl", "--no-pager", "-n", "60").CombinedOutput()
	m.t.Fatalf("%s: got %q, want %q\n%s", script, got, want, journal)
}

// show is the script that prints properties of a unit in a line, sorted.
func show(unit, properties string) string {
	return fmt.Sprintf("systemctl show %s -p %s | sort | xargs", unit, strings.ReplaceAll(properties, " ", " -p "))
}

const unit = "linux-patch-api.service"

// installAgent puts the shipped unit and a host that is enrolled in place.
func (m *machine) installAgent() {
	m.t.Helper()
	shipped, err := os.ReadFile("../../../configs/" + unit)
	if err != nil {
		m.t.Fatal(err)
	}
	bundle := pkitest.NewCA(m.t).Issue(m.t, pkitest.Valid(time.Now().Add(-time.Hour), time.Now().Add(90*24*time.Hour))).Bundle(m.t)
	m.put("/etc/systemd/system/"+unit, "0644", string(shipped))
	// The same unit, but no one waits half a minute for it here.
	m.put("/etc/systemd/system/"+unit+".d/quick.conf", "0644", "[Service]\nRestartSec=1s\nWatchdogSec=6s\n")
	m.put("/etc/linux_patch_api/certs/ca.pem", "0644", bundle.CACrt)
	m.put("/etc/linux_patch_api/certs/server.pem", "0644", bundle.ServerCrt)
	m.put("/etc/linux_patch_api/certs/server.key.pem", "0600", bundle.ServerKey)
	m.sh("systemctl daemon-reload; systemctl start " + unit)
}

// A crash of a Go program, and an abort by the watchdog, end with exit code 2.
func TestField3_1_AgentIsStartedAgainAfterCrashAndWatchdog(t *testing.T) {
	m := boot(t)
	m.installAgent()
	running := show(unit, "SubState NRestarts")
	m.until("NRestarts=0 SubState=running", running)

	m.sh("kill -ABRT $(systemctl show -p MainPID --value " + unit + ")")
	m.until("NRestarts=1 SubState=running", running)
	m.until("told", "journalctl -u "+unit+" | grep -q 'status=2/INVALIDARGUMENT' && echo told")

	// What hangs is aborted.
	m.sh("kill -STOP $(systemctl show -p MainPID --value " + unit + ")")
	m.until("NRestarts=2 SubState=running", running)
	m.until("told", "journalctl -u "+unit+" | grep -q \"Failed with result 'watchdog'\" && echo told")

	// Wrong options stay wrong.
	m.put("/etc/default/linux-patch-api", "0644", "LINUX_PATCH_API_OPTIONS=--no-such-option\n")
	m.sh("systemctl restart " + unit + " || true")
	m.until("ExecMainStatus=64 NRestarts=0 SubState=failed", show(unit, "SubState ExecMainStatus NRestarts"))
	t.Run("cloud-init", m.cloudInit)
}

// The guide's recipe for the module at first boot heals itself in the same way.
func (m *machine) cloudInit(t *testing.T) {
	m.t = t
	guide, err := os.ReadFile("../../../docs/DEPLOYMENT_GUIDE.md")
	if err != nil {
		t.Fatal(err)
	}
	// Of the recipes the one without a package makes a unit of its own.
	var block []byte
	for _, found := range regexp.MustCompile("(?s)```yaml\n(#cloud-config\n.*?)```").FindAllSubmatch(guide, -1) {
		if bytes.Contains(found[1], []byte("systemd-run")) {
			block = found[1]
		}
	}
	if block == nil {
		t.Fatal("docs/DEPLOYMENT_GUIDE.md has no cloud-config with systemd-run")
	}
	var recipe struct {
		RunCmd [][]string `yaml:"runcmd"`
	}
	if err := yaml.Unmarshal(block, &recipe); err != nil || len(recipe.RunCmd) != 1 {
		t.Fatalf("got %d commands, %v, want one", len(recipe.RunCmd), err)
	}
	m.sh("rm -rf /etc/linux_patch_api/certs /var/lib/linux_patch_enroll/*")
	// It accepts and says nothing, so that the module waits for its TLS.
	m.docker("exec", "-d", m.name, "python3", "-c",
		"import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 4443)); s.listen(); time.sleep(600)")
	start := func(arguments string) {
		m.put("/etc/linux_patch_api/enroll.json", "0600", arguments)
		m.sh("systemctl stop enroll || true; systemctl reset-failed")
		m.docker(append([]string{"exec", m.name}, recipe.RunCmd[0]...)...)
	}
	start(`{"manager_url": "https://127.0.0.1:4443"}`)
	m.until("asks", "grep -q ':115B 01 ' /proc/net/tcp && echo asks")
	m.sh("kill -ABRT $(systemctl show -p MainPID --value enroll)")
	m.until("ExecMainStatus=2 SubState=auto-restart", show("enroll", "SubState ExecMainStatus"))
	start(`{"no_such_option": true}`)
	m.until("ExecMainStatus=64 SubState=failed", show("enroll", "SubState ExecMainStatus"))
}
