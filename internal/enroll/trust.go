package enroll

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/pki"
)

// refuseForeign stops a run that would rely on what somebody else may write:
// the directories of its files, and files of another user than the owner that
// was asked for.
func (r *run) refuseForeign() error {
	paths := []string{r.CACert, r.ServerCert, r.ServerKey, r.CRL}
	if r.WhitelistManager {
		paths = append(paths, r.Whitelist)
	}
	for _, path := range onePerDirectory(paths) {
		if err := r.Files.CheckAbove(path); err != nil {
			return err
		}
	}
	for _, f := range r.o.files() {
		if err := r.belongs(*f); err != nil {
			return err
		}
	}
	if !r.WhitelistManager {
		return nil
	}
	file, err := r.Files.Stat(r.Whitelist)
	if err != nil {
		return err
	}
	return r.belongs(file)
}

// onePerDirectory leaves out the files whose directory an earlier one has.
func onePerDirectory(paths []string) []string {
	var kept, seen []string
	for _, path := range paths {
		if dir := filepath.Dir(path); !slices.Contains(seen, dir) {
			kept, seen = append(kept, path), append(seen, dir)
		}
	}
	return kept
}

// belongs refuses a file of another user. One that root owns and others may
// write is repaired instead.
func (r *run) belongs(f hostfs.File) error {
	if r.KeepOwners || f.UID == r.UID || r.Files.Access(f).Owner == "" {
		return nil
	}
	return r.Files.Foreign(f)
}

// distrusted lists what a run would refuse, and a whitelist that it would close.
func (r *run) distrusted() []error {
	var all []error
	add := func(err error) {
		for _, known := range all {
			if err == nil || strings.Contains(known.Error(), err.Error()) {
				return
			}
		}
		if err != nil {
			all = append(all, err)
		}
	}
	add(r.Distrust)
	for _, path := range []string{r.CACert, r.ServerCert, r.ServerKey, r.CRL, r.Whitelist} {
		add(r.Files.CheckAbove(path))
	}
	for _, f := range r.o.files() {
		add(r.belongs(*f))
	}
	if file, err := r.Files.Stat(r.Whitelist); err == nil && file.UID != r.UID {
		add(r.Files.Foreign(file))
	}
	return all
}

// warnOpen tells what may have been written by others: closing a file does not
// tell what is in it.
func (r *run) warnOpen(f hostfs.File, describe func([]byte) string) {
	if who := r.Files.Access(f).Others; len(who) > 0 {
		r.res.Warn(fmt.Sprintf("%s could be written by %s (mode %04o); check that this is what you put there: %s",
			f.Path, strings.Join(who, " and "), f.Mode.Perm(), describe(f.Content)))
	}
}

func (r *run) warnOpenSet() {
	r.warnOpen(r.o.ca, pki.DescribeCertificate)
	r.warnOpen(r.o.cert, pki.DescribeCertificate)
	r.warnOpen(r.o.key, pki.DescribeKey)
	r.warnOpen(r.o.crl, pki.DescribeCRL)
}
