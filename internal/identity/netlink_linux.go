package identity

import (
	"encoding/binary"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// interfaces lists the network interfaces by rtnetlink(7). The net package
// tells neither an interface's kind nor an address's flags, and sysfs has no
// word for a veth.
func interfaces() ([]Interface, error) {
	links, err := dump(unix.RTM_GETLINK)
	if err != nil {
		return nil, err
	}
	addrs, err := dump(unix.RTM_GETADDR)
	if err != nil {
		return nil, err
	}
	var list []Interface
	at := map[int]int{}
	for _, m := range links {
		if i, ok := parseLink(m); ok {
			at[i.Index] = len(list)
			list = append(list, i)
		}
	}
	for _, m := range addrs {
		index, addr, ok := parseAddr(m)
		if n, known := at[index]; ok && known {
			list[n].Addrs = append(list[n].Addrs, addr)
		}
	}
	return list, nil
}

func dump(kind int) ([]syscall.NetlinkMessage, error) {
	data, err := syscall.NetlinkRIB(kind, unix.AF_UNSPEC)
	if err != nil {
		return nil, os.NewSyscallError("netlink", err)
	}
	return syscall.ParseNetlinkMessage(data)
}

// parseLink reads struct ifinfomsg and its attributes.
func parseLink(m syscall.NetlinkMessage) (Interface, bool) {
	if m.Header.Type != unix.RTM_NEWLINK || len(m.Data) < unix.SizeofIfInfomsg {
		return Interface{}, false
	}
	flags := binary.NativeEndian.Uint32(m.Data[8:])
	i := Interface{
		Index:    int(int32(binary.NativeEndian.Uint32(m.Data[4:]))),
		Up:       flags&unix.IFF_UP != 0,
		Loopback: flags&unix.IFF_LOOPBACK != 0,
	}
	attributes(m.Data[unix.SizeofIfInfomsg:], func(kind uint16, value []byte) {
		switch {
		case kind == unix.IFLA_IFNAME:
			i.Name = text(value)
		case kind == unix.IFLA_MASTER && len(value) == 4:
			i.Master = int(binary.NativeEndian.Uint32(value))
		case kind == unix.IFLA_LINKINFO:
			attributes(value, func(kind uint16, value []byte) {
				if kind == unix.IFLA_INFO_KIND {
					i.Kind = text(value)
				}
			})
		}
	})
	return i, i.Name != ""
}

// parseAddr reads struct ifaddrmsg and its attributes. An address that comes
// and goes by itself, or that may turn out a duplicate, is none to be reached by.
func parseAddr(m syscall.NetlinkMessage) (index int, addr netip.Addr, ok bool) {
	if m.Header.Type != unix.RTM_NEWADDR || len(m.Data) < unix.SizeofIfAddrmsg {
		return 0, netip.Addr{}, false
	}
	flags := uint32(m.Data[2])
	index = int(binary.NativeEndian.Uint32(m.Data[4:]))
	var local, address netip.Addr
	attributes(m.Data[unix.SizeofIfAddrmsg:], func(kind uint16, value []byte) {
		switch {
		case kind == unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(value)
		case kind == unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(value)
		case kind == unix.IFA_FLAGS && len(value) == 4:
			flags = binary.NativeEndian.Uint32(value)
		}
	})
	// On a point-to-point link IFA_ADDRESS is the other side's.
	if local.IsValid() {
		address = local
	}
	passing := uint32(unix.IFA_F_DEPRECATED | unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED)
	if address.Is6() {
		passing |= unix.IFA_F_TEMPORARY // for IPv4 the same bit means secondary
	}
	return index, address, address.IsValid() && flags&passing == 0
}

// typeMask takes NLA_F_NESTED and NLA_F_NET_BYTEORDER off an attribute's type.
const typeMask = 1<<14 - 1

// attributes walks a list of struct nlattr.
func attributes(b []byte, each func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofNlAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofNlAttr || n > len(b) {
			return
		}
		each(binary.NativeEndian.Uint16(b[2:])&typeMask, b[unix.SizeofNlAttr:n])
		b = b[min((n+3)&^3, len(b)):]
	}
}

func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }
