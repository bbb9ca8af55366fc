package enroll

import (
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/report"
)

// desire is one of the four files as it is and as it shall be.
type desire struct {
	before, after plan.File
	isKey         bool
}

// desired says what the four files shall be under a set, in the order in which
// they are put in place: the certificate comes last, since its presence says
// that all the rest is there, and next to the key that it must fit. Without a set their
// content stays and only the attributes count.
func (r *run) desired(set *pki.Set) []desire {
	o := r.o
	all := []struct {
		file     hostfs.File
		content  func(*pki.Set) []byte
		describe func([]byte) string
		isKey    bool
	}{
		{o.ca, func(s *pki.Set) []byte { return s.CAPEM }, pki.DescribeCertificate, false},
		{o.crl, func(s *pki.Set) []byte { return r.crlContent(s) }, pki.DescribeCRL, false},
		{o.key, func(s *pki.Set) []byte { return s.KeyPEM }, pki.DescribeKey, true},
		{o.cert, func(s *pki.Set) []byte { return s.ServerPEM }, pki.DescribeCertificate, false},
	}
	var out []desire
	for _, f := range all {
		after := f.file
		if set != nil {
			after.Content = f.content(set)
			after.Exists = after.Content != nil
		}
		a := r.attributes(f.file, r.ModeOf(f.file, f.isKey))
		after.Mode, after.UID, after.GID = a.Mode, a.UID, a.GID
		out = append(out, desire{before: report.Shown(f.file, f.describe), after: report.Shown(after, f.describe), isKey: f.isKey})
	}
	return out
}

// crlContent is the CRL beside a set. A bundle without one leaves a CRL that
// the same CA signed, and removes another CA's.
func (r *run) crlContent(set *pki.Set) []byte {
	if len(set.CRLPEM) > 0 {
		return set.CRLPEM
	}
	if r.o.crl.Exists && pki.CRLSignedBy(r.o.crl.Content, set.CA) {
		return r.o.crl.Content
	}
	return nil
}

// showFiles shows the changes of files.
func (r *run) showFiles(changes []desire) {
	for _, d := range changes {
		c, _ := plan.Compare(d.before, d.after)
		r.res.Show(c)
	}
}
