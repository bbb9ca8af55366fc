package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

const top = "../../.."

// TestAReleaseIsTheSameWhereverAndWheneverItIsBuilt compares the release of this
// tree with that of a copy elsewhere, which has other times, another umask, home,
// and time zone, and compiler flags in its environment. With LINUX_PATCH_COLD=1,
// as `make reproduce` sets it, nothing is taken from Go's build cache either.
func TestAReleaseIsTheSameWhereverAndWheneverItIsBuilt(t *testing.T) {
	here := release(t)

	elsewhere := filepath.Join(t.TempDir(), "a directory", "whose path is longer", "enroll")
	copyTree(t, elsewhere)
	home := t.TempDir()
	// Ansible and Go's downloads are what the machine has, not what is built.
	ansible := strings.TrimSpace(output(t, top, nil, "ansible/setup/ansible"))
	modules := strings.TrimSpace(output(t, top, nil, "go", "env", "GOMODCACHE"))
	cache := strings.TrimSpace(output(t, top, nil, "go", "env", "GOCACHE"))
	if os.Getenv("LINUX_PATCH_COLD") != "" {
		cache = filepath.Join(home, "go-build")
	}
	output(t, elsewhere, []string{
		"PATH=" + ansible + ":" + os.Getenv("PATH"), "HOME=" + home, "GOCACHE=" + cache, "GOMODCACHE=" + modules,
		"TZ=Pacific/Chatham", "GOAMD64=v3", "GOFLAGS=-race=false -tags=another", "SOURCE_DATE_EPOCH=86400",
	}, "sh", "-c", "umask 077 && make release")
	there := filepath.Join(elsewhere, "build", "release")

	names := list(t, here)
	if got := list(t, there); !slices.Equal(got, names) {
		t.Fatalf("the files differ:\n got %v\nwant %v", got, names)
	}
	for _, name := range names {
		if !bytes.Equal(read(t, here, name), read(t, there, name)) {
			t.Errorf("%s differs", name)
		}
	}
}

func TestTheChecksumsOfAReleaseVerify(t *testing.T) {
	dir := release(t)
	covered := len(strings.Split(strings.TrimSpace(string(read(t, dir, "SHA256SUMS"))), "\n"))
	if want := len(list(t, dir)) - 1; covered != want {
		t.Errorf("SHA256SUMS has %d lines for %d files", covered, want)
	}
	output(t, dir, nil, "sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")

	changed := one(t, dir, "*.cdx.json")
	if err := os.WriteFile(changed, append(read(t, changed), ' '), 0o600); err != nil {
		t.Fatal(err)
	}
	check := exec.Command("sha256sum", "--check", "--quiet", "SHA256SUMS")
	check.Dir = dir
	if out, err := check.CombinedOutput(); err == nil {
		t.Errorf("a changed file passes: %s", out)
	}
}

func TestTheBillNamesTheModulesThatEachProgramHas(t *testing.T) {
	dir := release(t)
	raw, err := os.Open(one(t, dir, "*.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(raw, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	uses := map[string][]string{}
	for _, d := range *bom.Dependencies {
		uses[d.Ref] = *d.Dependencies
	}
	described := map[string]cdx.Component{}
	for _, c := range *bom.Components {
		described[c.BOMRef] = c
	}

	programs, libraries := 0, map[string]bool{}
	for _, name := range list(t, dir) {
		if !strings.Contains(name, "-linux-") {
			continue
		}
		programs++
		want := modulesOf(t, filepath.Join(dir, name))
		if !slices.Equal(uses[name], want) {
			t.Errorf("%s:\n got %v\nwant %v", name, uses[name], want)
		}
		sum := sha256.Sum256(read(t, dir, name))
		if got := (*described[name].Hashes)[0].Value; got != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: the bill has %s", name, got)
		}
		for _, module := range want {
			libraries[module] = true
		}
	}
	if programs < 4 {
		t.Errorf("only %d programs", programs)
	}
	for ref, c := range described {
		if c.Type == cdx.ComponentTypeLibrary && !libraries[ref] {
			t.Errorf("%s is in no program", ref)
		}
	}
	if len(described) != programs+len(libraries) {
		t.Errorf("%d components, want %d programs and %d modules", len(described), programs, len(libraries))
	}
}

func TestTheProgramsOfAReleaseAreThoseOfTheTarball(t *testing.T) {
	dir := release(t)
	unpacked := t.TempDir()
	output(t, dir, nil, "tar", "-xzf", filepath.Base(one(t, dir, "*.tar.gz")), "-C", unpacked)
	found, err := filepath.Glob(filepath.Join(unpacked, "artifacts", "linux-*", "*"))
	if err != nil || len(found) < 4 {
		t.Fatalf("%v, %v", found, err)
	}
	for _, path := range found {
		single := one(t, dir, filepath.Base(path)+"-*-"+filepath.Base(filepath.Dir(path)))
		if !bytes.Equal(read(t, path), read(t, single)) {
			t.Errorf("%s differs", single)
		}
	}
}

// modulesOf are those that `go version -m` prints, and the standard library.
func modulesOf(t *testing.T, program string) []string {
	t.Helper()
	var found []string
	for i, line := range strings.Split(output(t, top, nil, "go", "version", "-m", program), "\n") {
		words := strings.Fields(line)
		switch {
		case i == 0:
			found = append(found, "pkg:golang/std@"+strings.TrimPrefix(words[1], "go"))
		case len(words) > 2 && words[0] == "dep":
			found = append(found, "pkg:golang/"+words[1]+"@"+words[2])
		}
	}
	if len(found) < 5 {
		t.Fatalf("%s: %v", program, found)
	}
	return found
}

// release makes one of the tarball that `make test` has built.
func release(t *testing.T) string {
	t.Helper()
	if os.Getenv("LINUX_PATCH_BUILT") == "" {
		output(t, top, nil, "make", "collection")
	}
	dir := filepath.Join(t.TempDir(), "release")
	output(t, top, nil, "ansible/setup/release", one(t, top, "build", "linux_patch-api-*.tar.gz"), dir)
	return dir
}

// copyTree copies the sources, with times of another century.
func copyTree(t *testing.T, to string) {
	t.Helper()
	past := time.Date(1999, 12, 31, 23, 59, 0, 0, time.UTC)
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); path != top && (name == "build" || name == ".venv" || name == ".git") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		target := filepath.Join(to, strings.TrimPrefix(path, top))
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(target, raw, info.Mode().Perm()); err != nil {
			return err
		}
		return os.Chtimes(target, past, past)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func output(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	if strings.Contains(name, "/") {
		name = filepath.Join(top, name)
		abs, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		name = abs
	}
	c := exec.Command(name, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), env...)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s%s", name, args, err, out, said.Bytes())
	}
	return string(out)
}

func one(t *testing.T, pattern ...string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v", filepath.Join(pattern...), found, err)
	}
	path, err := filepath.Abs(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
