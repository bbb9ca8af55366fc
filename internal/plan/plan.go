// Package plan compares a host's files as they are with what they should be,
// and says the difference twice: as changes that a program applies, and as a
// diff that a person reads. Both come from the same comparison, so that a diff
// cannot promise what a run does not do.
//
// It is pure: it reads no file, asks no clock, and shows of a file's content
// only the text that its caller gives it, because some of these files are
// private keys.
package plan

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
)

// File is one file as it is, or as it should be.
type File struct {
	Path   string
	Exists bool
	// Content is compared, never shown.
	Content []byte
	// Text is what a diff may show of Content. It is called only for a diff:
	// on most hosts, most times, nothing changes.
	Text     func() string
	Mode     fs.FileMode
	UID, GID int
}

// Op is what a Change does to a file.
type Op string

// The operations of a plan.
const (
	Create     Op = "create"
	Replace    Op = "replace"
	Attributes Op = "set attributes of"
	Remove     Op = "remove"
)

// Change is one file's way from what it is to what it should be.
type Change struct {
	Op     Op
	Before File
	After  File
}

// Compare returns the change that leads from before to after, nil where there is
// none. Mode and owner of a file that is not to exist do not count.
func Compare(before, after File) *Change {
	c := &Change{Before: before, After: after}
	switch {
	case !before.Exists && !after.Exists:
		return nil
	case !before.Exists:
		c.Op = Create
	case !after.Exists:
		c.Op = Remove
	case !bytes.Equal(before.Content, after.Content):
		c.Op = Replace
	case !sameAttributes(before, after):
		c.Op = Attributes
	default:
		return nil
	}
	return c
}

func sameAttributes(a, b File) bool {
	return a.Mode.Perm() == b.Mode.Perm() && a.UID == b.UID && a.GID == b.GID
}

func (f File) attributes() string {
	return fmt.Sprintf("mode %04o, owner %d, group %d", f.Mode.Perm(), f.UID, f.GID)
}

// Action says the change in one line, for a result's list of actions.
func (c Change) Action() string {
	switch c.Op {
	case Remove:
		return fmt.Sprintf("%s %s", c.Op, c.Before.Path)
	case Attributes:
		return fmt.Sprintf("%s %s: %s to %s", c.Op, c.After.Path, c.Before.attributes(), c.After.attributes())
	default:
		return fmt.Sprintf("%s %s (%s)", c.Op, c.After.Path, c.After.attributes())
	}
}

// Diff is one file's entry in a result's diff, in the shape that Ansible's
// callbacks print.
type Diff struct {
	BeforeHeader string `json:"before_header"`
	AfterHeader  string `json:"after_header"`
	Before       string `json:"before"`
	After        string `json:"after"`
}

// Diff shows the change. Ansible prints nothing for an entry whose two texts
// are equal, so the attributes stand in the text where they differ.
func (c Change) Diff() Diff {
	same := c.Before.Exists && c.After.Exists && sameAttributes(c.Before, c.After)
	return Diff{
		BeforeHeader: header(c.Before, c.After.Path),
		AfterHeader:  header(c.After, c.Before.Path),
		Before:       text(c.Before, same),
		After:        text(c.After, same),
	}
}

func header(f File, other string) string {
	path := cmp.Or(f.Path, other)
	if !f.Exists {
		return path + " (absent)"
	}
	return path
}

func text(f File, sameAttributes bool) string {
	switch {
	case !f.Exists:
		return ""
	case sameAttributes:
		return f.Text()
	default:
		return "# " + f.attributes() + "\n" + f.Text()
	}
}
