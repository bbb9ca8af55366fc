package testbuild

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Case is one row of a table that a rule of the program and the same rule of the
// action plugin are held to.
type Case struct{ In, Want string }

// Cases reads such a table.
func Cases(path string) ([]Case, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var cases []Case
	if err := json.Unmarshal(raw, &cases); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(cases) == 0 {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return cases, nil
}

// Python evaluates expression for each string of in, as x, with the file of
// ansible/plugins/plugin_utils in utils imported as its name.
func Python(utils, file, expression string, in []string) ([]string, error) {
	given, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	// Read here as well, it is one of the files by which `go test` knows whether a
	// result that it remembers still holds.
	if _, err := os.ReadFile(filepath.Join(utils, file+".py")); err != nil {
		return nil, err
	}
	cmd := exec.Command("python3", "-B", "-c", fmt.Sprintf(
		"import json, sys\nsys.path.insert(0, sys.argv[1])\nimport %s\nprint(json.dumps([%s for x in json.load(sys.stdin)]))", file, expression), utils)
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(given)), os.Stderr
	raw, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("python3: %w", err)
	}
	var out []string
	return out, json.Unmarshal(raw, &out)
}
