package hostfs

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/afero"
)

const (
	tempEnd   = ".enroll~tmp"
	hexDigits = "0123456789abcdef"
)

// isTempName tells the names of our temp files: hidden from globs such as
// *.pem, unique, and like no one else's. It is no regular expression: those are
// compiled at each start, and a converged run ends within milliseconds.
func isTempName(name string) bool {
	rest, ours := strings.CutSuffix(name, tempEnd)
	dot := strings.LastIndexByte(rest, '.')
	if !ours || dot < 0 || strings.Contains(name, "/") {
		return false
	}
	base, unique := rest[:dot], rest[dot+1:]
	return len(base) > 1 && base[0] == '.' && len(unique) == 16 && consistsOf(unique, hexDigits)
}

// consistsOf tells whether every character of s is one of set.
func consistsOf(s, set string) bool { return strings.Trim(s, set) == "" }

// createTemp creates a new, empty file of mode 0600 beside target.
func (h *Host) createTemp(target string) (afero.File, string, error) {
	dir, base := filepath.Split(target)
	for range 4 {
		var unique [8]byte
		if _, err := io.ReadFull(h.opt.Random, unique[:]); err != nil {
			return nil, "", fmt.Errorf("random name for %s: %w", target, err)
		}
		temp := dir + "." + base + "." + hex.EncodeToString(unique[:]) + tempEnd
		f, err := h.open(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			return f, temp, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			// A network file system may have made it and lost the answer.
			return nil, "", also(err, h.removeIfThere(temp))
		}
	}
	return nil, "", fmt.Errorf("temp file for %s: every name is taken: %w", target, fs.ErrExist)
}

// stage writes a file beside target that a rename can put in its place:
// complete, with owner, mode, and what keeps names of the file at target, and
// synced. On an error it leaves nothing.
func (h *Host) stage(target string, write func(io.Writer) error, a Attributes) (temp string, err error) {
	kept, err := h.xattrs(target)
	if err != nil {
		return "", err
	}
	return h.stageWith(target, write, a, kept)
}

// whole writes content in one call.
func whole(content []byte) func(io.Writer) error {
	return func(to io.Writer) error {
		_, err := to.Write(content)
		return err
	}
}

// stageWith is stage with given attributes to keep; nil are those of a file
// that is new.
func (h *Host) stageWith(target string, write func(io.Writer) error, a Attributes, kept map[string][]byte) (temp string, err error) {
	f, temp, err := h.createTemp(target)
	if err != nil {
		return "", err
	}
	if err := h.fill(f, temp, write, a, func() error {
		if kept == nil {
			return nil
		}
		return keep(f, target, kept, a.Mode)
	}); err != nil {
		f.Close()
		return "", also(err, h.removeIfThere(temp))
	}
	return temp, nil
}

func (h *Host) fill(f afero.File, temp string, write func(io.Writer) error, a Attributes, keep func() error) error {
	if err := write(f); err != nil {
		return fmt.Errorf("write %s: %w", temp, err)
	}
	if err := keep(); err != nil {
		return err
	}
	// The owner before the mode: until both are right the file stays 0600.
	if err := h.apply(temp, a); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", temp, err)
	}
	// Some network file systems report a full disk only here.
	return f.Close()
}

// apply gives a file of mode 0600, or tighter than a.Mode, its attributes.
func (h *Host) apply(path string, a Attributes) error {
	info, err := h.lstat(path)
	if err != nil {
		return err
	}
	uid, gid := h.owner(info)
	if a.UID != Keep && a.UID != uid || a.GID != Keep && a.GID != gid {
		if err := h.fs.Chown(path, a.UID, a.GID); err != nil {
			return err
		}
	}
	if info.Mode().Perm() != a.Mode.Perm() {
		return h.fs.Chmod(path, a.Mode.Perm())
	}
	return nil
}

func (h *Host) removeIfThere(path string) error {
	if err := h.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// StaleTemps lists the temp files that killed runs left in dirs.
func (h *Host) StaleTemps(dirs []string) ([]string, error) {
	return h.temps(dirs, nil)
}

// SweepTemps removes the temp files that killed runs left in dirs, but not
// those that the journal keep still needs. It goes on after an error.
func (h *Host) SweepTemps(dirs []string, keep *Journal) (removed int, err error) {
	stale, err := h.temps(dirs, keep)
	for _, path := range stale {
		if failure := h.removeIfThere(path); failure != nil {
			err = cmp.Or(err, failure)
			continue
		}
		removed++
	}
	return removed, failed(err)
}

// temps returns what it found and the first error.
func (h *Host) temps(dirs []string, keep *Journal) (found []string, first error) {
	dirs = slices.Clone(dirs)
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		names, err := h.list(dir)
		first = cmp.Or(first, err)
		// A directory may have many files, of which few are ours.
		names = slices.DeleteFunc(names, func(name string) bool { return !isTempName(name) })
		slices.Sort(names)
		for _, name := range names {
			path := filepath.Join(dir, name)
			if keep.needs(path) {
				continue
			}
			info, err := h.lstat(path)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				first = cmp.Or(first, err)
				continue
			}
			if uid, _ := h.owner(info); info.Mode().IsRegular() && h.ours(uid) {
				found = append(found, path)
			}
		}
	}
	return found, failed(first)
}
