// Package hostfs changes files on the host so that a kill, a full disk or a
// hostile neighbour at any moment leaves the old state or the new one.
//
// It promises:
//
//   - Commit replaces a set of files: all are staged and synced beside their
//     targets, a journal is synced, then they are renamed one after the other.
//     Finish, at the next run, ends what a kill interrupted.
//   - An error before the first rename leaves the old files untouched. After
//     it the commit goes forward, now or at the next Finish.
//   - Edit changes one file under the lock that its other writers take, and
//     notices a writer that takes none.
//   - A Slot takes an answer that can't be had twice with one write and one
//     sync, on space that was reserved before.
//   - A file that replaces another keeps its owner, ACL, label and user
//     attributes, or does not replace it.
//   - No symbolic link is followed but by Resolve, and no directory is trusted that someone
//     else may write. CheckPath makes that so for the whole path; after it no
//     other user can swap an element between the check and the use.
//   - Temp files are created 0600 with O_EXCL under unique names in the
//     target's directory. StaleTemps and SweepTemps know them by their names.
//
// It does not promise:
//
//   - that a reader who opens two files of one commit sees both old or both
//     new while the renames run (the order of the changes bounds the harm, see
//     Commit);
//   - attributes of other kinds than ACL, label and user.*: capabilities and
//     signatures belong to the old content;
//   - that removed secrets can't be read from the raw disk.
//
// Commit, Finish, SweepTemps and the slots expect their caller to hold the
// run lock. All file access goes through afero.Fs; locks, preallocation and
// questions about the file system use the descriptor of an afero.File that
// has one.
package hostfs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/spf13/afero"
	"golang.org/x/sys/unix"
)

// MaxFile is the size that Read accepts: whitelists and CRLs of large fleets
// take megabytes, and a hostile file must not fill the memory.
const MaxFile = 64 << 20

// Keep leaves, as a UID or GID, the owner or group as it is.
const Keep = -1

// Options are what a Host takes from outside.
type Options struct {
	// UID and GID are the effective ids of the process.
	UID, GID int
	Now      func() time.Time
	// Random makes the names of temp files unique.
	Random io.Reader
}

// Host is the file system of the host, seen by one user.
type Host struct {
	fs  afero.Fs
	opt Options
	// assumed are directories and files that would be ours by now: see Assume.
	assumed map[string]bool
	// straight are directories that no link leads to: see AtOnce.
	straight map[string]bool
}

// New makes a Host over fs, a RootFs in production.
func New(fs afero.Fs, opt Options) *Host {
	return &Host{fs: fs, opt: opt}
}

// Attributes are what a file has besides its content. Mode is its permission
// bits; UID and GID may be Keep.
type Attributes struct {
	Mode     os.FileMode
	UID, GID int
}

// File is a regular file as it was read.
type File struct {
	Path    string
	Exists  bool
	Content []byte
	// Mode is the permission bits.
	Mode     os.FileMode
	UID, GID int
}

func (f File) attributes() Attributes {
	return Attributes{Mode: f.Mode, UID: f.UID, GID: f.GID}
}

// hash is the SHA-256 of the content in hex, and empty for a missing file, as
// the journal records it.
func (f File) hash() string {
	if !f.Exists {
		return ""
	}
	return hash(f.Content)
}

func hash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Read returns the regular file at path. A missing one has Exists false and
// is no error; a link, FIFO, directory or device is one, and so is a file
// larger than MaxFile.
func (h *Host) Read(path string) (File, error) {
	var content bytes.Buffer
	file, err := h.readTo(&content, path, func(size int64) {
		// The size beforehand, so that a large file is not copied as it grows.
		content.Grow(int(size) + bytes.MinRead)
	})
	if file.Exists {
		file.Content = content.Bytes()
	}
	return file, err
}

// Digest is Read with the SHA-256 of the content, in hex, in place of it; ""
// where there is no file.
func (h *Host) Digest(path string) (File, string, error) {
	sum := sha256.New()
	file, err := h.readTo(sum, path, func(int64) {})
	if err != nil || !file.Exists {
		return file, "", err
	}
	return file, hex.EncodeToString(sum.Sum(nil)), nil
}

