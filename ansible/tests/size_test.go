package tests

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/linux-patch/enroll/internal/testbuild"
)

// sizeBudget bounds what a new host is sent, in bytes of gzip -9. Before raising
// it, look for what a change has linked: go tool nm -size -sort size.
const sizeBudget = 3_200_000

// TestSizeBudget holds the shipped programs, packed, to what a host on a slow
// line can be asked to take.
func TestSizeBudget(t *testing.T) {
	if err := testbuild.Tie([]string{tarball}); err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		packed, err := os.Stat(filepath.Join(collections, "ansible_collections/linux_patch/api/artifacts", "linux-"+arch, "enrollment.gz"))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("linux-%s: %d bytes in gzip -9, %d are allowed", arch, packed.Size(), sizeBudget)
		if packed.Size() > sizeBudget {
			t.Errorf("linux-%s: got %d bytes, want %d or fewer", arch, packed.Size(), sizeBudget)
		}
	}
}
