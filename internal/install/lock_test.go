package install_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs/hosttest"
	"github.com/linux-patch/enroll/internal/options"
)

// hold locks a file or directory as another process does, until the test ends.
func (s *site) hold(name string) {
	s.t.Helper()
	flag := os.O_RDONLY
	if info, err := os.Stat(s.Path(name)); err != nil || !info.IsDir() {
		flag = os.O_RDWR | os.O_CREATE
	}
	f, err := os.OpenFile(s.Path(name), flag, 0o600)
	hosttest.Must(s.t, err)
	s.t.Cleanup(func() { f.Close() })
	hosttest.Must(s.t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
}

// TestADirectorysLockIsNotWaitedForForEver: anyone who may read one can hold it.
func TestADirectorysLockIsNotWaitedForForEver(t *testing.T) {
	s := newSite(t)
	s.hold(filepath.Dir(certFile))
	b := s.bundle()
	res := s.provision(b, nil)
	s.is(b)
	warns(t, res, "went on without the lock of a directory")

	in := s.installer(func(p *options.Params) { p.LockTimeout = options.Span(1 << 40) })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if lock, err := in.Alone(ctx); err == nil {
		lock.Unlock()
		t.Error("got no error after a signal, want the wait ended")
	}
}

// TestLocksThatOthersHold are found before the manager is asked; a shared one
// stops a run, and check mode only by one that is held alone.
func TestLocksThatOthersHold(t *testing.T) {
	for _, c := range []struct {
		name, lock string
		check      bool
		option     func(*options.Params)
	}{
		{"the whitelist", listFile + ".lock", false, nil},
		{"the whitelist, in check mode", listFile + ".lock", true, nil},
		{"config.yaml, which has a token", configFile + ".lock", false, nil},
	} {
		s := newSite(t)
		s.Write(configFile, "enrollment:\n  polling_token: "+token+"\n", 0o600)
		s.hold(c.lock)
		in := s.installer(func(p *options.Params) { p.Check = c.check })
		failsWith(t, in.Preflight(context.Background(), false), contract.CodeLocked, c.lock, "lslocks", "nothing was asked of the manager yet")
		if got := s.read(configFile); strings.Count(got, token) != 1 {
			t.Errorf("%s: got %q, want it unchanged", c.name, got)
		}
	}
}