func (h *Host) readTo(to io.Writer, path string, expect func(size int64)) (File, error) {
	f, file, err := h.Open(path)
	if err != nil || !file.Exists {
		return file, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		expect(min(info.Size(), MaxFile))
	}
	n, err := io.Copy(to, io.LimitReader(f, MaxFile+1))
	if err != nil {
		return File{}, failed(fmt.Errorf("read %s: %w", path, err))
	}
	if n > MaxFile {
		return File{}, refuse("move it away", "%s is larger than %d bytes", path, MaxFile)
	}
	return file, nil
}

// Open is Read for a caller that takes the content in parts, and bounds it. A
// missing file has Exists false, and nothing to close.
func (h *Host) Open(path string) (afero.File, File, error) {
	// Looked at before it is opened: opening a device can do something.
	if file, err := h.Stat(path); err == nil && !file.Exists {
		return nil, file, nil
	} else if err != nil {
		return nil, File{}, h.why(path, err)
	}
	// O_NONBLOCK: opening a FIFO must not wait for a writer.
	f, err := h.open(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, File{Path: path}, nil
	}
	if err != nil {
		return nil, File{}, h.why(path, err)
	}
	file, _, err := h.examine(f, path)
	if err != nil {
		return nil, File{}, errors.Join(err, f.Close())
	}
	return f, file, nil
}

// why says more of a failure: what is wrong with the way to a file explains it
// better than that it ends.
func (h *Host) why(path string, err error) error {
	if why := h.CheckPath(path); why != nil {
		return why
	}
	return failed(err)
}

// Stat is Read without the content.
func (h *Host) Stat(path string) (File, error) {
	info, err := h.lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return File{Path: path}, nil
	}
	if err != nil {
		return File{}, failed(err)
	}
	return h.describe(path, info)
}

// describe refuses what is not a regular file.
func (h *Host) describe(path string, info os.FileInfo) (File, error) {
	if !info.Mode().IsRegular() {
		return File{}, refuse("move it away, or name another path", "%s is %s, not a regular file", path, kind(info.Mode()))
	}
	uid, gid := h.owner(info)
	if h.assumed[path] {
		return File{Path: path, Exists: true, Mode: info.Mode().Perm() &^ 0o022, UID: h.opt.UID, GID: gid}, nil
	}
	return File{Path: path, Exists: true, Mode: info.Mode().Perm(), UID: uid, GID: gid}, nil
}

func kind(mode os.FileMode) string {
	switch {
	case mode.IsRegular():
		return "a file"
	case mode&os.ModeSymlink != 0:
		return "a symbolic link"
	case mode.IsDir():
		return "a directory"
	case mode&os.ModeNamedPipe != 0:
		return "a FIFO"
	case mode&os.ModeSocket != 0:
		return "a socket"
	case mode&os.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}

func (h *Host) open(path string, flag int, perm os.FileMode) (afero.File, error) {
	return h.fs.OpenFile(path, flag|unix.O_NOFOLLOW, perm)
}

func (h *Host) lstat(path string) (os.FileInfo, error) {
	if l, ok := h.fs.(afero.Lstater); ok {
		info, _, err := l.LstatIfPossible(path)
		return info, err
	}
	return h.fs.Stat(path)
}

// owner tells who owns a file; on a file system without owners, the caller.
func (h *Host) owner(info os.FileInfo) (uid, gid int) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid), int(st.Gid)
	}
	return h.opt.UID, h.opt.GID
}

// ours tells whether uid is one that can do to our files what it likes anyway.
func (h *Host) ours(uid int) bool { return uid == 0 || uid == h.opt.UID }

// descriptor returns the file descriptor behind f, where there is one.
func descriptor(f afero.File) (int, bool) {
	d, ok := f.(interface{ Fd() uintptr })
	if !ok || d.Fd() == ^uintptr(0) {
		return -1, false
	}
	return int(d.Fd()), true
}

// syncDir makes the names in dir durable. A file system that can't sync
// directories says EINVAL; there is nothing more to do on it.
func (h *Host) syncDir(dir string) error {
	f, err := h.open(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
