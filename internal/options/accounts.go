package options

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
)

// Accounts resolves owners. HostAccounts is the real one.
type Accounts interface {
	UID(name string) (int, error)
	GID(name string) (int, error)
	// MayGive fails where this process cannot give a file to uid and gid; -1
	// stands for "leave it".
	MayGive(uid, gid int) error
	// Self is who runs this process.
	Self() (uid, gid int)
}

// HostAccounts resolves owners with this host's own accounts.
type HostAccounts struct{}

// UID resolves a user's name or number.
func (HostAccounts) UID(name string) (int, error) {
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return -1, fmt.Errorf("no such user on this host")
	}
	return strconv.Atoi(u.Uid)
}

// GID resolves a group's name or number.
func (HostAccounts) GID(name string) (int, error) {
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return -1, fmt.Errorf("no such group on this host")
	}
	return strconv.Atoi(g.Gid)
}

// Self is the effective user and group of this process.
func (HostAccounts) Self() (uid, gid int) { return os.Geteuid(), os.Getegid() }

// MayGive knows that root may give files to anybody, and others only to
// themselves and their groups.
func (HostAccounts) MayGive(uid, gid int) error {
	self := os.Geteuid()
	if self == 0 {
		return nil
	}
	if uid >= 0 && uid != self {
		return fmt.Errorf("user %d cannot give files to user %d", self, uid)
	}
	if gid < 0 || gid == os.Getegid() {
		return nil
	}
	groups, err := os.Getgroups()
	if err != nil || !slices.Contains(groups, gid) {
		return fmt.Errorf("user %d cannot give files to group %d", self, gid)
	}
	return nil
}
