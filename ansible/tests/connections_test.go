package tests

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// roots is what a host in a directory needs here: root, for chroot and devices.
func roots() bool { return has("hosts in a directory", "busybox", "unshare", "chroot") }

// has tells whether this is root on a machine with some programs, and says what is missing.
func has(what string, programs ...string) bool {
	missing := ""
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing = err.Error()
		}
	}
	if os.Getuid() != 0 {
		missing = "not root"
	}
	if missing != "" {
		fmt.Fprintf(os.Stderr, "no %s for these tests: %s\n", what, missing)
	}
	return missing == ""
}

// engine tells whether containers can be run; ansible/setup/docker sees to one.
func engine() bool {
	if !has("containers", "busybox", "docker") {
		return false
	}
	out, err := exec.Command("docker", "info", "--format", "{{.ServerVersion}}").CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "no containers for these tests: run ansible/setup/docker: %s\n", out)
	}
	return err == nil
}

// collect adds the collections with connection plugins that ansible-core has not.
func collect(ts *testscript.TestScript, neg bool, args []string) {
	cmd := exec.Command(filepath.Join("..", "setup", "collections"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		ts.Fatalf("ansible/setup/collections: %v", err)
	}
	ts.Setenv("ANSIBLE_COLLECTIONS_PATH", collections+string(filepath.ListSeparator)+strings.TrimSpace(string(out)))
}

// rootScript makes the root of a host that has busybox and nothing else: no Python.
const rootScript = `set -e
umask 022
mkdir "$1"
cd "$1"
mkdir -p bin dev etc root tmp proc var/lib var/tmp
chmod 0755 .
chmod 0700 root
chmod 1777 tmp var/tmp
cp "$2" bin/busybox
for name in $("$3" --list); do [ "$name" = busybox ] || ln -s busybox "bin/$name"; done
mknod -m 0666 dev/null c 1 3
mknod -m 0666 dev/urandom c 1 9
echo root:x:0:0::/root:/bin/sh >etc/passwd
echo root:x:0: >etc/group
echo 0123456789abcdef0123456789abcdef >etc/machine-id
`

// busyboxRoot makes the root directory of a host, of this machine's
// architecture or of arm64: busybox DIR [arm64]
func busyboxRoot(ts *testscript.TestScript, neg bool, args []string) {
	local, err := exec.LookPath("busybox")
	ts.Check(err)
	program := local
	if len(args) > 1 {
		program = arm64Busybox(ts)
	}
	if out, err := exec.Command("sh", "-c", rootScript, "root", ts.MkAbs(args[0]), program, local).CombinedOutput(); err != nil {
		ts.Fatalf("%v: %s", err, out)
	}
}

// container runs a directory as a container on this machine's network for the
// rest of the script, and sets CONTAINER: container DIR
func container(ts *testscript.TestScript, neg bool, args []string) {
	docker := func(stdin []byte, args ...string) string {
		cmd := exec.Command("docker", args...)
		cmd.Stdin = bytes.NewReader(stdin)
		out, err := cmd.Output()
		if err != nil {
			ts.Fatalf("docker %s: %v: %s", args[0], err, stderr(err))
		}
		return strings.TrimSpace(string(out))
	}
	packed, err := exec.Command("tar", "-C", ts.MkAbs(args[0]), "-c", ".").Output()
	ts.Check(err)
	image := docker(packed, "import", "-")
	ts.Defer(func() { _ = exec.Command("docker", "rmi", "-f", image).Run() })
	name := docker(nil, "run", "-d", "--init", "--network", "host", image, "sleep", "3600")
	ts.Defer(func() { _ = exec.Command("docker", "rm", "-f", name).Run() })
	ts.Setenv("CONTAINER", name)
}

func stderr(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(exit.Stderr)
	}
	return ""
}
