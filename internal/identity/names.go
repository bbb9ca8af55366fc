package identity

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostname"
)

const fqdnHint = "set the host's name (hostnamectl set-hostname NAME.DOMAIN), or the option fqdn"

// names returns the full and the short name. The full one is the option, else
// the first with a dot from /etc/hostname, the kernel, /etc/hosts and DNS, else
// the short one. It is never a name of localhost, which every host has.
func (s Source) names(ctx context.Context, option, nodename string, ip netip.Addr, w *warnings) (fqdn, short string, err error) {
	own := []string{nodename}
	if data, err := s.read("/etc/hostname"); err == nil {
		own = []string{hostnameIn(data), nodename}
	}
	for _, n := range own {
		if n, ok := hostName(n); ok && short == "" {
			short = hostname.Short(n)
		}
	}
	if option != "" {
		name, ok := hostName(option)
		if !ok {
			return "", "", contract.Errorf(contract.CodeInvalidArgument, "fqdn is not a host name (RFC 1123: letters, digits and hyphens between dots), or is that of localhost")
		}
		return name, hostname.Short(name), nil
	}
	for _, n := range own {
		if n, ok := hostName(n); ok && strings.Contains(n, ".") {
			return n, hostname.Short(n), nil
		}
	}
	if short == "" {
		return "", "", contract.Errorf(contract.CodeIdentity,
			"this host has no usable name: neither /etc/hostname nor the kernel has a valid one other than localhost").WithHint(fqdnHint)
	}
	if n := s.nameInHosts(short); n != "" {
		return n, short, nil
	}
	if n := s.nameInDNS(ctx, short, ip); n != "" {
		return n, short, nil
	}
	w.add("no full name was found for this host, so the short name %s is sent; set fqdn if the manager needs more", short)
	return short, short, nil
}

// nameInHosts returns the canonical name, hosts(5)'s first, of a line that has
// the short name.
func (s Source) nameInHosts(short string) string {
	data, err := s.read("/etc/hosts")
	if err != nil {
		return ""
	}
	for _, names := range parseHosts(data) {
		if !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, short) }) {
			continue
		}
		if n, ok := hostName(names[0]); ok && strings.Contains(n, ".") {
			return n
		}
	}
	return ""
}

// nameInDNS asks for the short name through the resolver's search list, then
// for the address. An answer must begin with the short name: a wildcard or a
// provider's generic reverse name would make the host another one.
func (s Source) nameInDNS(ctx context.Context, short string, ip netip.Addr) string {
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	var answers []string
	if n, err := s.LookupCNAME(ctx, short); err == nil {
		answers = append(answers, n)
	}
	if names, err := s.LookupAddr(ctx, ip.String()); err == nil {
		answers = append(answers, names...)
	}
	for _, n := range answers {
		if n, ok := hostName(n); ok && strings.HasPrefix(n, short+".") {
			return n
		}
	}
	return ""
}

// hostnameIn reads hostname(5): the first line that is neither empty nor a
// comment.
func hostnameIn(data []byte) string {
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return line
		}
	}
	return ""
}

// hostName returns a name in its canonical form, and whether it is one of a
// host, and not of localhost.
func hostName(s string) (string, bool) {
	name, ok := hostname.Canonical(s)
	return name, ok && !hostname.Local(name)
}
