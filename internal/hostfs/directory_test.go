package hostfs

import (
	"errors"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"

	"golang.org/x/sys/unix"
)

func TestEnsureDir(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077} {
		old := syscall.Umask(umask)
		s := newSandbox(t)
		f := &faultfs.Fs{}
		err := s.faulty(f).EnsureDir("/a/b/state", 0o700)
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		for path, mode := range map[string]os.FileMode{"/a": 0o755, "/a/b": 0o755, "/a/b/state": 0o700} {
			if info, err := os.Stat(s.out(path)); err != nil || info.Mode().Perm() != mode {
				t.Errorf("umask %03o, %s: got %v, %v, want %v", umask, path, info.Mode(), err, mode)
			}
		}
		var synced []string
		for _, op := range f.Ops() {
			if op.Name == "sync" {
				synced = append(synced, op.Path)
			}
		}
		if !slices.Equal(synced, []string{"/", "/a", "/a/b"}) {
			t.Errorf("synced %v", synced)
		}
	}
}

func TestEnsureDirExisting(t *testing.T) {
	s := newSandbox(t)
	h := s.host()
	s.mkdir("/d", 0o750)
	s.mkdir("/open", 0o777)
	s.mkdir("/tmp", 0o777|os.ModeSticky)
	s.write("/file", "", 0o600)
	if err := os.Symlink("d", s.out("/link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/d", "/tmp/new/state"} {
		if err := h.EnsureDir(path, 0o700); err != nil {
			t.Error(err)
		}
	}
	if info, err := os.Stat(s.out("/d")); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("the mode of an existing directory was changed: got %v, %v, want 0o750", info.Mode(), err)
	}
	for path, inMessage := range map[string]string{
		"/open": "/open", "/open/new": "/open", "/tmp": "/tmp", "/link": "/link is a symbolic link",
		"/link/new": "/link is a symbolic link", "/file": "/file is a file", "/file/new": "/file is a file", "new": "clean",
	} {
		wantCode(t, h.EnsureDir(path, 0o700), contract.CodeFilesystem, inMessage)
	}
	if _, err := os.Stat(s.out("/open/new")); err == nil {
		t.Error("a directory was made in one that others may write")
	}
}

func TestEnsureDirFaults(t *testing.T) {
	eachFault(t, func(f *faultfs.Fs) {
		if err := newSandbox(t).faulty(f).EnsureDir("/a/b", 0o700); err != nil {
			t.Fatal(err)
		}
	}, func(name string, fault *faultfs.Fs) {
		s := newSandbox(t)
		_ = s.faulty(fault).EnsureDir("/a/b", 0o700)
		if err := s.quick().EnsureDir("/a/b", 0o700); err != nil {
			t.Errorf("%s: once more: got %v, want no error", name, err)
		}
	})
}

func TestWritable(t *testing.T) {
	s := newSandbox(t)
	s.mkdir("/ro", 0o555)
	for _, path := range []string{"/", "/missing/too"} {
		if err := s.host().Writable(path); err != nil {
			t.Error(err)
		}
	}
	if os.Geteuid() != 0 {
		for _, path := range []string{"/ro", "/ro/missing"} {
			wantCode(t, s.host().Writable(path), contract.CodeFilesystem, "/ro")
		}
		return
	}
	// Modes do not hold root; a file system that is mounted read-only does.
	withMounts(t, func() {
		ro := s.out("/ro")
		if err := unix.Mount(ro, ro, "", unix.MS_BIND, ""); err != nil {
			t.Error(err)
			return
		}
		if err := unix.Mount(ro, ro, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Error(err)
			return
		}
		root, err := OpenRoot(s.dir)
		if err != nil {
			t.Error(err)
			return
		}
		defer root.Close()
		h := New(root, Options{UID: os.Geteuid(), GID: os.Getegid()})
		for _, path := range []string{"/ro", "/ro/missing"} {
			if err := h.Writable(path); contract.CodeOf(err) != contract.CodeFilesystem || !errors.Is(err, unix.EROFS) {
				t.Errorf("%s: got %v, want %v, %v", path, err, contract.CodeFilesystem, unix.EROFS)
			}
		}
	})
}

func TestSpace(t *testing.T) {
	s := newSandbox(t)
	for _, path := range []string{"/", "/missing/too"} {
		if err := s.host().Space(path, 1); err != nil {
			t.Error(err)
		}
		err := s.host().Space(path, 1<<62)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: got %v, want %v", path, err, syscall.ENOSPC)
		}
	}
}

func TestList(t *testing.T) {
	s := newSandbox(t)
	s.write("/d/b", "", 0o600)
	s.write("/d/a", "", 0o600)
	if names, err := s.host().List("/d"); err != nil || !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("%v, %v", names, err)
	}
	if names, err := s.host().List("/missing"); err != nil || len(names) > 0 {
		t.Errorf("got %v, %v, want none", names, err)
	}
	_, err := s.host().List("/d/a")
	wantCode(t, err, contract.CodeFilesystem, "/d/a")
}
