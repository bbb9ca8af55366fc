// Package testbuild builds programs of this module for tests that run them as
// processes, and ties the test to their sources: go test takes a result from
// its cache unless a file that the test opened has changed, and a program that
// is built and run is no such file.
package testbuild

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Programs are built programs, and what they were built from.
type Programs struct {
	dir string
	tie func() error
	// Verdict is what Watch returned before they were built.
	Verdict func(code int) int
}

// Build builds packages into a directory, as the Makefile does but for ldflags.
func Build(dir, ldflags string, packages ...string) (*Programs, error) {
	if err := BuildFor(runtime.GOARCH, dir, ldflags, packages...); err != nil {
		return nil, err
	}
	sources, err := Sources(packages...)
	if err != nil {
		return nil, err
	}
	return &Programs{dir, sync.OnceValue(func() error { return Tie(sources) }), Watch(DefaultPaths()...)}, nil
}

// DefaultPaths are those of an agent of this machine. No test may make one.
func DefaultPaths() []string {
	return []string{"/etc/linux_patch_api", "/var/lib/linux_patch_enroll", "/var/log/linux_patch_api", "/run/linux_patch_api"}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Watch returns what the exit code of tests is after they ended with code: they
// fail if they made one of paths that was missing.
func Watch(paths ...string) func(code int) int {
	absent := slices.DeleteFunc(paths, exists)
	return func(code int) int {
		if made := slices.IndexFunc(absent, exists); made >= 0 {
			fmt.Fprintf(os.Stderr, "%s was made while these tests ran, which fails them: give programs paths of their own, logging.file_path too\n", absent[made])
			return max(code, 1)
		}
		return code
	}
}

// BuildFor builds packages for an architecture.
func BuildFor(arch, to, ldflags string, packages ...string) error {
	for _, pkg := range packages {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", ldflags, "-tags", tags(pkg), "-o", to, pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build %s: %w\n%s", pkg, err, out)
		}
	}
	return nil
}

// tags are those of the Makefile. What is for the controller alone has none: it
// need not be small, and speaks HTTP/2.
func tags(pkg string) string {
	if slices.Contains([]string{"linux_patch_manager", "enrollment_admin"}, filepath.Base(pkg)) {
		return ""
	}
	return "validator_novalidatefn,nethttpomithttp2"
}

// Dir returns the directory of the programs. It must be called by a test, not by
// TestMain: only what is opened while tests run enters the cache's record. It
// panics where sources cannot be read, since a test that is not tied may lie.
func (p *Programs) Dir() string {
	if err := p.tie(); err != nil {
		panic(err)
	}
	return p.dir
}

// Path returns the path of a program, under the terms of Dir.
func (p *Programs) Path(name string) string { return filepath.Join(p.Dir(), name) }

// Sources lists the files and directories of this module that packages are
// built from. Directories count, since a new file in one is built too.
func Sources(packages ...string) ([]string, error) {
	const format = `{{with .Module}}{{if .Main}}{{.GoMod}}{{"\n"}}{{.Dir}}/go.sum{{"\n"}}{{end}}{{end -}}
{{if and .Module .Module.Main}}{{$d := .Dir}}{{$d}}{{range .GoFiles}}{{"\n"}}{{$d}}/{{.}}{{end}}{{range .EmbedFiles}}{{"\n"}}{{$d}}/{{.}}{{end}}{{end}}`
	cmd := exec.Command("go", append([]string{"list", "-deps", "-f", format}, packages...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	return strings.Fields(string(out)), nil
}

// Tie opens files and directories, by which a test depends on them. One that is
// missing, such as go.sum, is a dependency too.
func Tie(paths []string) error {
	for _, path := range paths {
		f, err := os.Open(path)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}
