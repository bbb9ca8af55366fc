package hostfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/afero"
	"golang.org/x/sys/unix"
)

// CheckPath says whether a file at path can be trusted and replaced.
//
// Every directory above it must be a real one, owned by root or by the user
// of this process, and writable by no one else. A sticky directory such as
// /tmp may be above one that is ours: no one else can rename or remove that
// one. The user's own private group may write too, as distributions with
// umask 002 have it. Directories that are missing are no error; EnsureDir
// makes them.
//
// The file itself must be missing or regular, and neither a mount point
// (rename(2) would fail with EBUSY), nor immutable, nor append-only.
func (h *Host) CheckPath(path string) error {
	dir := filepath.Dir(path)
	exists, err := h.checkDir(path, dir)
	if err == nil {
		err = h.checkFS(dir)
	}
	if err != nil || !exists {
		return err
	}
	file, err := h.Stat(path)
	if err != nil {
		return err
	}
	return h.checkRename(dir, file)
}

// CheckAbove says whether the directories above a file can be trusted: CheckPath
// for a file that is only read.
func (h *Host) CheckAbove(path string) error {
	_, err := h.checkDir(path, filepath.Dir(path))
	return err
}

// lineage returns dir and all above it, from the top down.
func lineage(dir string) []string {
	all := []string{dir}
	for dir != "/" {
		dir = filepath.Dir(dir)
		all = append(all, dir)
	}
	slices.Reverse(all)
	return all
}

// checkFS refuses a directory that is the kernel's, or would be made in one.
func (h *Host) checkFS(dir string) error {
	f, at, err := h.openNearest(dir)
	if err != nil {
		return failed(err)
	}
	defer f.Close()
	return onDisk(f, at)
}

// checkDir checks dir and all above it, for the sake of path, and tells
// whether dir exists.
func (h *Host) checkDir(path, dir string) (exists bool, err error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/" {
		return false, refuse(`give an absolute path without "..", "." or doubled slashes`, "%q is not a clean absolute path", path)
	}
	for _, d := range lineage(dir) {
		info, err := h.lstat(d)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, failed(err)
		}
		if err := h.trust(d, info, d != dir); err != nil {
			return false, err
		}
	}
	return true, nil
}

// trust refuses a directory in which someone else could put a file or a link
// in place of ours.
func (h *Host) trust(dir string, info os.FileInfo, above bool) error {
	mode := info.Mode()
	if mode&os.ModeSymlink != 0 {
		return refuse("name the real directory in the path", "%s is a symbolic link", dir)
	}
	if !mode.IsDir() {
		return refuse("move it away, or name another path", "%s is %s, not a directory", dir, kind(mode))
	}
	uid, gid := h.owner(info)
	if h.assumed[dir] {
		return nil
	}
	if !h.ours(uid) {
		return refuse("chown root "+dir+", or name another path, "+TakeOwnership,
			"%s belongs to user %d, who could replace what is in it"+takes, dir, uid)
	}
	if mode&os.ModeSticky != 0 && above {
		return nil
	}
	who := h.writers(dir, mode, mode&0o002 == 0 && h.private(uid, gid), gid)
	if len(who) == 0 {
		return nil
	}
	return refuse("chmod go-w "+dir+", or name another path, "+TakeOwnership,
		"%s is writable by others (mode %04o): %s"+takes, dir, mode.Perm(), strings.Join(who, " and "))
}

// checkRename finds out before the fact whether a rename over file would fail.
func (h *Host) checkRename(dir string, file File) error {
	f, err := h.open(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return failed(err)
	}
	defer f.Close()
	fd, ok := descriptor(f)
	if !ok {
		return nil
	}
	const frozen = unix.STATX_ATTR_IMMUTABLE | unix.STATX_ATTR_APPEND
	if attr, _ := statx(fd, ""); attr&frozen != 0 {
		return refuse("chattr -i -a "+dir, "%s is immutable or append-only", dir)
	}
	if !file.Exists {
		return nil
	}
	attr, known := statx(fd, filepath.Base(file.Path))
	if attr&frozen != 0 {
		return refuse("chattr -i -a "+file.Path, "%s is immutable or append-only", file.Path)
	}
	mounted := attr&unix.STATX_ATTR_MOUNT_ROOT != 0
	if known&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		mounted = h.inMountinfo(file.Path)
	}
	if mounted {
		return refuse("mount its directory in place of the file",
			"%s is a mount point and can't be replaced", file.Path)
	}
	return nil
}

// statx returns the attributes of a file and which of them are known. Where
// the call is missing or forbidden none are, and the rename will tell.
func statx(dirfd int, name string) (attr, known uint64) {
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	var st unix.Statx_t
	if err := unix.Statx(dirfd, name, flags, 0, &st); err != nil {
		return 0, 0
	}
	return st.Attributes & st.Attributes_mask, st.Attributes_mask
}

// inMountinfo answers for kernels before 5.8, whose statx(2) does not tell
// mount points.
func (h *Host) inMountinfo(path string) bool {
	table, err := afero.ReadFile(h.fs, "/proc/self/mountinfo")
	return err == nil && mountPoint(string(table), path)
}

// mountPoint looks path up in the fifth field of mountinfo, see
// proc_pid_mountinfo(5).
func mountPoint(mountinfo, path string) bool {
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) > 4 && unescape(fields[4]) == path {
			return true
		}
	}
	return false
}

// unescape undoes the kernel's octal escapes of space, tab, newline and
// backslash.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
