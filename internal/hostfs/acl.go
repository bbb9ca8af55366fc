package hostfs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/afero"
	"golang.org/x/sys/unix"
)

// aclAccess is the attribute in which Linux keeps a POSIX ACL; a file whose
// mode says everything has none.
const aclAccess = "system.posix_acl_access"

// The layout of an ACL, from the kernel's posix_acl_xattr.h: a version, then
// entries of tag, permissions and id, all little-endian.
const (
	aclHeader = 4
	aclEntry  = 8

	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
)

// acl is a POSIX ACL as the kernel shows it.
type acl []byte

// entries calls f with the tag, the permissions and the id of each entry.
func (a acl) entries(f func(at int, tag, perm uint16, id uint32)) {
	for at := aclHeader; at+aclEntry <= len(a); at += aclEntry {
		f(at, binary.LittleEndian.Uint16(a[at:]), binary.LittleEndian.Uint16(a[at+2:]), binary.LittleEndian.Uint32(a[at+4:]))
	}
}

// writers lists the users and groups that an entry of their own lets write, and
// reports whether the owning group may write. The mask, which a file's group
// bits show, is the caller's business.
func (a acl) writers() (named []string, group bool) {
	a.entries(func(_ int, tag, perm uint16, id uint32) {
		switch {
		case perm&2 == 0:
		case tag == aclUser && id != 0:
			named = append(named, fmt.Sprintf("user %d", id))
		case tag == aclGroup && id != 0:
			named = append(named, fmt.Sprintf("group %d", id))
		case tag == aclGroupObj:
			group = true
		}
	})
	return named, group
}

// withMode returns the ACL as chmod(2) to mode leaves it, so that a new file is
// never more open than it will be.
func (a acl) withMode(mode os.FileMode) acl {
	b := append(acl(nil), a...)
	b.entries(func(at int, tag, _ uint16, _ uint32) {
		shift, fixed := map[uint16]int{0x01: 6, aclMask: 3, 0x20: 0}[tag]
		if fixed {
			binary.LittleEndian.PutUint16(b[at+2:], uint16(mode>>shift)&7)
		}
	})
	return b
}

// keeps reports whether a new file takes this attribute over from the one that
// it replaces: ACL, labels, and what users have noted. Capabilities and
// signatures belong to a content, not to a name.
func keeps(name string) bool {
	switch name {
	case aclAccess, "security.selinux", "security.SMACK64":
		return true
	}
	return strings.HasPrefix(name, "user.")
}

// xattrs returns the attributes of the file at path that its successor keeps;
// none for a missing file and on a file system that has no attributes.
func (h *Host) xattrs(path string) (map[string][]byte, error) {
	f, err := h.open(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fd, ok := descriptor(f)
	if !ok {
		return nil, nil
	}
	names, err := listXattrs(fd)
	if err != nil {
		return nil, fmt.Errorf("list attributes of %s: %w", path, err)
	}
	kept := map[string][]byte{}
	for _, name := range names {
		if !keeps(name) {
			continue
		}
		if kept[name], err = getXattr(fd, name); err != nil {
			return nil, fmt.Errorf("read %s of %s: %w", name, path, err)
		}
	}
	return kept, nil
}

// listXattrs returns the names of the attributes behind fd. A growing list is
// asked for again.
func listXattrs(fd int) ([]string, error) {
	raw, err := sized(func(to []byte) (int, error) { return unix.Flistxattr(fd, to) })
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(raw), func(r rune) bool { return r == 0 }), nil
}

// getXattr returns one attribute, nil where there is none.
func getXattr(fd int, name string) ([]byte, error) {
	return sized(func(to []byte) (int, error) { return unix.Fgetxattr(fd, name, to) })
}

func sized(call func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; {
		raw := make([]byte, size)
		n, err := call(raw)
		switch {
		case err == nil:
			return raw[:n], nil
		case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOSYS):
			return nil, nil
		case errors.Is(err, unix.ERANGE) && size < 1<<16:
			size = 1 << 16
		case !errors.Is(err, unix.EINTR):
			return nil, err
		}
	}
}

// keep gives the staged file f the attributes of the file that it is to
// replace, and takes an ACL away that its directory alone has given it.
func keep(f afero.File, target string, kept map[string][]byte, mode os.FileMode) error {
	fd, ok := descriptor(f)
	if !ok {
		return nil
	}
	if kept[aclAccess] == nil {
		if inherited, _ := getXattr(fd, aclAccess); inherited != nil {
			if err := unix.Fremovexattr(fd, aclAccess); err != nil {
				return fmt.Errorf("keep %s without an ACL: %w", target, err)
			}
		}
	}
	for name, value := range kept {
		if name == aclAccess {
			value = acl(value).withMode(mode)
		}
		if now, err := getXattr(fd, name); err == nil && now != nil && string(now) == string(value) {
			continue
		}
		if err := unix.Fsetxattr(fd, name, value, 0); err != nil {
			return fmt.Errorf("keep %s of %s: %w", name, target, err)
		}
	}
	return nil
}

// aclOf returns the ACL of a file or directory, nil where it has none or it
// can't be read.
func (h *Host) aclOf(path string) acl {
	f, err := h.open(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	fd, ok := descriptor(f)
	if !ok {
		return nil
	}
	raw, _ := getXattr(fd, aclAccess)
	return raw
}
