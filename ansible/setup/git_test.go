package setup_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The tree is no collection: ansible-galaxy must not install it as an empty one.
func TestAnInstallationFromGitSaysWhatToDo(t *testing.T) {
	tree, home := path(t, top), t.TempDir()
	// A copy, since a source archive has no repository.
	copied := filepath.Join(home, "tree")
	if err := os.Mkdir(copied, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"galaxy.yml", "README.md"} {
		write(t, filepath.Join(copied, name), string(read(t, tree, name)))
	}
	output(t, copied, nil, "git", "init", "-q")
	output(t, copied, nil, "git", "add", ".")
	output(t, copied, nil, "git", "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "-qm", "tree")

	ansible := filepath.Join(path(t, strings.TrimSpace(output(t, top, nil, "ansible/setup/ansible"))), "ansible-galaxy")
	c := exec.Command(ansible, "collection", "install", "--offline", "--collections-path", home, "git+file://"+copied)
	c.Env = append(os.Environ(), "HOME="+home, "ANSIBLE_HOME="+home)
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "cannot_be_installed_from_git__run_make_collection") {
		t.Errorf("got %v\n%s\nwant a failure that says to run make collection", err, out)
	}
}
