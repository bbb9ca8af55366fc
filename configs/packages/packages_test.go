// Package packages_test installs, upgrades, removes and purges the packages on
// hosts with systemd, and reads those of other distributions with their tools.
package packages_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/testbuild"
	"github.com/linux-patch/enroll/internal/testconsole"
)

const (
	top   = "../.."
	agent = "linux-patch-api"
	alone = "linux-patch-enroll"
	// before stands for the version before: the same programs under a lower number.
	before = "0.1.9"
)

// shell runs a command of this machine in the tree's top directory.
func shell(t *testing.T, env []string, command string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command, args...)
	cmd.Dir, cmd.Env = top, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", command, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// build makes the packages of this version and those of the version before.
func build(t *testing.T) string {
	t.Helper()
	tie(t)
	dir := t.TempDir()
	programs := filepath.Join(dir, "programs")
	version := strings.TrimSpace(shell(t, nil, "sed", "-n", "s/^version: *//p", "galaxy.yml"))
	shell(t, nil, "ansible/setup/programs", programs)
	for _, v := range []string{before, version} {
		shell(t, []string{"VERSION=" + v}, "ansible/setup/packages", filepath.Join(dir, v), programs)
	}
	if err := os.Rename(filepath.Join(dir, version), filepath.Join(dir, "now")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// tie makes the test depend on what the packages are made of.
func tie(t *testing.T) {
	t.Helper()
	var files []string
	for _, pattern := range []string{"build/*.tar.gz", "build/bin/*", "ansible/setup/*", "configs/*", "configs/man/*", "configs/packages/*", "README.md", "docs/DEPLOYMENT_GUIDE.md"} {
		found, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if err := testbuild.Tie(files); err != nil {
		t.Fatal(err)
	}
}

// deb is the one package of that name for this machine.
func deb(t *testing.T, dir, name string) string {
	t.Helper()
	arch := strings.TrimSpace(shell(t, nil, "dpkg", "--print-architecture"))
	found, err := filepath.Glob(filepath.Join(dir, name+"_*_"+arch+".deb"))
	if err != nil || len(found) != 1 {
		t.Fatalf("got packages %v, %v, want one", found, err)
	}
	return found[0]
}

// host is a container that boots systemd.
type host struct {
	t    *testing.T
	name string
}

func boot(t *testing.T, suite string) *host {
	t.Helper()
	if out, err := exec.Command("docker", "info").CombinedOutput(); err != nil {
		t.Skipf("no Docker engine can be reached, so no host with systemd: %v: %.200s", err, out)
	}
	image := strings.TrimSpace(shell(t, nil, "molecule/setup/image", suite))
	h := &host{t, fmt.Sprintf("linux-patch-package-%s-%d", suite, os.Getpid())}
	shell(t, nil, "docker", "run", "--detach", "--name", h.name, "--hostname", "web1.example.com", "--env", "container=docker", "--cap-add", "SYS_ADMIN",
		"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--cgroupns", "host",
		"--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", image, "/sbin/init")
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "--force", h.name).Run() })
	h.waitFor("test -S /run/systemd/private && systemctl show --property=Version")
	return h
}

func (h *host) put(file, to string) {
	h.t.Helper()
	shell(h.t, nil, "docker", "cp", file, h.name+":"+to)
}

func (h *host) try(script string) (string, error) {
	out, err := exec.CommandContext(h.t.Context(), "docker", "exec", h.name, "sh", "-c", script).CombinedOutput()
	return string(out), err
}

func (h *host) run(script string) string {
	h.t.Helper()
	out, err := h.try(script)
	if err != nil {
		h.t.Fatalf("%s: %v\n%s\n%s", script, err, out, h.journal())
	}
	return out
}

func (h *host) journal() string {
	out, _ := h.try("journalctl --no-pager -n 30 -u linux-patch-api")
	return out
}

// waitFor runs a script until it succeeds. An agent asks its manager once a minute.
func (h *host) waitFor(script string) {
	h.t.Helper()
	last := ""
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		out, err := h.try(script)
		if err == nil {
			return
		}
		last = out
	}
	h.t.Fatalf("%s does not come true\n%s\n%s", script, last, h.journal())
}

func (h *host) wantOutput(script string, want ...string) {
	h.t.Helper()
	out := h.run(script)
	for _, w := range want {
		if !strings.Contains(out, w) {
			h.t.Errorf("%s: got\n%s\nwant %q in it", script, out, w)
		}
	}
}

