package install

import (
	"io/fs"
	"slices"

	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/report"
)

// attributes are what a file should have: the options, else what it has, else
// who runs this.
func (in *Installer) attributes(f hostfs.File, mode fs.FileMode) hostfs.Attributes {
	uid, gid := in.Accounts.Self()
	if f.Exists {
		uid, gid = f.UID, f.GID
	}
	if in.UID >= 0 {
		uid = in.UID
	}
	if in.GID >= 0 {
		gid = in.GID
	}
	return hostfs.Attributes{Mode: mode, UID: uid, GID: gid}
}

func attributesOf(f plan.File) hostfs.Attributes {
	return hostfs.Attributes{Mode: f.Mode, UID: f.UID, GID: f.GID}
}

// desire is one of the four files as it is and as it should be.
type desire struct {
	before, after plan.File
	isKey         bool
}

// met reports whether the file is as it should be.
func (d desire) met() bool { return plan.Compare(d.before, d.after) == nil }

// desired says what the four files should be under a set, in the order in which
// they are put in place: the certificate comes last, since its presence says
// that all the rest is there, and next to the key that it must fit. Without a set their
// content stays and only the attributes count.
func (in *Installer) desired(set *pki.Set) []desire {
	o := in.Disk
	all := []struct {
		file     hostfs.File
		content  func(*pki.Set) []byte
		describe func([]byte) string
		isKey    bool
	}{
		{o.CA, func(s *pki.Set) []byte { return s.CAPEM }, pki.DescribeCertificate, false},
		{o.CRL, func(s *pki.Set) []byte { return in.crlContent(s) }, pki.DescribeCRL, false},
		{o.Key, func(s *pki.Set) []byte { return s.KeyPEM }, pki.DescribeKey, true},
		{o.Cert, func(s *pki.Set) []byte { return s.ServerPEM }, pki.DescribeCertificate, false},
	}
	var out []desire
	for _, f := range all {
		after := f.file
		if set != nil {
			after.Content = f.content(set)
			after.Exists = after.Content != nil
		}
		a := in.attributes(f.file, in.ModeOf(f.file, f.isKey))
		after.Mode, after.UID, after.GID = a.Mode, a.UID, a.GID
		out = append(out, desire{before: report.Shown(f.file, f.describe), after: report.Shown(after, f.describe), isKey: f.isKey})
	}
	return out
}

// crlContent is the CRL beside a set. A bundle without one leaves a CRL that
// the same CA signed, and removes another CA's. What cannot be read stays: an
// agent lets no client in beside it, and without it those that are revoked.
func (in *Installer) crlContent(set *pki.Set) []byte {
	if content := set.CRL.PEM(); content != nil {
		return content
	}
	if in.Disk.CRL.Exists && !pki.CRLOfAnother(in.Disk.CRL.Content, set.CA) {
		return in.Disk.CRL.Content
	}
	return nil
}

// showFiles shows the changes of files.
func (in *Installer) showFiles(changes []desire) {
	for _, d := range changes {
		in.Result.Show(plan.Compare(d.before, d.after))
	}
}

// changes are the files that a set replaces.
func (in *Installer) changes(set *pki.Set) []desire {
	return slices.DeleteFunc(in.desired(set), desire.met)
}
