package hostfs

import (
	"fmt"
	"os"
	"strings"
)

// TakeOwnership is how every refusal for the sake of an owner or a mode ends:
// the option that makes a host's files root's.
const TakeOwnership = "or, where what is there now is to be trusted, run enrollment once with take_ownership (role: enroll_take_ownership)"

// takes ends the messages themselves.
const takes = "; take_ownership makes it root's alone"

// Access is who may write a file besides root and the user of this process.
// The zero value is no one.
type Access struct {
	// Owner is the user to whom the file belongs; empty where it is ours.
	Owner string
	// Others are the group, "everybody", and those whom an ACL names.
	Others []string
}

// Closed reports whether no one else may write the file.
func (a Access) Closed() bool { return a.Owner == "" && len(a.Others) == 0 }

// String lists who may write.
func (a Access) String() string {
	all := a.Others
	if a.Owner != "" {
		all = append([]string{a.Owner}, all...)
	}
	return strings.Join(all, " and ")
}

// Access tells who else may write a file that was read. Group root counts as
// root, and the user's own private group as the user.
func (h *Host) Access(f File) Access {
	var a Access
	if !f.Exists {
		return a
	}
	if !h.ours(f.UID) {
		a.Owner = fmt.Sprintf("user %d", f.UID)
	}
	a.Others = h.writers(f.Path, f.Mode, f.GID == 0 || h.private(f.UID, f.GID), f.GID)
	return a
}

// Foreign returns the refusal of a file that another user owns, or that others
// may write; nil where no one else may write it.
func (h *Host) Foreign(f File) error {
	a := h.Access(f)
	if a.Closed() {
		return nil
	}
	var fix []string
	if a.Owner != "" {
		fix = append(fix, fmt.Sprintf("chown %d %s", h.opt.UID, f.Path))
	}
	if len(a.Others) > 0 {
		fix = append(fix, "chmod go-w "+f.Path)
	}
	return refuse(strings.Join(fix, " && ")+", "+TakeOwnership,
		"%s may be written by %s (mode %04o)"+takes, f.Path, a, f.Mode.Perm())
}

// Assume returns a Host for which these directories and files are closed to
// others already, for the check mode of what closes them.
func (h *Host) Assume(paths []string) *Host {
	assuming := *h
	assuming.assumed = map[string]bool{}
	for _, path := range paths {
		assuming.assumed[path] = true
	}
	return &assuming
}

// private reports whether a group is that of this process's user alone, as
// distributions with umask 002 have it.
func (h *Host) private(uid, gid int) bool {
	return uid != 0 && uid == h.opt.UID && gid == uid && gid == h.opt.GID
}

// writers lists who may write by the mode, besides the owner. With an ACL the
// group's bits are its mask, and its entries say who that is.
func (h *Host) writers(path string, mode os.FileMode, harmless bool, gid int) []string {
	if mode&0o002 != 0 {
		return []string{"everybody"}
	}
	if mode&0o020 == 0 {
		return nil
	}
	var who []string
	group := true
	if acl := h.aclOf(path); acl != nil {
		who, group = acl.writers()
	}
	if group && !harmless {
		who = append([]string{fmt.Sprintf("group %d", gid)}, who...)
	}
	return who
}
