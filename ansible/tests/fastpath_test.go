package tests

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// rootsCache is where root's programs are kept on a host.
const rootsCache = "/var/lib/linux_patch_modules"

// inPrivate runs the tests again where the machine's own cache cannot be seen:
// as root, the local connection would fill it. It returns false where the tests
// are to run here.
func inPrivate() (code int, done bool) {
	const marked = "LINUX_PATCH_TEST_PRIVATE"
	if os.Getuid() != 0 {
		return 0, false
	}
	if os.Getenv(marked) != "" {
		if err := hideCache(); err != nil {
			fmt.Fprintln(os.Stderr, "the tests use this machine's own cache of programs:", err)
		}
		return 0, false
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), marked+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "no mount namespace of their own for the tests:", err)
		return 0, false
	}
	return cmd.ProcessState.ExitCode(), true
}

func hideCache() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := os.MkdirAll(rootsCache, 0o700); err != nil {
		return err
	}
	return unix.Mount("tmpfs", rootsCache, "tmpfs", 0, "mode=0700")
}

// canServe tells whether this machine can be its own host over ssh.
func canServe() bool { return has("sshd", "/usr/sbin/sshd", "sudo", "unshare", "busybox") }

// The users of the host that sshd serves. Each may log in with the script's key.
const (
	users = `alice:x:4201:4201::/var/lib/home/alice:/bin/sh
bob:x:4202:4202::/var/lib/home/bob:/bin/sh
carol:x:4203:4203::/var/lib/home/carol:/bin/sh
`
	// The password of bob is correct-horse.
	shadow = `root:*:20000::::::
alice:*:20000::::::
bob:$6$saltsalt$K7UFl//Wp07xMvFGF5CNr3JVL52HTe9O9C8NXwEvinkuKFSKIlvZQXSwQoNHq5D.BYsXc7IkvOpvWCBRDof1g1:20000::::::
carol:*:20000::::::
`
	sudoers = `root ALL=(ALL) NOPASSWD: ALL
alice ALL=(ALL) NOPASSWD: ALL
bob ALL=(ALL) ALL
carol ALL=(ALL) NOPASSWD: ALL
Defaults:carol requiretty
`
	sshdConfig = `ListenAddress 127.0.0.1:%[1]d
HostKey %[2]s/key
AuthorizedKeysFile %[2]s/authorized
StrictModes no
UsePAM no
PermitRootLogin yes
AcceptEnv SCRIPT_*
PidFile none
MaxStartups 100
Subsystem sftp internal-sftp
`
	// What must not be seen of the machine lies beneath: its users, and all of /var/lib.
	serve = `set -e
cd "$1"
mount -t tmpfs -o mode=0755 tmpfs /var/lib
for user in alice bob carol; do
  mkdir -p -m 0755 /var/lib/home/$user
  chown $user: /var/lib/home/$user 2>/dev/null || chown $(sed -n "s/^$user:x:\([0-9]*\):.*/\1:\1/p" users) /var/lib/home/$user
done
cat /etc/passwd users >passwd
sed 's/^\([a-z]*\):x:\([0-9]*\):.*/\1:x:\2:/' users | cat /etc/group - >group
chmod 0600 shadow
chmod 0440 sudoers
chown 0:0 passwd group shadow sudoers
for file in passwd group shadow sudoers; do mount --bind $file /etc/$file; done
mkdir -p /run/sshd
exec /usr/sbin/sshd -D -f "$1/config" -E "$1/log"
`
	sshInventory = `all:
  hosts:
    web1:
  vars:
    ansible_connection: ssh
    ansible_host: 127.0.0.1
    ansible_port: %[1]d
    ansible_user: root
    ansible_ssh_private_key_file: %[2]s/identity
    ansible_ssh_args: -F none -o ControlMaster=auto -o ControlPersist=30s -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no
    ansible_control_path_dir: %[3]s
    ansible_python_interpreter: /nonexistent
`
)

// sshd serves this machine for the rest of the script, with a /var/lib and users
// of its own, and writes an inventory: sshd FILE
func sshd(ts *testscript.TestScript, neg bool, args []string) {
	// Beneath /tmp the path of a control socket would be too long.
	dir, err := os.MkdirTemp("/run", "linux_patch_ssh")
	ts.Check(err)
	ts.Defer(func() { os.RemoveAll(dir) })
	// Below the ports of which the kernel gives one to anyone who asks for any.
	port := 10_000 + rand.IntN(20_000)
	for _, name := range []string{"key", "identity"} {
		ts.Check(exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).Run())
	}
	ts.Check(os.Rename(filepath.Join(dir, "identity.pub"), filepath.Join(dir, "authorized")))
	ts.Check(os.Chmod(dir, 0o755))
	for name, text := range map[string]string{
		"users": users, "shadow": shadow, "sudoers": sudoers, "config": fmt.Sprintf(sshdConfig, port, dir),
	} {
		ts.Check(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), fmt.Appendf(nil, sshInventory, port, dir, dir), 0o644))

	said, err := os.Create(filepath.Join(dir, "said"))
	ts.Check(err)
	defer said.Close()
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", serve, "serve", dir)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	ts.Setenv("SSH_HOST", fmt.Sprintf("-F none -q -p %d -i %s/identity -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no 127.0.0.1", port, dir))
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			ts.Check(conn.Close())
			return
		}
		if time.Now().After(end) {
			content, _ := os.ReadFile(filepath.Join(dir, "said"))
			ts.Fatalf("sshd did not start: %s", content)
		}
	}
}

// on runs a shell command on that host as a user: on USER COMMAND
func on(ts *testscript.TestScript, neg bool, args []string) {
	all := append([]string{"-l", args[0]}, strings.Fields(ts.Getenv("SSH_HOST"))...)
	err := ts.Exec("ssh", append(all, args[1])...)
	if (err != nil) != neg {
		ts.Fatalf("%s: %v", args[1], err)
	}
}

// remote is how the connections tell of a command.
var remote = regexp.MustCompile(`(?m)^<[^>]+> (SSH: )?EXEC `)

// ran checks the last command, a playbook at -vvv: how many remote commands it
// took for each task that ran, and why not from the cache: ran COMMANDS [REASON]
func ran(ts *testscript.TestScript, neg bool, args []string) {
	out := ts.ReadFile("stdout")
	if got := fmt.Sprint(len(remote.FindAllString(out, -1))); args[0] != "-" && got != args[0] {
		ts.Fatalf("it took %s commands, not %s", got, args[0])
	}
	reason := strings.Join(args[1:], " ")
	if found := strings.Contains(out, "not run from the cache: "+reason); found != (reason != "") {
		ts.Fatalf("not from the cache because of %q: %t", reason, found)
	}
}
