package report

import (
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/plan"
)

// Shown makes a plan's file; describe turns its content into what a diff may
// show.
func Shown(f hostfs.File, describe func([]byte) string) plan.File {
	return plan.File{
		Path: f.Path, Exists: f.Exists, Content: f.Content, Mode: f.Mode.Perm(), UID: f.UID, GID: f.GID,
		Text: func() string { return describe(f.Content) },
	}
}

// ShownText shows a file that holds no secret as it is.
func ShownText(f hostfs.File) plan.File {
	return Shown(f, func(b []byte) string { return string(b) })
}

// Show puts a change, if it is one, into the result: as an action, as a diff, as
// `changed`.
func (r *Result) Show(c *plan.Change) {
	if c == nil {
		return
	}
	r.Changed = true
	r.Act(c.Action())
	r.Diff = append(r.Diff, c.Diff())
}
