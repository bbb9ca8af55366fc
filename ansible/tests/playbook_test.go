// Package tests runs real playbooks with the collection installed from its
// tarball, against a real reference manager. What each script shows stands in
// testdata/script/*.txtar.
package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/linux-patch/enroll/internal/testbuild"
)

// What is built and installed once for all scripts.
var (
	programs    string   // build/bin
	sources     []string // of programs
	tarball     string
	ansible     string // the directory of ansible-playbook
	collections string
)

func TestMain(m *testing.M) {
	if code, done := inPrivate(); done {
		os.Exit(code)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	// Enrollment refuses directories that a group may write.
	syscall.Umask(0o022)
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(filepath.Dir(collections))
	return testbuild.Watch(testbuild.DefaultPaths()...)(m.Run())
}

// prepare builds what a bare `go test` has not; `make test` has, and says so.
func prepare() error {
	top, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	if os.Getenv("LINUX_PATCH_BUILT") == "" {
		if out, err := exec.Command("make", "-C", top, "build", "collection").CombinedOutput(); err != nil {
			return fmt.Errorf("make build collection: %w\n%s", err, out)
		}
	}
	// go test brings go along. Where there is none, as in Debian's root, the test
	// is run by itself, and no cache holds its result.
	if _, err := exec.LookPath("go"); err == nil {
		if sources, err = testbuild.Sources("../../module/enrollment", "../../internal/cmd/linux_patch_api", "../../internal/cmd/linux_patch_manager", "../../internal/cmd/enrollment_admin"); err != nil {
			return err
		}
	}
	programs = filepath.Join(top, "build", "bin")
	if tarball, err = one(filepath.Join(top, "build", "linux_patch-api-*.tar.gz")); err != nil {
		return err
	}
	found := exec.Command(filepath.Join(top, "ansible", "setup", "ansible"))
	found.Stderr = os.Stderr
	out, err := found.Output()
	if err != nil {
		return fmt.Errorf("finding Ansible: %w", err)
	}
	ansible = strings.TrimSpace(string(out))

	dir, err := os.MkdirTemp("", "playbook-test-")
	if err != nil {
		return err
	}
	collections = filepath.Join(dir, "collections")
	install := exec.Command(filepath.Join(ansible, "ansible-galaxy"), "collection", "install", "-p", collections, tarball)
	install.Env = append(os.Environ(), "ANSIBLE_HOME="+dir, "ANSIBLE_LOCAL_TEMP="+dir)
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("installing %s: %w\n%s", tarball, err, out)
	}
	return nil
}

func one(pattern string) (string, error) {
	found, err := filepath.Glob(pattern)
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", fmt.Errorf("expected one %s, found %d: run make clean", pattern, len(found))
	}
	return found[0], nil
}

func TestPlaybooks(t *testing.T) {
	// The programs of build/bin are made from these; so is the tarball, and from
	// what stands in ansible.
	if err := testbuild.Tie(append(sources, tarball)); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: setUp,
		Condition: func(name string) (bool, error) {
			switch name {
			case "root":
				return os.Getuid() == 0, nil
			case "sshd":
				return canServe(), nil
			case "roots":
				return roots(), nil
			case "engine":
				return engine(), nil
			case "emulation":
				return canEmulate(), nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"manager":       manager,
			"plant":         plant,
			"junk":          junk,
			"administrator": administrator,
			"called":        called,
			"tokens":        tokens,
			"killed":        killed,
			"interrupted":   interrupted,
			"requests":      requests,
			"remember":      remember,
			"leaks":         leaks,
			"snapshot":      snapshot,
			"fake":          fake,
			"sshd":          sshd,
			"on":            on,
			"ran":           ran,
			"collect":       collect,
			"busybox":       busyboxRoot,
			"container":     container,
			"emulated":      emulated,
			"readme":        readme,
			"deployed":      deployedCmd,
		},
	})
}

// config keeps Ansible within the script's directory, and its output plain.
const config = `[defaults]
collections_path = %s
inventory = inventory.yml
remote_tmp = %[2]s/tmp
local_tmp = %[2]s/tmp
nocows = true
retry_files_enabled = false
`

// inventory is a host of the script's own: this machine under other paths.
const inventory = `all:
  hosts:
    web1:
      ansible_connection: local
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
    enroll_become: false
    enroll_manager_url: "{{ lookup('env', 'MANAGER_URL') }}"
    enroll_manager_ca_path: "{{ lookup('env', 'MANAGER_CA') }}"
    enroll_fqdn: web1.example.com
    enroll_report_ip: 127.0.0.1
    enroll_wait: false
    enroll_state_dir: %[1]s/state
    enroll_config_path: %[1]s/etc/config.yaml
    enroll_config_owner: "%[2]d"
    enroll_config_group: "%[3]d"
    enroll_ca_cert_path: %[1]s/certs/ca.pem
    enroll_server_cert_path: %[1]s/certs/server.pem
    enroll_server_key_path: %[1]s/certs/server.key.pem
    enroll_crl_path: %[1]s/certs/crl.pem
    enroll_whitelist_path: %[1]s/etc/whitelist.yaml
    enroll_log_path: %[1]s/log/audit.log
    enroll_status_path: %[1]s/run/status.json
    enroll_service_action: none
`

// agentConfig keeps the audit log within the script's directory too.
const agentConfig = `tls:
  ca_cert: %[1]s/certs/ca.pem
  server_cert: %[1]s/certs/server.pem
  server_key: %[1]s/certs/server.key.pem
  crl_path: %[1]s/certs/crl.pem
whitelist:
  path: %[1]s/etc/whitelist.yaml
logging:
  file_path: %[1]s/log/audit.log
`

func setUp(env *testscript.Env) error {
	stop := func() {}
	env.Values[running{}] = &stop
	host := filepath.Join(env.WorkDir, "host")
	for _, dir := range []string{"host/etc", "host/log", "home"} {
		if err := os.MkdirAll(filepath.Join(env.WorkDir, dir), 0o755); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"ansible.cfg":          fmt.Sprintf(config, collections, env.WorkDir),
		"inventory.yml":        fmt.Sprintf(inventory, host, os.Getuid(), os.Getgid()),
		"host/etc/config.yaml": fmt.Sprintf(agentConfig, host),
	} {
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{
		"PATH":            strings.Join([]string{ansible, programs, os.Getenv("PATH")}, string(filepath.ListSeparator)),
		"HOST":            host,
		"HOME":            filepath.Join(env.WorkDir, "home"),
		"ANSIBLE_CONFIG":  filepath.Join(env.WorkDir, "ansible.cfg"),
		"ANSIBLE_HOME":    filepath.Join(env.WorkDir, "home", "ansible"),
		"ANSIBLE_NOCOLOR": "1",
		"LC_ALL":          "C.UTF-8",
	} {
		env.Setenv(name, value)
	}
	return nil
}
