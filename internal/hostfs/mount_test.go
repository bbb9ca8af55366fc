package hostfs

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// withMounts runs f on a thread with a mount namespace of its own, so that
// what it mounts is gone when it returns. Only root can have one.
func withMounts(t *testing.T, f func()) {
	t.Helper()
	refused := make(chan error)
	go func() {
		defer close(refused)
		runtime.LockOSThread() // never unlocked: the thread ends with its namespace
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			refused <- err
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			refused <- err
			return
		}
		f()
	}()
	if err := <-refused; err != nil {
		t.Skipf("no mount namespace here: %v", err)
	}
}
