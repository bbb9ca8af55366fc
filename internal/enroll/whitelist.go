package enroll

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/report"
	"github.com/linux-patch/enroll/internal/statedir"
	"github.com/linux-patch/enroll/internal/whitelist"
)

// whitelistMode is the mode of a whitelist that this program makes.
const whitelistMode = 0o644

// lookupTimeout bounds a look-up of the manager's name.
const lookupTimeout = 5 * time.Second

// planWhitelist says how the whitelist has to change so that ip is let in, and
// notes in the result what lets it in already.
func (r *run) planWhitelist(ip netip.Addr) (plan.Change, bool, error) {
	r.res.Whitelist = &report.Whitelist{Path: r.Whitelist}
	if !r.WhitelistManager {
		return plan.Change{}, false, nil
	}
	if !ip.IsValid() {
		r.res.Warn(fmt.Sprintf("the manager's address is not known, so %s was not checked; set manager_ip", r.Whitelist))
		return plan.Change{}, false, nil
	}
	r.res.Whitelist.Entry = ip.String()
	if ip.Unmap().Is6() {
		r.res.Warn(fmt.Sprintf("%s stands for the manager in %s: deployed agents take IPv4 only, an IPv6 address counts as nothing there, and an IPv6 network makes them refuse the whole file; set manager_ip to the manager's IPv4 address if this host runs one", ip, r.Whitelist))
	}
	file, err := r.Files.Read(r.Whitelist)
	if err != nil {
		return plan.Change{}, false, err
	}
	r.warnOpen(file, whitelist.Describe)
	after, covered, err := r.admit(file.Content, ip)
	if err != nil {
		return plan.Change{}, false, err
	}
	if covered != "" {
		r.res.Whitelist.Present, r.res.Whitelist.CoveredBy = true, covered
	}
	change, changed := plan.Compare(report.ShownText(file), report.ShownText(r.whitelistAfter(file, after)))
	return change, changed, nil
}

func (r *run) whitelistAfter(file hostfs.File, content []byte) hostfs.File {
	if !file.Exists {
		a := r.attributes(file, whitelistMode)
		file.Mode, file.UID, file.GID = a.Mode, a.UID, a.GID
	}
	if len(r.Files.Access(file).Others) > 0 {
		file.Mode &^= 0o022
	}
	file.Exists, file.Content = true, content
	return file
}

// admit returns the whitelist with ip in it, and the entry that covers it
// already.
func (r *run) admit(content []byte, ip netip.Addr) (after []byte, covered string, err error) {
	entry, ok, err := whitelist.Covering(content, ip)
	if ok {
		return content, entry, nil
	}
	if err == nil {
		after, err = whitelist.Add(content, ip)
	}
	if err != nil {
		return nil, "", contract.Errorf(contract.CodeWhitelist, "%s: %w", r.Whitelist, err)
	}
	return after, "", nil
}

// applyWhitelist lets ip in. The edit is planned again under the file's own
// lock, since others write the file too.
func (r *run) applyWhitelist(ctx context.Context, ip netip.Addr) error {
	had := slices.Contains(r.o.Provenance().WhitelistEntries, ip.String())
	if err := r.o.Remember(func(p *statedir.Provenance) { p.AddWhitelistEntry(r.Whitelist, ip.String()) }); err != nil {
		return err
	}
	edited, err := r.edit(ctx, r.Whitelist, r.Backup, func(old []byte) ([]byte, error) {
		after, _, err := r.admit(old, ip)
		return after, err
	})
	if err != nil {
		return err
	}
	r.res.Whitelist.Present, r.res.Whitelist.CoveredBy = true, ip.String()
	if bytes.Equal(edited.Before, edited.After) {
		if had {
			return nil
		}
		// Somebody else let the manager in meanwhile: the entry is theirs.
		return r.o.Remember(func(p *statedir.Provenance) { p.DropWhitelistEntry(ip.String()) })
	}
	r.audit(contract.EventWhitelistChanged, map[string]string{"path": r.Whitelist, "added": ip.String()})
	return nil
}

// edit changes one of the files that others write too, under its lock. A
// signal ends the wait for the lock, but not the edit: it is short.
func (r *run) edit(ctx context.Context, path string, backup bool, change func(old []byte) ([]byte, error)) (hostfs.EditResult, error) {
	opt := hostfs.EditOptions{
		LockTimeout: time.Duration(r.LockTimeout),
		Close:       true,
		Create:      r.attributes(hostfs.File{}, whitelistMode),
		Backup:      backup,
	}
	edited, err := r.Files.Edit(ctx, path, opt, func(old []byte, _ bool) ([]byte, error) { return change(old) })
	if edited.BackupFile != "" {
		r.res.BackupFiles = append(r.res.BackupFiles, edited.BackupFile)
	}
	return edited, err
}

// preflightWhitelist refuses before any request a whitelist that could not be
// edited after it.
func (r *run) preflightWhitelist(ctx context.Context) error {
	if !r.WhitelistManager {
		return nil
	}
	file, err := r.Files.Read(r.Whitelist)
	if err != nil {
		return err
	}
	ip := r.knownManagerIP()
	if ip.IsValid() {
		_, covered, err := r.admit(file.Content, ip)
		if err != nil || covered != "" && len(r.Files.Access(file).Others) == 0 {
			return err
		}
		return r.preflightEdit(ctx, file)
	}
	if err := r.preflightEdit(ctx, file); err != nil {
		return err
	}
	// Which address it will be is not known yet. One of the documentation range
	// (RFC 5737) finds out whether the file can be edited at all.
	if _, _, err = r.admit(file.Content, netip.AddrFrom4([4]byte{192, 0, 2, 1})); errors.Is(err, whitelist.ErrUneditable) {
		return r.preflightUneditable(ctx, file.Content)
	}
	return err
}

// preflightEdit finds out whether the file can be locked and replaced.
func (r *run) preflightEdit(ctx context.Context, file hostfs.File) error {
	if err := r.rehearse(r.Whitelist, r.whitelistAfter(file, nil)); err != nil {
		return err
	}
	return r.tryLock(ctx, r.Whitelist)
}

// preflightUneditable finds out whether a whitelist that can't be edited lets
// the manager in already, by the addresses of its name.
func (r *run) preflightUneditable(ctx context.Context, content []byte) error {
	if r.Check {
		r.res.Warn(fmt.Sprintf("whether %s lets the manager in already is not known in check mode, and it is written in a form that cannot be edited; set manager_ip to find out", r.Whitelist))
		return nil
	}
	for _, ip := range r.managerAddresses(ctx) {
		if _, _, err := r.admit(content, ip); err != nil {
			return err
		}
	}
	return nil
}

// managerAddresses are those of the manager's name; where there are none, the
// request fails by that.
func (r *run) managerAddresses(ctx context.Context) []netip.Addr {
	if r.URL == nil || r.LookupIP == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	ips, err := r.LookupIP(ctx, "ip", r.URL.Hostname())
	if err != nil {
		return nil
	}
	return ips
}
