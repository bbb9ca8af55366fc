package hostfs

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/hostfs/faultfs"
)

// A run with another state directory sweeps the temp file of an edit that is
// under way. The edit failed, though nothing stood in its way.
func TestEditWhoseTempFileIsSweptIsMadeAgain(t *testing.T) {
	for _, backup := range []bool{false, true} {
		for _, at := range []string{"lstat", "chmod", "rename"} {
			s := newSandbox(t)
			if err := os.WriteFile(s.dir+"/list", []byte("old\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			swept := 0
			h := s.faulty(&faultfs.Fs{Before: func(op faultfs.Op) {
				if op.Name != at || swept > 1 {
					return
				}
				names, err := os.ReadDir(s.dir)
				if err != nil {
					t.Error(err)
				}
				for _, name := range names {
					if strings.HasSuffix(name.Name(), ".enroll~tmp") {
						swept++
						_ = os.Remove(s.dir + "/" + name.Name())
					}
				}
			}})
			opt := EditOptions{LockTimeout: time.Second, Backup: backup, Create: Attributes{Mode: 0o644, UID: Keep, GID: Keep}}
			_, err := h.Edit(context.Background(), "/list", opt, func(old []byte, _ bool) ([]byte, error) {
				return append(old, "new\n"...), nil
			})
			got, readErr := os.ReadFile(s.dir + "/list")
			if err != nil || readErr != nil || string(got) != "old\nnew\n" || swept == 0 {
				t.Errorf("backup %v, swept %d times before %s: %v, the file is %q", backup, swept, at, err, got)
			}
		}
	}
}
