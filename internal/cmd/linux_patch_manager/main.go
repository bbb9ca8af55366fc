// Command linux_patch_manager is the reference manager for demo, tests and
// labs. It is not the production manager.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/linux-patch/enroll/internal/manager"
	"github.com/linux-patch/enroll/internal/outlet"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	stderr := io.Writer(os.Stderr)
	flush := func() {}
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		// No host waits for who reads the log, and none suffers where no one does.
		signal.Ignore(syscall.SIGPIPE)
		out := outlet.New(os.Stderr, func(lost int64) []byte {
			return fmt.Appendf(nil, "%d log lines were lost: they could not be written in time\n", lost)
		}, nil)
		stderr, flush = out, func() { out.Flush(time.Second) }
	}
	code := manager.Run(ctx, version, os.Args[1:], os.Stdin, os.Stdout, stderr, os.Getenv)
	stop()
	flush()
	os.Exit(code)
}
