package hostfs

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLstatBeneathIsLstat: one system call says of a file what os says.
func TestLstatBeneathIsLstat(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.WriteFile(at("file"), []byte("four"), 0o640), os.Chmod(at("file"), 0o640|fs.ModeSetuid|fs.ModeSetgid),
		os.Mkdir(at("sticky"), 0o755), os.Chmod(at("sticky"), 0o777|fs.ModeSticky),
		os.Symlink("file", at("link")), os.Symlink("nowhere", at("broken")), unix.Mkfifo(at("fifo"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	socket, err := net.Listen("unix", at("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	root, err := OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, path := range []string{at("file"), at("sticky"), at("link"), at("broken"), at("fifo"), at("socket"), "/dev/null", dir} {
		want, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		got, ok, _ := root.lstatBeneath(path[1:])
		if !ok {
			t.Skip("this kernel has no openat2: os.Root is used")
		}
		if got.Name() != want.Name() || got.Size() != want.Size() || got.Mode() != want.Mode() || !got.ModTime().Equal(want.ModTime()) || got.IsDir() != want.IsDir() || !os.SameFile(got, want) {
			t.Errorf("%s: got %s, want %s", path, fs.FormatFileInfo(got), fs.FormatFileInfo(want))
		}
	}
}

// TestBeneathFollowsWhatRootFollows: links above a file are followed where they
// stay inside, and only there.
func TestBeneathFollowsWhatRootFollows(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "real", "file"), []byte("inside"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"inside": "real", "outside": "../" + filepath.Base(dir) + "/real", "absolute": filepath.Join(dir, "real")} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, want := range map[string]bool{"real": true, "inside": true, "outside": false, "absolute": false} {
		if _, _, err := root.LstatIfPossible("/" + name + "/file"); (err == nil) != want {
			t.Errorf("%s: got %v, want it found: %v", name, err, want)
		}
		f, err := root.OpenFile("/"+name+"/file", os.O_RDONLY|unix.O_NOFOLLOW, 0)
		if (err == nil) != want {
			t.Errorf("%s: got %v, want it opened: %v", name, err, want)
		}
		if err == nil {
			f.Close()
		}
		if straight := root.Straight("/" + name); straight && name != "real" {
			t.Errorf("%s: got a path without links, want none", name)
		}
	}
}
