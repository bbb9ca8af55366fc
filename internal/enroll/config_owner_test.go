package enroll_test

import (
	"context"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/hostfs"
)

// self is who runs the program.
type self struct {
	enroll.HostAccounts
	uid int
}

func (s self) Self() (uid, gid int) { return s.uid, s.uid }

// Root follows the paths of config.yaml, so root is told who may write it.
func TestRootIsToldWhoMayWriteTheConfig(t *testing.T) {
	const decides = ": whoever that is decides which files root replaces; run "
	for _, c := range []struct {
		name          string
		self          int
		missing       bool
		uid, gid      int
		mode          fs.FileMode
		who, commands string
	}{
		{name: "root's", mode: 0o640},
		{name: "root's, group root", mode: 0o660},
		{name: "root's, read by a group", gid: 50, mode: 0o640},
		{name: "a user's", uid: 1000, mode: 0o400, who: "user 1000 (mode 0400)", commands: "chown root /c.yaml"},
		{name: "a group's", gid: 50, mode: 0o660, who: "group 50 (mode 0660)", commands: "chmod go-w /c.yaml"},
		{name: "everybody's", mode: 0o646, who: "everybody (mode 0646)", commands: "chmod go-w /c.yaml"},
		{name: "all of them", uid: 1000, gid: 50, mode: 0o666, who: "user 1000 and group 50 and everybody (mode 0666)",
			commands: "chown root /c.yaml && chmod go-w /c.yaml"},
		{name: "not as root", self: 1000, uid: 1000, mode: 0o666},
		{name: "missing", missing: true, uid: 1000},
	} {
		e := &enroll.Enroller{Accounts: self{uid: c.self}}
		var want []string
		if c.who != "" {
			want = []string{"/c.yaml may be written by " + c.who + decides + c.commands}
		}
		if got := e.ConfigWarnings(hostfs.File{Path: "/c.yaml", Exists: !c.missing, UID: c.uid, GID: c.gid, Mode: c.mode}); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", c.name, got, want)
		}
	}
}

// Both modules say so, and go on.
func TestBothModulesTellWhoMayWriteTheConfig(t *testing.T) {
	r := newRig(t)
	must(t, os.Chmod(r.path("/etc/linux_patch_api/config.yaml"), 0o646))
	for as, told := range map[int]bool{0: true, 1000: false} {
		e := r.enroller(nil)
		e.Accounts = self{uid: as}
		p := enroll.DefaultParams()
		p.State, p.Check = "absent", true
		res := e.Run(context.Background(), p)
		info := e.Info(context.Background(), enroll.DefaultInfoParams())
		if res.Failed || info.Failed {
			t.Fatal(res.Msg, info.Msg)
		}
		for _, warnings := range [][]string{res.Warnings, info.Warnings} {
			if strings.Contains(strings.Join(warnings, " "), "config.yaml may be written by") != told {
				t.Errorf("as user %d: warnings %q", as, warnings)
			}
		}
	}
}
