package docscheck_test

import (
	"strings"
	"testing"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/identity"
)

// identityWith is a host that has these files and nothing else; without any it
// is a good one.
func identityWith(t *testing.T, files map[string]string) identity.Source {
	t.Helper()
	if files == nil {
		files = map[string]string{"/etc/machine-id": strings.Repeat("3d", 16) + "\n", "/etc/hostname": "web1.example.com\n"}
	}
	fs := afero.NewMemMapFs()
	for path, content := range files {
		if err := afero.WriteFile(fs, path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	source := identity.System(fs)
	source.Uname = func() (identity.Uname, error) {
		return identity.Uname{Nodename: "localhost", Release: "6.1.0", Machine: "x86_64"}, nil
	}
	return source
}