// TestPackages is the life of a package on a host that had nothing: installed,
// enrolled, upgraded while it serves, removed, and purged until nothing is left.
func TestPackages(t *testing.T) {
	dir := build(t)
	t.Run("of other distributions", func(t *testing.T) { otherDistributions(t, filepath.Join(dir, "now")) })
	t.Run("the commands of the README", func(t *testing.T) { readmes(t, filepath.Join(dir, "now")) })
	t.Run("in place of a deployed agent", func(t *testing.T) { replaces(t, filepath.Join(dir, "now")) })
	for _, suite := range []string{"bookworm", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			h := boot(t, suite)
			for file, to := range map[string]string{
				deb(t, filepath.Join(dir, before), agent): "/root/before.deb",
				deb(t, filepath.Join(dir, "now"), agent):  "/root/now.deb",
				deb(t, filepath.Join(dir, "now"), alone):  "/root/alone.deb",
				"build/bin/linux_patch_manager":           "/usr/local/bin/linux_patch_manager",
			} {
				h.put(file, to)
			}
			h.refusesAnotherAgentsFiles()
			h.wantOutput("dpkg -i /root/before.deb", "not started", "systemctl enable --now linux-patch-api")
			h.enroll()
			h.upgrade()
			h.removeAndPurge()
		})
	}
}

// readmes runs the commands of the README on a host that has nothing but the
// packages and the manager's CA. The manager is the host's own.
func readmes(t *testing.T, dir string) {
	blocks := readmesCommands(t)
	h := boot(t, "bookworm")
	for _, name := range []string{agent, alone} {
		h.put(deb(t, dir, name), "/root/")
	}
	h.put("build/bin/linux_patch_manager", "/usr/local/bin/linux_patch_manager")
	h.run(`echo "$(hostname -i | cut -d ' ' -f 1) manager.example.com" >> /etc/hosts
		systemd-run --unit manager linux_patch_manager serve --data /root/lab --listen :443 --advertise manager.example.com`)
	h.waitFor("test -s /root/lab/ca.pem && cp /root/lab/ca.pem /root/manager-ca.pem")
	h.follow(blocks[0])
	h.run("linux_patch_manager approve --data /root/lab --fqdn web1.example.com")
	h.waitFor("systemctl status linux-patch-api | grep -i listening")
	h.follow(blocks[1])
	h.nothingIsLeft()
}

// readmesCommands are the commands before and after the approval.
func readmesCommands(t *testing.T) [][]testconsole.Step {
	t.Helper()
	blocks := hostBlocks(t, "README.md", 2)
	if count := len(blocks[0]) + len(blocks[1]); count >= 10 {
		t.Fatalf("got %d commands, want less than ten", count)
	}
	return blocks
}

// hostBlocks are the blocks of a document that are for a host of their own.
func hostBlocks(t *testing.T, document string, want int) [][]testconsole.Step {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, document))
	if err != nil {
		t.Fatal(err)
	}
	var blocks [][]testconsole.Step
	for _, m := range regexp.MustCompile("(?s)\n```console host\n(.*?)\n```\n").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, testconsole.Steps(m[1]))
	}
	if len(blocks) != want {
		t.Fatalf("%s: got %d blocks, want %d", document, len(blocks), want)
	}
	return blocks
}

// follow runs commands as a person at /root would.
func (h *host) follow(steps []testconsole.Step) {
	h.t.Helper()
	arch := strings.TrimSpace(shell(h.t, nil, "dpkg", "--print-architecture"))
	for _, s := range steps {
		command := "cd /root; " + strings.ReplaceAll(s.Command, "_amd64.deb", "_"+arch+".deb")
		out := h.run(command)
		// The agent has just been started: a person would look again.
		for end := time.Now().Add(30 * time.Second); strings.HasPrefix(out, "absent") && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
			out = h.run(command)
		}
		if !testconsole.Matches(out, s.Output) {
			h.t.Errorf("%s: got\n%s\nwant\n%s", s.Command, out, s.Output)
		}
	}
}

func (h *host) refusesAnotherAgentsFiles() {
	h.t.Helper()
	for _, file := range []string{"/etc/systemd/system/linux-patch-api.service", "/usr/bin/linux-patch-api", "/usr/local/sbin/linux_patch_api"} {
		h.run("echo another agent > " + file)
		out, err := h.try("dpkg -i /root/now.deb")
		if err == nil || !strings.Contains(out, file+" is here already") {
			h.t.Errorf("beside %s: got %v\n%s\nwant a refusal that names it", file, err, out)
		}
		h.wantOutput("cat "+file, "another agent")
		h.run("rm " + file + "; dpkg --purge linux-patch-api; test ! -e /usr/sbin/linux_patch_api")
	}
}

