// Package setup_test holds a release to what SECURITY.md says of it.
package setup_test

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

const top = "../.."

// TestRelease makes one release and holds it to all that is said of it.
func TestRelease(t *testing.T) {
	dir := release(t)
	for name, holds := range map[string]func(*testing.T, string){
		"is the same wherever and whenever it is built": isTheSameWhereverAndWheneverItIsBuilt,
		"the checksums verify":                          theChecksumsVerify,
		"the bills name the modules":                    theBillsNameTheModulesThatEachProgramHas,
		"the programs are those of the tarball":         theProgramsAreThoseOfTheTarball,
	} {
		t.Run(name, func(t *testing.T) { holds(t, dir) })
	}
}

// TestReleaseSignaturesVerify signs with keys of its own, verifies as SECURITY.md
// says, and sees that another key and another content fail.
func TestReleaseSignaturesVerify(t *testing.T) {
	for _, tool := range []string{"gpg", "ssh-keygen"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	keys := t.TempDir()
	env := []string{"GNUPGHOME=" + keys}
	for _, name := range []string{"ours", "theirs"} {
		output(t, keys, nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "ssh-"+name)
		output(t, keys, env, "gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", name+"@example.com", "ed25519", "sign")
		output(t, keys, env, "gpg", "--batch", "--output", name+".gpg", "--export", name+"@example.com")
		line := "releases@linux-patch.example " + string(read(t, keys, "ssh-"+name+".pub"))
		if err := os.WriteFile(filepath.Join(keys, "signers-"+name), []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir := release(t, append(env, "SIGN_KEY="+filepath.Join(keys, "ssh-ours"), "GPG_KEY=ours@example.com")...)

	checksums := func(signers string) error {
		c := exec.Command("sh", "-c", "ssh-keygen -Y verify -f "+signers+
			" -I releases@linux-patch.example -n linux-patch-release -s SHA256SUMS.sig < SHA256SUMS")
		c.Dir = dir
		return c.Run()
	}
	if err := checksums(filepath.Join(keys, "signers-ours")); err != nil {
		t.Errorf("the checksums' signature: got %v, want it to verify", err)
	}
	if checksums(filepath.Join(keys, "signers-theirs")) == nil {
		t.Error("the checksums' signature verifies with another key, want it refused")
	}

	ansible := filepath.Join(strings.TrimSpace(output(t, top, nil, "ansible/setup/ansible")), "ansible-galaxy")
	if !filepath.IsAbs(ansible) {
		ansible, _ = filepath.Abs(filepath.Join(top, ansible))
	}
	tarball := one(t, dir, "linux_patch-api-*.tar.gz")
	verify := func(keyring string) ([]byte, error) {
		home := t.TempDir()
		// ansible-galaxy takes a signature at the installation from a server alone; what
		// came as a file is verified in place.
		output(t, home, []string{"HOME=" + home, "ANSIBLE_HOME=" + home}, ansible, "collection", "install", "--offline", "--collections-path", home, tarball)
		c := exec.Command(ansible, "collection", "verify", "--offline", "--keyring", keyring, "--signature", "file://"+tarball+".asc",
			"--collections-path", home, "linux_patch.api")
		c.Env = append(os.Environ(), "HOME="+home, "ANSIBLE_HOME="+home, "GNUPGHOME="+home)
		if err := os.Chmod(home, 0o700); err != nil {
			t.Fatal(err)
		}
		return c.CombinedOutput()
	}
	if out, err := verify(filepath.Join(keys, "ours.gpg")); err != nil {
		t.Errorf("the collection with our keyring: got %v, want it verified\n%s", err, out)
	}
	if out, err := verify(filepath.Join(keys, "theirs.gpg")); err == nil {
		t.Errorf("the collection with another keyring: got it verified, want a refusal\n%s", out)
	}
}

// isTheSameWhereverAndWheneverItIsBuilt compares the release of this
// tree with that of a copy elsewhere, which has other times, another umask, home,
// and time zone, and compiler flags in its environment. With LINUX_PATCH_COLD=1,
// as `make reproduce` sets it, nothing is taken from Go's build cache either.
func isTheSameWhereverAndWheneverItIsBuilt(t *testing.T, here string) {
	elsewhere := filepath.Join(t.TempDir(), "a directory", "whose path is longer", "enroll")
	copyTree(t, elsewhere)
	home := t.TempDir()
	// The tools that pack are what the machine has, not what is built.
	if err := os.MkdirAll(filepath.Join(elsewhere, "build"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path(t, top, "build", "tools"), filepath.Join(elsewhere, "build", "tools")); err != nil {
		t.Fatal(err)
	}
	// So are Ansible and Go's downloads.
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

func theChecksumsVerify(t *testing.T, dir string) {
	covered := len(strings.Split(strings.TrimSpace(string(read(t, dir, "SHA256SUMS"))), "\n"))
	if want := len(list(t, dir)) - 1; covered != want {
		t.Errorf("SHA256SUMS has %d lines for %d files, want %v", covered, want, want)
	}
	output(t, dir, nil, "sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")

	changed := one(t, dir, "enrollment-*-linux-amd64.cdx.json")
	before := read(t, changed)
	if err := os.WriteFile(changed, append(slices.Clone(before), ' '), 0o600); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.WriteFile(changed, before, 0o600); err != nil {
			t.Error(err)
		}
	}()
	check := exec.Command("sha256sum", "--check", "--quiet", "SHA256SUMS")
	check.Dir = dir
	if out, err := check.CombinedOutput(); err == nil {
		t.Errorf("a changed file passes: got %s, want an error", out)
	}
}

func theBillsNameTheModulesThatEachProgramHas(t *testing.T, dir string) {
	programs := 0
	for _, name := range list(t, dir) {
		if !strings.Contains(name, "-linux-") || strings.HasSuffix(name, ".json") {
			continue
		}
		programs++
		bom := bill(t, filepath.Join(dir, name+".cdx.json"))
		var got []string
		for _, c := range *bom.Components {
			got = append(got, strings.SplitN(c.PackageURL, "?", 2)[0])
		}
		slices.Sort(got)
		want := modulesOf(t, filepath.Join(dir, name))
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n got %v\nwant %v", name, got, want)
		}
		arch := name[strings.LastIndex(name, "-")+1:]
		if purl := bom.Metadata.Component.PackageURL; !strings.Contains(purl, "goarch="+arch) {
			t.Errorf("%s: got %s, want goarch=%s in it", name, purl, arch)
		}
		sum := sha256.Sum256(read(t, dir, name))
		if want := hex.EncodeToString(sum[:]); property(bom, "cdx:gomod:binary:hash:SHA-256") != want {
			t.Errorf("%s: got another SHA-256 in the bill, want %s", name, want)
		}
	}
	if programs < 4 {
		t.Errorf("got %d programs, want 4 or more", programs)
	}
}

func bill(t *testing.T, path string) cdx.BOM {
	t.Helper()
	raw, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(raw, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	return bom
}

func property(bom cdx.BOM, name string) string {
	for _, p := range *bom.Metadata.Properties {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

func theProgramsAreThoseOfTheTarball(t *testing.T, dir string) {
	unpacked := t.TempDir()
	output(t, dir, nil, "tar", "-xzf", filepath.Base(one(t, dir, "*.tar.gz")), "-C", unpacked)
	found, err := filepath.Glob(filepath.Join(unpacked, "artifacts", "linux-*", "*.gz"))
	if err != nil || len(found) < 4 {
		t.Fatalf("got %v, %v, want 4 at least", found, err)
	}
	for _, path := range found {
		output(t, dir, nil, "gzip", "-d", path)
		path = strings.TrimSuffix(path, ".gz")
		single := one(t, dir, filepath.Base(path)+"-*-"+filepath.Base(filepath.Dir(path)))
		if !bytes.Equal(read(t, path), read(t, single)) {
			t.Errorf("%s differs", single)
		}
		program := filepath.Base(path)
		if page := read(t, one(t, dir, program+".[18]")); !bytes.Contains(page, []byte("\n.Nm "+program+"\n")) {
			t.Errorf("%s: got another page, want its manual page", program)
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
			found = append(found, "pkg:golang/std@"+words[1])
		case len(words) > 2 && words[0] == "dep":
			found = append(found, "pkg:golang/"+words[1]+"@"+words[2])
		case len(words) > 2 && words[0] == "=>":
			// It takes the place of the one before.
			found[len(found)-1] = "pkg:golang/" + words[1] + "@" + words[2]
		}
	}
	if len(found) < 5 {
		t.Fatalf("%s: got %v, want 5 at least", program, found)
	}
	return found
}

// release makes one of the tarball that `make test` has built.
func release(t *testing.T, env ...string) string {
	t.Helper()
	if os.Getenv("LINUX_PATCH_BUILT") == "" {
		output(t, top, nil, "make", "build", "collection")
	}
	dir := filepath.Join(t.TempDir(), "release")
	output(t, top, env, "ansible/setup/release", one(t, top, "build", "linux_patch-api-*.tar.gz"), dir)
	return dir
}

// copyTree copies the sources, with times of another century.
func copyTree(t *testing.T, to string) {
	t.Helper()
	past := time.Date(1999, 12, 31, 23, 59, 0, 0, time.UTC)
	err := filepath.WalkDir(top, func(from string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); from != top && (name == "build" || name == ".venv" || name == ".git") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		target := filepath.Join(to, strings.TrimPrefix(from, top))
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(from)
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
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
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
		t.Fatalf("%s %v: got %v\n%s%s, want no error", name, args, err, out, said.Bytes())
	}
	return string(out)
}

func one(t *testing.T, pattern ...string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: got %v, %v, want 1", filepath.Join(pattern...), found, err)
	}
	return path(t, found[0])
}

func path(t *testing.T, parts ...string) string {
	t.Helper()
	abs, err := filepath.Abs(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return abs
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
