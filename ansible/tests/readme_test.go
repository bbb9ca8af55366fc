package tests

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// readme writes the example of a section of README.md to a file, with the
// script's manager in the place of the one that it names, and sets
// MANAGER_FINGERPRINT: readme SECTION FILE
func readme(ts *testscript.TestScript, _ bool, args []string) {
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	ts.Check(err)
	_, section, found := strings.Cut(string(text), "\n### "+args[0]+"\n")
	example := regexp.MustCompile("(?s)^.*?```yaml\n(.*?)\n```\n").FindStringSubmatch(section)
	if !found || example == nil {
		ts.Fatalf("README.md has no example under %q", args[0])
	}
	ca := ts.ReadFile(ts.Getenv("MANAGER_CA"))
	play := strings.NewReplacer(
		"https://manager.example.com", ts.Getenv("MANAGER_URL"),
		"/etc/ssl/certs/company-ca.pem", ts.Getenv("MANAGER_CA"),
	).Replace(example[1])
	if !strings.Contains(play, ts.Getenv("MANAGER_URL")) {
		ts.Fatalf("the example does not name the manager:\n%s", play)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(play+"\n"), 0o644))
	block, _ := pem.Decode([]byte(ca))
	if block == nil {
		ts.Fatalf("no certificate in %s", ts.Getenv("MANAGER_CA"))
	}
	digest := sha256.Sum256(block.Bytes)
	ts.Setenv("MANAGER_FINGERPRINT", hex.EncodeToString(digest[:]))
}
