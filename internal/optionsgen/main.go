// Command optionsgen writes what is said of the options into the files that say
// it, from the package options: the struct and its tags, and options.yaml. It is
// run from the top of the tree, by `make options`.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/linux-patch/enroll/internal/options"
)

func main() {
	if err := write("."); err != nil {
		fmt.Fprintln(os.Stderr, "optionsgen:", err)
		os.Exit(1)
	}
}

func write(top string) error {
	files, err := generate(top)
	if err != nil {
		return err
	}
	for path, text := range files {
		if err := os.WriteFile(filepath.Join(top, path), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the whole files below top, as they should be.
func generate(top string) (map[string]string, error) {
	said, err := os.ReadFile(filepath.Join(top, "internal/options/options.yaml"))
	if err != nil {
		return nil, err
	}
	defaults, err := os.ReadFile(filepath.Join(top, "ansible/roles/enroll/defaults/main.yml"))
	if err != nil {
		return nil, err
	}
	all, err := parts(options.Params{}, options.InfoParams{}, said, defaults)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, p := range all {
		if files[p.path] == "" {
			text, err := os.ReadFile(filepath.Join(top, p.path))
			if err != nil {
				return nil, err
			}
			files[p.path] = string(text)
		}
		if files[p.path], err = p.within(files[p.path]); err != nil {
			return nil, err
		}
	}
	return files, nil
}
