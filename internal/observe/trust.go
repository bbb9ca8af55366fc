package observe

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/pki"
)

// RefuseForeign stops a run that would rely on what someone else may write:
// the directories of its files, and files of another user than the owner that
// was asked for.
func (v *View) RefuseForeign() error {
	paths := []string{v.CACert, v.ServerCert, v.ServerKey, v.CRL}
	if v.WhitelistManager {
		paths = append(paths, v.Whitelist)
	}
	for _, path := range onePerDirectory(paths) {
		if err := v.Files.CheckAbove(path); err != nil {
			return err
		}
	}
	for _, f := range v.Disk.Files() {
		if err := v.belongs(*f); err != nil {
			return err
		}
	}
	if !v.WhitelistManager {
		return nil
	}
	file, err := v.Files.Stat(v.Whitelist)
	if err != nil {
		return err
	}
	return v.belongs(file)
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
func (v *View) belongs(f hostfs.File) error {
	if v.KeepOwners || f.UID == v.UID || v.Files.Access(f).Owner == "" {
		return nil
	}
	return v.Files.Foreign(f)
}

// Distrusted lists what a run would refuse, and a whitelist that it would close.
func (v *View) Distrusted() []error {
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
	add(v.Distrust)
	for _, path := range []string{v.CACert, v.ServerCert, v.ServerKey, v.CRL, v.Whitelist} {
		add(v.Files.CheckAbove(path))
	}
	for _, f := range v.Disk.Files() {
		add(v.belongs(*f))
	}
	if file, err := v.Files.Stat(v.Whitelist); err == nil && file.UID != v.UID {
		add(v.Files.Foreign(file))
	}
	return all
}

// WarnOpen tells what may have been written by others: closing a file does not
// tell what is in it.
func (v *View) WarnOpen(f hostfs.File, describe func([]byte) string) {
	if who := v.Files.Access(f).Others; len(who) > 0 {
		v.Result.Warn(fmt.Sprintf("%s could be written by %s (mode %04o); check that this is what you put there: %s",
			f.Path, strings.Join(who, " and "), f.Mode.Perm(), describe(f.Content)))
	}
}

// WarnOpenSet is WarnOpen for each file of the set.
func (v *View) WarnOpenSet() {
	v.WarnOpen(v.Disk.CA, pki.DescribeCertificate)
	v.WarnOpen(v.Disk.Cert, pki.DescribeCertificate)
	v.WarnOpen(v.Disk.Key, pki.DescribeKey)
	v.WarnOpen(v.Disk.CRL, pki.DescribeCRL)
}
