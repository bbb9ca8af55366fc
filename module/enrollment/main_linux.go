// Command enrollment is the Ansible modules linux_patch.api.enrollment and
// linux_patch.api.enrollment_info, and runs without Ansible too.
package main

import (
	"os"
	"os/user"

	"github.com/spf13/afero"
	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/ansible"
	"github.com/linux-patch/enroll/internal/enroll"
	_ "github.com/linux-patch/enroll/internal/frugal"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
	// This process holds a private key: it leaves no core file.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	// A tight umask would close directories to the daemon; what must be closed
	// gets its mode by name.
	unix.Umask(0o022)
	return ansible.Program{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Terminal: isTerminal(os.Stdout), Files: afero.NewOsFs(), Version: version,
		Reader: ansible.Reader{Getenv: os.Getenv, HomeOf: homeOf},
		Enroller: func(secret func(string)) (*enroll.Enroller, error) {
			return enroll.OnThisHost("enrollment/"+version, secret)
		},
	}.Main(&untilSignal{})
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

func homeOf(name string) (string, error) {
	if name == "" {
		return os.UserHomeDir()
	}
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.HomeDir, nil
}
