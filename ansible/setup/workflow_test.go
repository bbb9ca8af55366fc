package setup_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// workflow is what is read of one.
type workflow struct {
	Jobs map[string]struct {
		Steps []struct {
			Name, Run string
			Env       map[string]string
		}
	}
}

// outside are the commands that talk to the world: each is replaced by one that
// notes its words.
var outside = []string{"apt-get", "gh", "ansible-galaxy", "make"}

// TestEachStepOfTheReleaseWorkflowRuns runs what the steps run, in order, in one
// copy of the tree, with keys of its own. What they build is tested elsewhere
// (TestRelease), so make is one of the commands that are only noted.
func TestEachStepOfTheReleaseWorkflowRuns(t *testing.T) {
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("gpg is not installed")
	}
	raw, err := os.ReadFile(filepath.Join(top, ".github", "workflows", "release.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var w workflow
	if err := yaml.Unmarshal(raw, &w); err != nil {
		t.Fatal(err)
	}
	dir, env := releaseRunner(t)
	ran := 0
	for _, step := range w.Jobs["release"].Steps {
		if step.Run == "" {
			continue
		}
		ran++
		c := exec.Command("bash", "-e", "-o", "pipefail", "-c", step.Run)
		c.Dir, c.Env = dir, env
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: got %v\n%s, want no error", step.Name, err, out)
		}
	}
	if ran != 5 {
		t.Errorf("got %d steps that run something, want 5", ran)
	}
	said := string(read(t, dir, "said"))
	for _, want := range []string{
		"make release SIGN_KEY=/", " GPG_KEY=release@example.com",
		"ansible-galaxy collection publish build/release/linux_patch-api-9.tar.gz",
		"gh release create v", " --draft ", "build/release/SHA256SUMS",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("got\n%s\nwant %q in it", said, want)
		}
	}
	if strings.Contains(said, "PRIVATE KEY") {
		t.Error("a key stands in a command line")
	}
}

// releaseRunner is a checkout as the workflow finds it, and its environment.
func releaseRunner(t *testing.T) (dir string, env []string) {
	t.Helper()
	dir = t.TempDir()
	bin, home := filepath.Join(dir, "bin"), t.TempDir()
	for _, d := range []string{bin, filepath.Join(dir, "ansible", "setup"), filepath.Join(dir, "build", "release")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range outside {
		write(t, filepath.Join(bin, name), "#!/bin/sh\necho "+name+" \"$@\" >>"+filepath.Join(dir, "said")+"\n")
	}
	write(t, filepath.Join(dir, "ansible", "setup", "ansible"), "#!/bin/sh\necho "+bin+"\n")
	for _, name := range []string{"galaxy.yml", "CHANGELOG.md"} {
		write(t, filepath.Join(dir, name), string(read(t, top, name)))
	}
	for _, name := range []string{"SHA256SUMS", "linux_patch-api-9.tar.gz"} {
		write(t, filepath.Join(dir, "build", "release", name), name)
	}
	output(t, home, nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key")
	gpg := []string{"GNUPGHOME=" + home}
	output(t, home, gpg, "gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "release@example.com", "ed25519", "sign")
	secret := output(t, home, gpg, "gpg", "--batch", "--armor", "--export-secret-keys", "release@example.com")
	version := strings.TrimSpace(output(t, top, nil, "sed", "-n", "s/^version: *//p", "galaxy.yml"))
	return dir, append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "GITHUB_REF_NAME=v"+version, "GPG_NAME=release@example.com",
		"RELEASE_SSH_KEY="+string(read(t, home, "key")), "RELEASE_GPG_KEY="+secret)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}
