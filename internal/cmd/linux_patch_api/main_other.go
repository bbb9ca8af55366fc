//go:build !linux

// Command linux_patch_api runs on Linux hosts; elsewhere it says so.
package main

import (
	"fmt"
	"os"

	"github.com/linux-patch/enroll/internal/contract"
)

func main() {
	code := contract.CodeUnsupported
	fmt.Fprintf(os.Stderr, "linux_patch_api works on Linux only (%s)\n", code)
	os.Exit(code.Info().Exit)
}
