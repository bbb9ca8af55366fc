// Package identity finds out who this host is: its machine-id, its names, the
// address by which a manager reaches it, and its operating system.
//
// It reads files, the kernel's lists and at most a few DNS names, each in
// bounded time; it writes nothing, runs no program and sends nothing to the
// manager. What it returns is valid in form (an id of 32 digits, names by
// RFC 1123, addresses that parse), not proven: a host can be told to lie.
package identity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"slices"
	"time"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostname"
)

// dnsTimeout bounds each question that leads to DNS. A host without DNS must
// still enroll by addresses.
const dnsTimeout = 2 * time.Second

// Options are what a user says of the host. What is set wins over what is found.
type Options struct {
	FQDN            string
	ReportIP        string
	ReportInterface string
	// ReportedIn names where these two stand, if not in options of those names.
	ReportedIn string
	// Manager is the host:port that the host's address is to be seen from, ""
	// for none.
	Manager string
}

// Host is who a host is.
type Host struct {
	MachineID string
	FQDN      string
	// Hostname is the short name.
	Hostname string
	// IP is the address to be reached by, IPs all global ones, IP first.
	IP  netip.Addr
	IPs []netip.Addr
	// ChosenIP says that a user chose IP, by address or by interface.
	ChosenIP bool
	OS       contract.OSDetails
}

// Request makes the enrollment request of h.
func (h Host) Request() contract.EnrollmentRequest {
	ips := make([]string, len(h.IPs)) // never null in JSON
	for i, ip := range h.IPs {
		ips[i] = ip.String()
	}
	return contract.EnrollmentRequest{
		MachineID:   h.MachineID,
		FQDN:        h.FQDN,
		Hostname:    h.Hostname,
		IPAddress:   h.IP.String(),
		IPAddresses: ips,
		OSDetails:   h.OS,
	}
}

// SeenFrom is h as a manager sees it that a connection from the address local
// leads to: that is the address to be reached by, unless a user chose another
// or no one else can reach it. A temporary IPv6 address (RFC 8981) stands for
// the one of its network that stays.
func (h Host) SeenFrom(local netip.Addr) Host {
	local = local.Unmap().WithZone("")
	if h.ChosenIP || !isGlobal(local) {
		return h
	}
	if !slices.Contains(h.IPs, local) {
		if network, err := local.Prefix(64); local.Is6() && err == nil {
			if i := slices.IndexFunc(h.IPs, network.Contains); i >= 0 {
				local = h.IPs[i]
			}
		}
	}
	rest := slices.DeleteFunc(slices.Clone(h.IPs), func(a netip.Addr) bool { return a == local })
	h.IP, h.IPs = local, append([]netip.Addr{local}, rest...)
	return h
}

// Source is where the facts come from; System returns the real one.
type Source struct {
	Fs         afero.Fs
	Uname      func() (Uname, error)
	Interfaces func() ([]Interface, error)
	// Route returns the local address of packets to hostport, sending none.
	Route func(ctx context.Context, hostport string) (netip.Addr, error)
	// LookupCNAME and LookupAddr are those of net.Resolver.
	LookupCNAME func(ctx context.Context, host string) (string, error)
	LookupAddr  func(ctx context.Context, addr string) ([]string, error)
}

// Uname is what uname(2) says.
type Uname struct{ Nodename, Release, Machine string }

// Interface is one network interface.
type Interface struct {
	Index int
	Name  string
	// Kind is the kernel's word for a software interface ("bridge", "veth",
	// "vlan", …), "" for hardware.
	Kind string
	// Master is the Index of the bridge or bond that this one is a port of.
	Master   int
	Up       bool
	Loopback bool
	// Addrs holds the addresses that stay: no temporary or deprecated ones.
	Addrs []netip.Addr
}

// Gather finds out who the host is. The warnings are sentences for a user.
func (s Source) Gather(ctx context.Context, o Options) (Host, []string, error) {
	var h Host
	var w warnings
	var err error
	if h.MachineID, err = s.MachineID(); err != nil {
		return Host{}, nil, err
	}
	uname, err := s.Uname()
	if err != nil {
		return Host{}, nil, contract.Errorf(contract.CodeIdentity, "uname: %w", err)
	}
	h.OS = s.osDetails(uname, &w)
	if h.IP, h.IPs, err = s.addresses(ctx, o, &w); err != nil {
		return Host{}, nil, err
	}
	h.ChosenIP = o.ReportIP != "" || o.ReportInterface != ""
	if h.FQDN, h.Hostname, err = s.names(ctx, o.FQDN, uname.Nodename, h.IP, &w); err != nil {
		return Host{}, nil, err
	}
	if hostname.Unusual(h.FQDN) {
		w.add("the name %s has an underscore, which some resolvers, certificate authorities and TLS libraries refuse", h.FQDN)
	}
	// A lookup that was cut short would make the host another one.
	if err := ctx.Err(); err != nil {
		return Host{}, nil, contract.Errorf(contract.CodeInterrupted, "interrupted while finding out who this host is: %w", err)
	}
	return h, w, nil
}

type warnings []string

func (w *warnings) add(format string, args ...any) { *w = append(*w, fmt.Sprintf(format, args...)) }

const maxFile = 1 << 20

var errNotAFile = errors.New("not a regular file")

// read returns a file's content, up to maxFile of it.
func (s Source) read(path string) ([]byte, error) {
	info, err := s.Fs.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errNotAFile}
	}
	f, err := s.Fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}
