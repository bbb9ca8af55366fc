// Command linux_patch_manager is the reference manager for demo, tests and
// labs. It is not the production manager.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/linux-patch/enroll/internal/manager"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := manager.Run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(code)
}