func (h *host) enroll() {
	h.t.Helper()
	h.run(`systemd-run --unit manager linux_patch_manager serve --data /root/lab --url-file /root/url --rate-limit off`)
	h.waitFor("test -s /root/url")
	h.run(`install -m 0644 /root/lab/ca.pem /etc/linux_patch_api/manager-ca.pem
		sed "s|^#* *manager_url:.*||" /usr/share/doc/linux-patch-api/examples/config.yaml.example > /etc/linux_patch_api/config.yaml
		printf 'enrollment:\n  manager_url: "%s"\n  report_ip: 127.0.0.1\n  polling_interval_seconds: 1\n' "$(cat /root/url)" >> /etc/linux_patch_api/config.yaml
		echo LINUX_PATCH_API_OPTIONS=--enroll-ca /etc/linux_patch_api/manager-ca.pem > /etc/default/linux-patch-api
		sed -i 's|OPTIONS=\(.*\)|OPTIONS="\1"|' /etc/default/linux-patch-api
		systemctl enable --now linux-patch-api`)
	h.waitFor("linux_patch_manager approve --data /root/lab --all | grep approved")
	h.waitFor("systemctl status linux-patch-api | grep -i listening")
}

func (h *host) upgrade() {
	h.t.Helper()
	h.run("systemctl reload linux-patch-api")
	h.run("chown 1000 /etc/linux_patch_api/whitelist.yaml")
	pid := h.run("systemctl show --property=MainPID linux-patch-api")
	out, _ := h.try("dpkg -i /root/now.deb 2>&1")
	if want := "/etc/linux_patch_api/whitelist.yaml may be written by others"; !strings.Contains(out, want) {
		h.t.Errorf("got\n%s\nwant %q in it", out, want)
	}
	h.run("chown 0 /etc/linux_patch_api/whitelist.yaml; dpkg -i /root/now.deb")
	h.waitFor("systemctl status linux-patch-api | grep -i listening")
	if now := h.run("systemctl show --property=MainPID linux-patch-api"); now == pid {
		h.t.Errorf("got the same %s after the upgrade, want the new program in service", strings.TrimSpace(now))
	}
	h.run("dpkg -i /root/alone.deb")
	h.wantOutput("enrollment info", `"state":"enrolled"`)
	h.run("dpkg --verify linux-patch-api linux-patch-enroll")
	h.wantOutput("zcat /usr/share/man/man8/linux_patch_api.8.gz", ".Dt LINUX_PATCH_API 8", ".Sh SIGNALS")
	h.wantOutput("zcat /usr/share/man/man8/enrollment.8.gz", ".Dt ENROLLMENT 8")
}

func (h *host) removeAndPurge() {
	h.t.Helper()
	h.run("dpkg --remove linux-patch-api")
	h.run("! systemctl is-active linux-patch-api && test ! -e /usr/sbin/linux_patch_api && test -s /etc/linux_patch_api/certs/server.key.pem")
	h.run("dpkg --purge linux-patch-api")
	// The other package goes on with the certificates.
	h.wantOutput("enrollment info", `"state":"enrolled"`)
	h.run("dpkg --purge linux-patch-enroll")
	h.nothingIsLeft()
}

func (h *host) nothingIsLeft() {
	h.t.Helper()
	left := strings.Fields(h.run(`find /etc /usr /var /run -xdev -name "*linux[_-]patch*" ! -path "/usr/local/bin/*" ! -path "*/journal/*" ! -path "/run/systemd/*"`))
	if len(left) > 0 {
		h.t.Errorf("got %v after a purge, want nothing left", slices.Compact(left))
	}
}

// otherDistributions holds the other formats to the tools of their distributions,
// and to the same content.
func otherDistributions(t *testing.T, dir string) {
	t.Helper()
	for _, c := range []struct{ pattern, list string }{
		{"*.rpm", "rpm --checksig --nosignature %[1]s >/dev/null && rpm -qlp %[1]s"},
		{"*.pkg.tar.zst", "pacman -Qlp %[1]s | cut -d' ' -f2"},
		// Debian has no apk: the format is three gzip streams of tar, and its
		// .PKGINFO is lines of "name = value".
		{"*.apk", "tar -xzOf %[1]s .PKGINFO 2>/dev/null | grep -v '^#' | grep -qv ' = ' && exit 1; tar -tzf %[1]s 2>/dev/null | sed 's|^|/|'"},
	} {
		found, err := filepath.Glob(filepath.Join(dir, c.pattern))
		if err != nil || len(found) != 4 {
			t.Fatalf("%s: got %v, %v, want two packages for two architectures", c.pattern, found, err)
		}
		for _, file := range found {
			files := shell(t, nil, "bash", "-c", fmt.Sprintf(c.list, file))
			want := []string{"/usr/sbin/enrollment", "/usr/lib/systemd/system/linux-patch-enroll.timer", "/usr/share/man/man8/enrollment.8.gz"}
			if strings.Contains(file, agent) {
				want = []string{"/usr/sbin/linux_patch_api", "/usr/lib/systemd/system/linux-patch-api.service", "/usr/share/man/man8/linux_patch_api.8.gz"}
			}
			for _, w := range want {
				if !strings.Contains(files, w+"\n") {
					t.Errorf("%s: got\n%s\nwant %s in it", filepath.Base(file), files, w)
				}
			}
		}
	}
}
