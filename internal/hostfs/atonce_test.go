package hostfs

import (
	"path/filepath"
	"testing"

	"github.com/spf13/afero"
)

// countingFs counts how often it is asked about a directory.
type countingFs struct {
	afero.Fs
	asked map[string]int
}

func (c *countingFs) Straight(dir string) bool {
	c.asked[dir]++
	return filepath.Base(dir) != "linked"
}

func TestPathsResolvedAtOnceAskOnceForEachDirectory(t *testing.T) {
	fs := &countingFs{Fs: afero.NewMemMapFs(), asked: map[string]int{}}
	h := New(fs, Options{})
	once := h.AtOnce()
	for _, path := range []string{"/etc/tls/a", "/etc/tls/b", "/etc/linked/a", "/etc/linked/b", "/etc/tls/c"} {
		got, links, err := once.Resolve(path)
		if err != nil || got != path || links != nil {
			t.Errorf("got %q, %v, %v, want %q itself", got, links, err, path)
		}
	}
	if got := fs.asked["/etc/tls"]; got != 1 {
		t.Errorf("/etc/tls was looked at %d times, want once", got)
	}
	// A link may be changed at any time, so that each path is followed by itself.
	if got := fs.asked["/etc/linked"]; got != 2 {
		t.Errorf("/etc/linked was looked at %d times, want twice", got)
	}
	for range 2 {
		if _, _, err := h.Resolve("/etc/tls/a"); err != nil {
			t.Fatal(err)
		}
	}
	if got := fs.asked["/etc/tls"]; got != 3 {
		t.Errorf("without AtOnce, /etc/tls was looked at %d times, want each time", got-1)
	}
}
