//go:build !linux

// Command enrollment enrolls Linux hosts; elsewhere it says so.
package main

import (
	"encoding/json"
	"os"

	"github.com/linux-patch/enroll/internal/contract"
)

func main() {
	code := contract.CodeUnsupported.Info()
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"changed": false, "failed": true, "msg": "enrollment works on Linux only",
		"error": map[string]any{"code": code.Code, "retryable": code.Retryable, "hint": code.Hint},
	})
	os.Exit(code.Exit)
}
