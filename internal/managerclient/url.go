package managerclient

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostname"
)

const maxURL = 2048

// ParseURL reads a manager's base URL: https://host[:port][/base], or http to
// loopback only. A trailing /api/v1 or /api/v1/enroll is understood and cut,
// so are the scheme's own port and letter case, and two spellings of one
// manager come out the same. No error holds a part of s, which may carry a
// password.
func ParseURL(s string) (*url.URL, error) {
	refuse := func(why string) (*url.URL, error) {
		return nil, contract.Errorf(contract.CodeInvalidArgument, "manager_url %s", why)
	}
	switch {
	case s == "":
		return refuse("is empty")
	case len(s) > maxURL:
		return refuse("is longer than 2048 characters")
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c <= ' ' || c == 0x7f:
			return refuse("holds a space or a control character")
		case c > 0x7f:
			return refuse("holds a character that is not ASCII; write an international name in its xn-- form")
		}
	}
	scheme, rest, ok := strings.Cut(s, "://")
	scheme = strings.ToLower(scheme)
	if !ok || (scheme != "https" && scheme != "http") {
		return refuse("must begin with https://")
	}
	if strings.ContainsAny(rest, "?#") {
		return refuse("must have no query and no fragment")
	}
	authority, path, _ := strings.Cut(rest, "/")
	if strings.Contains(authority, "@") {
		return refuse("must have no user name or password in it")
	}
	host, port, why := splitAuthority(authority)
	if why != "" {
		return refuse(why)
	}
	if scheme == "http" && !isLoopback(host) {
		return refuse("must begin with https://; http is for this machine only (localhost, 127.0.0.1, ::1)")
	}
	path, why = basePath(path)
	if why != "" {
		return refuse(why)
	}
	u := &url.URL{Scheme: scheme, Host: host, Path: path}
	if strings.Contains(host, ":") {
		u.Host = "[" + host + "]"
	}
	if port != "" && port != defaultPorts[scheme] {
		u.Host = net.JoinHostPort(host, port)
	}
	return u, nil
}

var defaultPorts = map[string]string{"https": "443", "http": "80", "socks5": "1080", "socks5h": "1080"}

// splitAuthority returns a checked host, without brackets, and port; why says
// what is wrong with them.
func splitAuthority(a string) (host, port, why string) {
	host = a
	bracketed := strings.HasPrefix(a, "[")
	if bracketed {
		end := strings.IndexByte(a, ']')
		if end < 0 {
			return "", "", "has a [ without its ]"
		}
		host, a = a[1:end], a[end+1:]
		if a != "" && a[0] != ':' {
			return "", "", "has something other than a port after the ]"
		}
	} else if i := strings.IndexByte(a, ':'); i >= 0 {
		host, a = a[:i], a[i:]
	} else {
		a = ""
	}
	if strings.HasPrefix(a, ":") {
		port = a[1:]
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return "", "", "has a port that is not a number from 1 to 65535; an IPv6 address needs brackets, as in https://[2001:db8::1]:8443"
		}
		port = strconv.FormatUint(n, 10)
	}
	if host == "" {
		return "", "", "names no host"
	}
	if bracketed {
		ip, err := netip.ParseAddr(host)
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", "", "has something other than an IPv6 address without a zone in brackets"
		}
		return ip.String(), port, ""
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String(), port, ""
	}
	name, ok := hostname.OfAnother(host)
	if !ok {
		return "", "", "names a host that is neither a host name nor an IP address"
	}
	return name, port, ""
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// basePath cuts the endpoint that people copy from the API's documentation,
// and returns what stands before it, without a slash at the end.
func basePath(p string) (base, why string) {
	p = "/" + p
	for cut := true; cut; {
		p = strings.TrimRight(p, "/")
		if p, cut = strings.CutSuffix(p, contract.EnrollPath); !cut {
			p, cut = strings.CutSuffix(p, "/api/v1")
		}
	}
	if p == "" {
		return "", ""
	}
	for segment := range strings.SplitSeq(p[1:], "/") {
		if segment == "" || segment == "." || segment == ".." {
			return "", "has an empty, . or .. segment in its path"
		}
		if !isUnreserved(segment) {
			return "", "has a character in its path other than letters, digits, - . _ and ~"
		}
	}
	return p, ""
}

// isUnreserved says whether s needs no escaping in a URL (RFC 3986, 2.3).
func isUnreserved(s string) bool {
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~") == ""
}
