package tests

import (
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/linux-patch/enroll/internal/deployed"
)

// deployedCmd checks that a deployed agent starts with a config.yaml, and lets
// clients in by a whitelist.yaml:
//
//	deployed config FILE
//	deployed whitelist FILE
func deployedCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: deployed config|whitelist FILE")
	}
	var err error
	switch text := []byte(ts.ReadFile(args[1])); args[0] {
	case "config":
		_, err = deployed.ParseConfig(text)
	case "whitelist":
		_, err = deployed.ParseWhitelist(text)
	default:
		ts.Fatalf("deployed reads no %s", args[0])
	}
	if err != nil {
		ts.Fatalf("a deployed agent refuses %s: %v", args[1], err)
	}
}
