// Command enrollment_admin approves the requests of hosts by proof. It runs on
// the controller of an inventory, behind the modules
// linux_patch.api.enrollment_approval and linux_patch.api.enrollment_requests_info,
// and without Ansible too.
package main

import (
	"context"
	"crypto/rand"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/admin"
	"github.com/linux-patch/enroll/internal/audit"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
	// This process holds an administrator's password: it leaves no core file.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	unix.Umask(0o077)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	return admin.Program{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Version: version,
		Environment: admin.Environment{Now: time.Now, Getenv: os.Getenv, Record: record, Program: "enrollment_admin/" + version},
	}.Main(ctx)
}

// record writes one line to the audit log at path.
func record(path string, event contract.Event, fields map[string]string) error {
	root, err := hostfs.OpenRoot("/")
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	actor := audit.Actor{Program: "enrollment_admin/" + version, UID: os.Geteuid(), User: os.Getenv("SUDO_USER"), PID: os.Getpid()}
	files := hostfs.New(root, hostfs.Options{UID: os.Geteuid(), GID: os.Getegid(), Now: time.Now, Random: rand.Reader})
	return audit.New(files.OpenLog, path, actor, time.Now).Record(event, fields)
}
