package faultfs

import (
	"errors"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/spf13/afero"
)

// script does one thing after another, and stops at no error.
func script(f *Fs) (errs []error) {
	file, err := f.Create("/a")
	errs = append(errs, err)
	if file != nil {
		_, err = file.WriteString("0123456789")
		errs = append(errs, err, file.Sync(), file.Close())
	}
	return append(errs, f.Rename("/a", "/b"))
}

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name    string
		fs      *Fs
		path    string // what is there afterwards
		content string
	}{
		{"none", &Fs{}, "/b", "0123456789"},
		{"the write", &Fs{At: 2}, "/b", "01234"},
		{"the write, late", &Fs{At: 2, Late: true}, "/b", "0123456789"},
		{"dead at the write", &Fs{At: 2, Forever: true}, "/a", "01234"},
		{"dead after the write", &Fs{At: 2, Forever: true, Late: true}, "/a", "0123456789"},
		{"dead at the sync", &Fs{At: 3, Forever: true}, "/a", "0123456789"},
		{"the rename", &Fs{At: 5}, "/a", "0123456789"},
		{"the rename, late", &Fs{At: 5, Late: true}, "/b", "0123456789"},
		{"only renames count", &Fs{At: 1, Match: func(op Op) bool { return op.Name == "rename" }}, "/a", "0123456789"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inner := afero.NewMemMapFs()
			f := c.fs
			f.Inner, f.Err = inner, syscall.EIO
			failed := 0
			for _, err := range script(f) {
				if err == nil {
					continue
				}
				if failed++; !errors.Is(err, syscall.EIO) {
					t.Errorf("not the fault: got %v, want %v", err, syscall.EIO)
				}
			}
			if (failed > 0) != (f.At > 0) || failed > 1 != f.Forever || f.Failed() != (f.At > 0) {
				t.Errorf("%d failed", failed)
			}
			content, err := afero.ReadFile(inner, c.path)
			if err != nil || string(content) != c.content {
				t.Errorf("%s: got %q, %v, want %v", c.path, content, err, c.content)
			}
		})
	}
}

func TestCountsEverything(t *testing.T) {
	f := &Fs{Inner: afero.NewOsFs()}
	dir := t.TempDir()
	file, err := f.OpenFile(dir+"/a", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for _, do := range []func() error{
		file.(*countedFile).Sync,
		func() error { return file.(*countedFile).Flock(syscall.LOCK_EX) },
		func() error { _, err := file.WriteAt([]byte("x"), 0); return err },
		func() error { _, err := file.Seek(0, io.SeekStart); return err },
		func() error { _, err := io.ReadAll(file); return err },
		func() error { _, err := file.Stat(); return err },
		func() error { return file.Truncate(0) },
		file.Close,
		func() error { _, _, err := f.LstatIfPossible(dir + "/a"); return err },
		func() error { _, err := f.Stat(dir + "/a"); return err },
		func() error { return f.Chmod(dir+"/a", 0o600) },
		func() error { return f.Chown(dir+"/a", -1, -1) },
		func() error { return f.Mkdir(dir+"/d", 0o700) },
		func() error { return f.MkdirAll(dir+"/d/e", 0o700) },
		func() error { return f.Remove(dir + "/a") },
		func() error { return f.RemoveAll(dir + "/d") },
	} {
		before := len(f.Ops())
		if err := do(); err != nil {
			t.Error(err)
		}
		if len(f.Ops()) == before {
			t.Errorf("the operation after %v was not counted, want other than %v", f.Ops()[before-1], before)
		}
	}
}
