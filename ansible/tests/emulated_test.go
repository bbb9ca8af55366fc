package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

const emulator = "/usr/bin/qemu-aarch64-static"

// emulate runs a command where arm64 programs run like others. The kernel is
// told so in a user namespace only: a machine where they run elsewhere too would
// be another one for everybody else on it.
const emulate = `set -e
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
printf %s ':arm64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:` +
	`\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:` + emulator + `:PF' \
	>/proc/sys/fs/binfmt_misc/register
exec "$@"
`

func inEmulation(command ...string) []string {
	return append([]string{"--user", "--map-root-user", "--mount", "sh", "-c", emulate, "emulate"}, command...)
}

// canEmulate tells whether a host of another architecture can be had here.
func canEmulate() bool {
	if !has("emulated hosts", "busybox", "unshare", "chroot", emulator) {
		return false
	}
	// Since Linux 6.7 a user namespace has formats of its own.
	out, err := exec.Command("unshare", inEmulation("true")...).CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "no emulated hosts for these tests: %v: %s\n", err, out)
	}
	return err == nil
}

// emulated runs a command for which programs of arm64 run: emulated COMMAND [ARG...]
func emulated(ts *testscript.TestScript, neg bool, args []string) {
	if err := ts.Exec("unshare", inEmulation(args...)...); (err != nil) != neg {
		ts.Fatalf("%s: %v", args[0], err)
	}
}

// arm64Busybox is where Debian's busybox for arm64 is.
func arm64Busybox(ts *testscript.TestScript) string {
	cmd := exec.Command(filepath.Join("..", "setup", "arm64"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		ts.Fatalf("ansible/setup/arm64: %v", err)
	}
	return strings.TrimSpace(string(out))
}
