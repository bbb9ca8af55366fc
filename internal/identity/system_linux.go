package identity

import (
	"context"
	"net"
	"net/netip"

	"github.com/spf13/afero"
	"golang.org/x/sys/unix"
)

// System returns the facts of this host, its files read through fs.
func System(fs afero.Fs) Source {
	return Source{
		Fs:          fs,
		Uname:       uname,
		Interfaces:  interfaces,
		Route:       route,
		LookupCNAME: net.DefaultResolver.LookupCNAME,
		LookupAddr:  net.DefaultResolver.LookupAddr,
	}
}

func uname() (Uname, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Uname{}, err
	}
	return Uname{
		Nodename: unix.ByteSliceToString(u.Nodename[:]),
		Release:  unix.ByteSliceToString(u.Release[:]),
		Machine:  unix.ByteSliceToString(u.Machine[:]),
	}, nil
}

// route lets the kernel choose the source address: connect(2) on a UDP socket
// sends nothing. IPv4 comes first, as it does where the manager is asked.
func route(ctx context.Context, hostport string) (netip.Addr, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "udp4", hostport)
	if err != nil {
		var failed error
		if conn, failed = new(net.Dialer).DialContext(ctx, "udp6", hostport); failed != nil {
			return netip.Addr{}, err
		}
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone(""), nil
}
