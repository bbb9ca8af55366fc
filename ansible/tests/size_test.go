package tests

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// sizeBudget bounds what a new host is sent. Before raising it, look for what a
// change has linked: go tool nm -size -sort size.
const sizeBudget = 3_200_000

// TestSizeBudget holds the shipped programs, as they are built and packed, to
// what a host on a slow line can be asked to take.
func TestSizeBudget(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		f, err := os.Open(filepath.Join(collections, "ansible_collections/linux_patch/api/artifacts", "linux-"+arch, "enrollment"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var packed counter
		w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, f); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		t.Logf("linux-%s: %d bytes in gzip -9, %d are allowed", arch, packed, sizeBudget)
		if packed > sizeBudget {
			t.Errorf("linux-%s is too large", arch)
		}
	}
}

// counter counts what is written to it.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
