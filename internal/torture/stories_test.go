package torture_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/config"
)

// replaced are the files of others that a run replaces or edits.
var replaced = []string{
	"etc/config.yaml", "etc/whitelist.yaml", "certs/ca.pem", "certs/server.pem", "certs/server.key.pem", "certs/crl.pem",
}

// managersURL writes enrollment.manager_url to the config.yaml of an enrolled
// host, which is an edit of its own.
func managersURL() scenario {
	return scenario{
		name: "write the manager's URL", options: options{"config_manager_url": nil, "renew_before": 0},
		setup: func(s *site) {
			s.enrollLongAgo()
			after, err := config.SetManagerURL([]byte(s.config), s.lab.http.URL)
			must(s.t, err)
			s.configAfter = string(after)
		},
		prepare: func(s *site) { s.restore(s.template) },
	}
}

const (
	aclName   = "system.posix_acl_access"
	labelName = "user.label" // in the place of security.selinux
)

// readerACL is the ACL of a file of mode 0640 that user 12345 may read too.
var readerACL = []byte("\x02\x00\x00\x00" +
	"\x01\x00\x06\x00\xff\xff\xff\xff" + // user::rw-
	"\x02\x00\x04\x00\x39\x30\x00\x00" + // user:12345:r--
	"\x04\x00\x04\x00\xff\xff\xff\xff" + // group::r--
	"\x10\x00\x04\x00\xff\xff\xff\xff" + // mask::r--
	"\x20\x00\x00\x00\xff\xff\xff\xff") // other::---

// attributes renews a set whose files have an ACL and a label, with the token
// mirrored to such a config.yaml and an entry for such a whitelist. At no time
// does one of these names stand for a file that lacks them.
func attributes() scenario {
	return scenario{
		name: "renew, ACLs and labels",
		setup: func(s *site) {
			s.enrollLongAgo()
			must(s.t, os.WriteFile(s.path("etc/whitelist.yaml"), []byte(s.whitelist), 0o644))
			s.keyMode = 0o640
			for _, name := range replaced {
				s.label(name)
			}
			s.template = s.image()
		},
		prepare: func(s *site) { s.lab.forget(); s.restore(s.template) },
		between: attributesLost, end: attributesLost,
	}
}

// label gives a file the ACL, and a label of its own.
func (s *site) label(name string) {
	must(s.t, os.Chmod(s.path(name), 0o640))
	for attribute, value := range map[string][]byte{aclName: readerACL, labelName: []byte(name)} {
		if err := unix.Setxattr(s.path(name), attribute, value, 0); err != nil {
			s.t.Skipf("this file system keeps no %s: %v", attribute, err)
		}
	}
}

func attributesLost(s *site) (wrong []string) {
	want := s.template
	for _, name := range replaced {
		got, err := xattrs(s.path(name))
		if err != nil || !maps.Equal(got, want[s.layout.place(name)].xattrs) {
			wrong = append(wrong, fmt.Sprintf("%s has the attributes %q, %v, want %q", name, got, err, want[s.layout.place(name)].xattrs))
		}
	}
	return wrong
}

// xattrs returns the ACL and the user attributes of a file.
func xattrs(path string) (map[string]string, error) {
	buf := make([]byte, 1024)
	n, err := unix.Llistxattr(path, buf)
	if err == unix.ENOTSUP {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for name := range strings.SplitSeq(string(buf[:n]), "\x00") {
		if name != aclName && !strings.HasPrefix(name, "user.") {
			continue
		}
		value := make([]byte, 1024)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return nil, err
		}
		all[name] = string(value[:n])
	}
	return all, nil
}

// takeOwnership takes an enrolled host as the deployed installer leaves it,
// with everything in /etc/linux_patch_api another user's. That user has the
// files open still.
func takeOwnership() scenario {
	return scenario{
		name: "take ownership", root: true, layout: layout{home: deployedHome},
		options: options{"take_ownership": true, "renew_before": 0},
		setup: func(s *site) {
			s.enrollLongAgo()
			must(s.t, filepath.WalkDir(s.path("etc"), func(path string, _ fs.DirEntry, err error) error {
				must(s.t, err)
				return os.Lchown(path, foreign, foreign)
			}))
			s.template = s.image()
			for _, wrong := range stillRefused(s) {
				s.t.Fatal(wrong)
			}
		},
		prepare: func(s *site) { s.restore(s.template); s.hold() },
		between: func(s *site) []string { return append(takenInPlace(s), stillRefused(s)...) },
		end:     heldWritesInVain,
	}
}

// hold opens the files of the other user, as a process of theirs may have.
func (s *site) hold() {
	s.letGo()
	s.givenAway = map[string]fs.FileInfo{}
	for _, name := range replaced {
		f, err := os.OpenFile(s.path(name), os.O_WRONLY|os.O_APPEND, 0)
		must(s.t, err)
		s.held = append(s.held, f)
		s.givenAway[name], err = f.Stat()
		must(s.t, err)
	}
}

func (s *site) letGo() {
	for _, f := range s.held {
		_ = f.Close()
	}
	s.held = nil
}

// takenInPlace lists files that are root's and that the other user, who has
// them open, can write.
func takenInPlace(s *site) (wrong []string) {
	for name, was := range s.givenAway {
		now, err := os.Lstat(s.path(name))
		if err == nil && owner(now) == 0 && os.SameFile(was, now) {
			wrong = append(wrong, name+" is root's, and user 12345 has it open")
		}
	}
	return wrong
}

// stillRefused holds that a run without take_ownership uses nothing that the
// other user can write.
func stillRefused(s *site) []string {
	left := s.foreignLeft()
	if len(left) == 0 {
		return nil
	}
	posts, _, _ := s.lab.counts()
	r := s.run(s.command(s.lab, options{"renew_before": 0}))
	after, _, _ := s.lab.counts()
	if !r.Failed || !strings.Contains(r.Msg, "take_ownership") || after != posts {
		return []string{fmt.Sprintf("%q are another user's, %d requests: %s", left, after-posts, r.raw)}
	}
	return nil
}

// foreignLeft lists what is in use and the other user's.
func (s *site) foreignLeft() (left []string) {
	for _, name := range append([]string{"etc", "certs"}, replaced...) {
		if info, err := os.Lstat(s.path(name)); err == nil && owner(info) != 0 {
			left = append(left, name)
		}
	}
	return left
}

func owner(info fs.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }

// heldWritesInVain writes to what the other user has open: nothing of it comes
// into a file that is in use.
func heldWritesInVain(s *site) (wrong []string) {
	for _, f := range s.held {
		_, err := f.WriteString("\n# written by user 12345\n")
		must(s.t, err)
	}
	for _, name := range replaced {
		if s.holds(name, "written by user 12345") {
			wrong = append(wrong, name+" is the file that user 12345 has open")
		}
	}
	if left := s.foreignLeft(); len(left) > 0 {
		wrong = append(wrong, fmt.Sprintf("%q are another user's", left))
	}
	return wrong
}

// linkStays holds that root's link is there, and that nothing replaced it.
func linkStays(s *site) []string {
	link := filepath.Join(s.dir, deployedHome)
	if target, err := os.Readlink(link); err != nil || target != "../"+s.layout.home {
		return []string{fmt.Sprintf("%s leads to %q, %v", link, target, err)}
	}
	return nil
}
