package hostfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/afero"
)

// Link is a symbolic link that was followed.
type Link struct {
	Path, Target string
}

// maxLinks ends a circle of links, as the kernel does.
const maxLinks = 40

// AtOnce is the same host for paths that are resolved at one time: it looks once
// at a directory that several of them are in.
func (h *Host) AtOnce() *Host {
	once := *h
	once.straight = map[string]bool{}
	return &once
}

// Resolve returns path cleaned, and with the symbolic links above its last
// element followed, and names those. A link is followed where root or the user
// of this process made it and no one else could replace it. The last element is
// never followed: what stands there is to be replaced, not what it leads to.
func (h *Host) Resolve(path string) (string, []Link, error) {
	if !filepath.IsAbs(path) || strings.Contains(path+"/", "/../") || filepath.Clean(path) == "/" {
		return "", nil, refuse(`give an absolute path without ".."`, "%q is not an absolute path of a file without \"..\"", path)
	}
	path = filepath.Clean(path)
	dir, links, err := h.follow(filepath.Dir(path))
	return filepath.Join(dir, filepath.Base(path)), links, err
}

// ResolveDir is Resolve for a directory: it is above files of ours, and may be
// a link itself.
func (h *Host) ResolveDir(path string) (string, []Link, error) {
	file, links, err := h.Resolve(path + "/any")
	return filepath.Dir(file), links, err
}

// follow walks to dir from the root. It stops at what is missing: there are no
// links beyond it.
func (h *Host) follow(dir string) (string, []Link, error) {
	if h.straight[dir] {
		return dir, nil, nil
	}
	if kernel, ok := h.fs.(interface{ Straight(dir string) bool }); ok && kernel.Straight(dir) {
		if h.straight != nil {
			h.straight[dir] = true
		}
		return dir, nil, nil
	}
	var links []Link
	at, ahead := "/", split(dir)
	for len(ahead) > 0 {
		part := ahead[0]
		ahead = ahead[1:]
		if part == ".." {
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, part)
		info, err := h.lstat(next)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return filepath.Join(append([]string{next}, ahead...)...), links, nil
		case err != nil:
			return dir, links, failed(err)
		case info.Mode()&os.ModeSymlink == 0:
			at = next
			continue
		case len(links) == maxLinks:
			return dir, links, refuse("name the real directory in the path", "%s leads through too many symbolic links", dir)
		}
		link, err := h.readLink(at, next, info)
		if err != nil {
			return dir, links, err
		}
		links = append(links, link)
		if filepath.IsAbs(link.Target) {
			at = "/"
		}
		ahead = append(split(link.Target), ahead...)
	}
	return at, links, nil
}

func split(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(s string) bool { return s == "" || s == "." })
}

// readLink reads a link in the directory at, if no one else can have made it.
func (h *Host) readLink(at, path string, info os.FileInfo) (Link, error) {
	reader, ok := h.fs.(afero.LinkReader)
	if uid, _ := h.owner(info); !ok || !h.ours(uid) {
		return Link{}, refuse("name the real directory in the path", "%s is a symbolic link of user %d", path, uid)
	}
	for _, dir := range lineage(at) {
		above, err := h.lstat(dir)
		if err != nil {
			return Link{}, failed(err)
		}
		if err := h.trust(dir, above, true); err != nil {
			return Link{}, err
		}
	}
	target, err := reader.ReadlinkIfPossible(path)
	if err != nil {
		return Link{}, failed(err)
	}
	return Link{Path: path, Target: target}, nil
}
