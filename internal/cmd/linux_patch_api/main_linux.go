// Command linux_patch_api is the reference agent, which enrolls the host where
// that is needed and listens with mutual TLS.
package main

import (
	"context"
	"net"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/daemon"
	"github.com/linux-patch/enroll/internal/enroll"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(run()) }

func run() int {
	// This process holds a private key: it leaves no core file.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	// Standard error may be a pipe whose reader has gone; lines are lost then, and
	// nothing else.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	return daemon.Run(ctx, daemon.Env{
		Args: os.Args[1:], Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Version: version,
		Hangup: hangup, LookupIP: net.DefaultResolver.LookupNetIP,
		Enroller: func(secret func(string)) (*enroll.Enroller, error) {
			return enroll.OnThisHost("linux_patch_api/"+version, secret)
		},
	})
}
