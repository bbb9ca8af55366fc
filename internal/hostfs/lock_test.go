package hostfs

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
)

// expired is a context with which a lock is tried once.
func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	t.Cleanup(cancel)
	return ctx
}

func TestLock(t *testing.T) {
	s := newSandbox(t)
	h, now := s.host(), expired(t)
	if _, err := h.Lock(now, "/l", true, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing lock that may not be made: got %v, want %v", err, fs.ErrNotExist)
	}
	first, err := h.Lock(now, "/l", false, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, shared := range []bool{false, true} {
		_, err := h.Lock(now, "/l", shared, true)
		if !errors.Is(err, ErrBusy) || !errors.Is(err, context.Canceled) || contract.CodeOf(err) != contract.CodeLocked {
			t.Errorf("a held lock, shared %v: %v", shared, err)
		}
	}
	first.Unlock()
	var readers []*Lock
	for range 2 {
		l, err := h.Lock(now, "/l", true, false)
		if err != nil {
			t.Fatal(err)
		}
		readers = append(readers, l)
	}
	if _, err := h.Lock(now, "/l", false, false); !errors.Is(err, ErrBusy) {
		t.Errorf("exclusive beside shared: got %v, want %v", err, ErrBusy)
	}
	for _, l := range readers {
		l.Unlock()
	}
	if info, err := os.Stat(s.out("/l")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the lock file: got %v, %v, want 0o600", info, err)
	}
	(*Lock)(nil).Unlock()
}

func TestLockWaits(t *testing.T) {
	s := newSandbox(t)
	h := s.host()
	held, err := h.Lock(context.Background(), "/l", false, true)
	if err != nil {
		t.Fatal(err)
	}
	tried := make(chan struct{}, 1)
	f := &faultfs.Fs{}
	f.Before = func(op faultfs.Op) {
		if op.Name == "flock" {
			select {
			case tried <- struct{}{}:
			default:
			}
		}
	}
	got := make(chan error)
	go func() {
		l, err := s.faulty(f).Lock(context.Background(), "/l", false, true)
		l.Unlock()
		got <- err
	}()
	<-tried
	held.Unlock()
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// A lock file that is replaced while someone waits for it: the lock on the
// old one is worth nothing.
func TestLockReplacedFile(t *testing.T) {
	s := newSandbox(t)
	replaced := false
	f := &faultfs.Fs{}
	f.Before = func(op faultfs.Op) {
		if op.Name == "flock" && !replaced {
			replaced = true
			s.write("/other", "", 0o600)
			if err := os.Rename(s.out("/other"), s.out("/l")); err != nil {
				t.Error(err)
			}
		}
	}
	l, err := s.faulty(f).Lock(context.Background(), "/l", false, true)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Unlock()
	if _, err := s.host().Lock(expired(t), "/l", false, true); !errors.Is(err, ErrBusy) {
		t.Errorf("the file at the path is not the locked one: got %v, want %v", err, ErrBusy)
	}
}

func TestLockErrors(t *testing.T) {
	for _, errno := range []error{syscall.ENOLCK, syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.EIO} {
		s := newSandbox(t)
		f := &faultfs.Fs{At: 1, Forever: true, Err: errno, Match: func(op faultfs.Op) bool { return op.Name == "flock" }}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		_, err := s.faulty(f).Lock(ctx, "/l", false, true)
		cancel()
		wantCode(t, err, contract.CodeFilesystem, "can't lock /l")
		if !errors.Is(err, errno) || errors.Is(err, ErrBusy) {
			t.Errorf("%v: got %v, want %v, other than %v", errno, err, errno, ErrBusy)
		}
	}
	s := newSandbox(t)
	s.mkdir("/d", 0o755)
	if err := syscall.Mkfifo(s.out("/fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("made", s.out("/link")); err != nil {
		t.Fatal(err)
	}
	s.mkdir("/open", 0o777)
	for _, path := range []string{"/d", "/fifo", "/link", "/open/l", "relative"} {
		if l, err := s.host().Lock(expired(t), path, false, true); err == nil {
			l.Unlock()
			t.Errorf("%s was locked, want an error", path)
		} else {
			wantCode(t, err, contract.CodeFilesystem, path[:2])
		}
	}
	if _, err := os.Lstat(s.out("/made")); err == nil {
		t.Error("a file was made through a link")
	}
}
