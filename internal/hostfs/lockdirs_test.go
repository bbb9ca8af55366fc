package hostfs

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
)

func TestLockDirs(t *testing.T) {
	s := newSandbox(t)
	for _, dir := range []string{"/a", "/b"} {
		if err := os.Mkdir(s.out(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h, now := s.host(), expired(t)
	first, err := h.LockDirs(now, []string{"/b", "/a", "/missing", "/b"})
	if err != nil {
		t.Fatal(err)
	}
	for _, dirs := range [][]string{{"/a"}, {"/b"}, {"/a", "/b"}} {
		if _, err := h.LockDirs(now, dirs); !errors.Is(err, ErrBusy) || contract.CodeOf(err) != contract.CodeLocked {
			t.Errorf("%v: got %v, want %v, %v", dirs, err, ErrBusy, contract.CodeLocked)
		}
	}
	waited := make(chan error)
	go func() {
		l, err := h.LockDirs(context.Background(), []string{"/a", "/b"})
		l.Unlock()
		waited <- err
	}()
	first.Unlock()
	if err := <-waited; err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(s.out("/*/*")); len(left) > 0 {
		t.Errorf("%v was made, want none", left)
	}
}

// An attempt that gets one lock and not the other keeps none.
func TestLockDirsAllOrNone(t *testing.T) {
	s := newSandbox(t)
	for _, dir := range []string{"/a", "/b"} {
		if err := os.Mkdir(s.out(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h, now := s.host(), expired(t)
	b, err := h.LockDirs(now, []string{"/b"})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Unlock()
	if _, err := h.LockDirs(now, []string{"/a", "/b"}); !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	a, err := h.LockDirs(now, []string{"/a"})
	if err != nil {
		t.Errorf("/a is still held: got %v, want no error", err)
	}
	a.Unlock()
}

// Where directories can't be locked, as on NFS, there is no lock, and no error
// either; a failing disk is one.
func TestLockDirsErrors(t *testing.T) {
	for errno, ok := range map[syscall.Errno]bool{
		syscall.EBADF: true, syscall.ENOLCK: true, syscall.EOPNOTSUPP: true, syscall.EIO: false,
	} {
		s := newSandbox(t)
		h := s.faulty(&faultfs.Fs{At: 1, Err: errno, Match: func(op faultfs.Op) bool { return op.Name == "flock" }})
		l, err := h.LockDirs(expired(t), []string{"/"})
		if ok != (err == nil) {
			t.Errorf("%v: %v", errno, err)
		}
		l.Unlock()
	}
}
