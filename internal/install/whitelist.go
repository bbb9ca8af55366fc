package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/report"
	"github.com/linux-patch/enroll/internal/statedir"
	"github.com/linux-patch/enroll/internal/whitelist"
)

// lookupTimeout bounds a look-up of the manager's name.
const lookupTimeout = 5 * time.Second

// planWhitelist says how the whitelist has to change so that ip is let in, and
// notes in the result what lets it in already.
func (in *Installer) planWhitelist(ip netip.Addr) (*plan.Change, error) {
	in.Result.Whitelist = &report.Whitelist{Path: in.Whitelist}
	if !in.WhitelistManager {
		return nil, nil
	}
	if !ip.IsValid() {
		in.Result.Warn(fmt.Sprintf("the manager's address is not known, so %s was not checked; set manager_ip", in.Whitelist))
		return nil, nil
	}
	in.Result.Whitelist.Entry = ip.String()
	if ip.Unmap().Is6() {
		in.Result.Warn(fmt.Sprintf("%s stands for the manager in %s: deployed agents take IPv4 only, an IPv6 address counts as nothing there, and an IPv6 network makes them refuse the whole file; set manager_ip to the manager's IPv4 address if this host runs one", ip, in.Whitelist))
	}
	file, err := in.Files.Read(in.Whitelist)
	if err != nil {
		return nil, err
	}
	in.WarnOpen(file, whitelist.Describe)
	after, found, err := in.admit(file.Content, ip)
	if found.Refused != "" {
		in.Result.Warn(fmt.Sprintf("%s holds %s: deployed agents refuse the whole file for a network that is not one of IPv4, and let no one in; remove that entry if this host runs one", in.Whitelist, found.Refused))
	}
	if err != nil {
		return nil, err
	}
	if found.Covering != "" {
		in.Result.Whitelist.Present, in.Result.Whitelist.CoveredBy = true, found.Covering
	}
	return plan.Compare(report.ShownText(file), report.ShownText(in.whitelistAfter(file, after))), nil
}

func (in *Installer) whitelistAfter(file hostfs.File, content []byte) hostfs.File {
	if !file.Exists {
		a := in.attributes(file, whitelistMode)
		file.Mode, file.UID, file.GID = a.Mode, a.UID, a.GID
	}
	if len(in.Files.Access(file).Others) > 0 {
		file.Mode &^= 0o022
	}
	file.Exists, file.Content = true, content
	return file
}

// admit returns the whitelist with ip in it, and what it says of ip already.
func (in *Installer) admit(content []byte, ip netip.Addr) (after []byte, found whitelist.Found, err error) {
	found, err = whitelist.Find(content, ip)
	if after = content; err == nil && found.Covering == "" {
		after, err = whitelist.Add(content, ip)
	}
	if err != nil {
		return nil, found, contract.Errorf(contract.CodeWhitelist, "%s: %w", in.Whitelist, err)
	}
	return after, found, nil
}

// letIn lets ip in, where admit says that the whitelist has to change for it.
func (in *Installer) letIn(ctx context.Context, admit *plan.Change, ip netip.Addr) error {
	if admit == nil {
		return nil
	}
	return in.Perform(in.change(admit, func() error { return in.applyWhitelist(ctx, ip) }))
}

// applyWhitelist lets ip in. The edit is planned again under the file's own
// lock, since others write the file too.
func (in *Installer) applyWhitelist(ctx context.Context, ip netip.Addr) error {
	before := in.Disk.Provenance()
	had := before.WhitelistPath == in.Whitelist && slices.Contains(before.WhitelistEntries, ip.String())
	if len(before.WhitelistEntries) > 0 && before.WhitelistPath != in.Whitelist {
		in.Result.Warn(fmt.Sprintf("%s, which was the whitelist before, still has the entries that enrollment added: %s; remove them there if it is used again",
			before.WhitelistPath, strings.Join(before.WhitelistEntries, ", ")))
	}
	if err := in.Disk.Remember(func(p *statedir.Provenance) { p.AddWhitelistEntry(in.Whitelist, ip.String()) }); err != nil {
		return err
	}
	edited, err := in.edit(ctx, in.Whitelist, in.Backup, func(old []byte) ([]byte, error) {
		after, _, err := in.admit(old, ip)
		return after, err
	})
	added := !bytes.Equal(edited.Before, edited.After)
	if !added && !had {
		// It failed, or someone else let the manager in meanwhile: the entry is theirs.
		err = errors.Join(err, in.Disk.Remember(func(p *statedir.Provenance) { p.DropWhitelistEntry(ip.String()) }))
	}
	if err != nil {
		return err
	}
	in.Result.Whitelist.Present, in.Result.Whitelist.CoveredBy = true, ip.String()
	if added {
		in.Record(contract.EventWhitelistChanged, map[string]string{"path": in.Whitelist, "added": ip.String()})
	}
	return nil
}

// PreflightWhitelist refuses before any request a whitelist that could not be
// edited after it.
func (in *Installer) PreflightWhitelist(ctx context.Context) error {
	if !in.WhitelistManager {
		return nil
	}
	file, err := in.Files.Read(in.Whitelist)
	if err != nil {
		return err
	}
	ip := in.AskedManagerIP()
	if ip.IsValid() {
		_, found, err := in.admit(file.Content, ip)
		if err != nil || found.Covering != "" && len(in.Files.Access(file).Others) == 0 {
			return err
		}
		return in.preflightEdit(ctx, file)
	}
	if err := in.preflightEdit(ctx, file); err != nil {
		return err
	}
	// Which address it will be is not known yet. One of the documentation range
	// (RFC 5737) finds out whether the file can be edited at all.
	if _, _, err = in.admit(file.Content, netip.AddrFrom4([4]byte{192, 0, 2, 1})); errors.Is(err, whitelist.ErrUneditable) {
		return in.preflightUneditable(ctx, file.Content)
	}
	return err
}

// preflightEdit finds out whether the file can be locked and replaced.
func (in *Installer) preflightEdit(ctx context.Context, file hostfs.File) error {
	if err := in.rehearse(in.Whitelist, in.whitelistAfter(file, nil)); err != nil {
		return err
	}
	return in.tryLock(ctx, in.Whitelist)
}

// preflightUneditable finds out whether a whitelist that can't be edited lets
// the manager in already, by the addresses of its name.
func (in *Installer) preflightUneditable(ctx context.Context, content []byte) error {
	return in.Perform(plan.Step{Say: func() error {
		in.Result.Warn(fmt.Sprintf("whether %s lets the manager in already is not known in check mode, and it is written in a form that cannot be edited; set manager_ip to find out", in.Whitelist))
		return nil
	}, Do: func() error {
		for _, ip := range in.managerAddresses(ctx) {
			if _, _, err := in.admit(content, ip); err != nil {
				return err
			}
		}
		return nil
	}})
}

// managerAddresses are those of the manager's name; where there are none, the
// request fails by that.
func (in *Installer) managerAddresses(ctx context.Context) []netip.Addr {
	if in.URL == nil || in.LookupIP == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	ips, err := in.LookupIP(ctx, "ip", in.URL.Hostname())
	if err != nil {
		return nil
	}
	return ips
}
