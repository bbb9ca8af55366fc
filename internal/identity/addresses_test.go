package identity

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
)

func TestAddresses(t *testing.T) {
	lo := Interface{Index: 1, Name: "lo", Up: true, Loopback: true, Addrs: addrs("127.0.0.1", "::1")}
	eth := Interface{Index: 2, Name: "eth0", Up: true, Addrs: addrs("2001:db8::5", "fe80::5", "172.17.0.5", "10.0.0.5")}
	docker := Interface{Index: 3, Name: "docker0", Kind: "bridge", Up: true, Addrs: addrs("172.18.0.1")}
	port := Interface{Index: 4, Name: "veth1", Kind: "veth", Master: 3, Up: true}
	nspawn := Interface{Index: 5, Name: "ve-x", Kind: "veth", Up: true, Addrs: addrs("10.9.0.1")}
	vlan := Interface{Index: 6, Name: "eth0.7", Kind: "vlan", Up: true, Addrs: addrs("10.7.0.5")}
	down := Interface{Index: 7, Name: "eth1", Addrs: addrs("10.1.0.5")}
	tun := Interface{Index: 8, Name: "tun0", Kind: "tun", Up: true, Addrs: addrs("10.8.0.5")}
	br := Interface{Index: 9, Name: "br0", Kind: "bridge", Up: true, Addrs: addrs("10.5.0.5")}
	uplink := Interface{Index: 10, Name: "eth2", Master: 9, Up: true}
	router := Interface{Index: 1, Name: "lo", Up: true, Loopback: true, Addrs: addrs("127.0.0.1", "10.255.0.5")}
	six := Interface{Index: 2, Name: "eth0", Up: true, Addrs: addrs("fe80::5", "fd00::5", "2001:db8::5")}
	container := Interface{Index: 2, Name: "eth0", Kind: "veth", Up: true, Addrs: addrs("172.17.0.2")}

	for name, c := range map[string]struct {
		o          Options
		interfaces []Interface
		route      string // "" for none
		want       string // the addresses, the first to be reached by; "" for an error
		warns      bool
		code       contract.Code
		says       string
	}{
		"option":                       {o: Options{ReportIP: "192.0.2.9", ReportInterface: "eth1"}, interfaces: []Interface{lo, eth}, want: "192.0.2.9 172.17.0.5 10.0.0.5 2001:db8::5"},
		"option in long form":          {o: Options{ReportIP: "::ffff:192.0.2.9"}, want: "192.0.2.9"},
		"option IPv6":                  {o: Options{ReportIP: "2001:DB8:0::9"}, want: "2001:db8::9"},
		"option on loopback":           {o: Options{ReportIP: "127.0.0.1"}, want: "127.0.0.1"},
		"option is a name":             {o: Options{ReportIP: "web1"}, code: contract.CodeInvalidArgument, says: "report_ip"},
		"option with a prefix":         {o: Options{ReportIP: "10.0.0.5/24"}, code: contract.CodeInvalidArgument, says: "report_ip"},
		"option with a zone":           {o: Options{ReportIP: "fe80::1%eth0"}, code: contract.CodeInvalidArgument, says: "report_ip"},
		"option is none":               {o: Options{ReportIP: "0.0.0.0"}, code: contract.CodeInvalidArgument, says: "report_ip"},
		"option is many":               {o: Options{ReportIP: "224.0.0.1"}, code: contract.CodeInvalidArgument, says: "report_ip"},
		"option is all":                {o: Options{ReportIP: "::ffff:255.255.255.255"}, code: contract.CodeInvalidArgument, says: "report_ip"},
		"interface":                    {o: Options{ReportInterface: "eth0.7", Manager: "m:1"}, interfaces: []Interface{lo, eth, vlan}, route: "10.0.0.5", want: "10.7.0.5 172.17.0.5 10.0.0.5 2001:db8::5"},
		"interface, IPv4 first":        {o: Options{ReportInterface: "eth0"}, interfaces: []Interface{eth}, want: "172.17.0.5 10.0.0.5 2001:db8::5"},
		"interface inside":             {o: Options{ReportInterface: "docker0"}, interfaces: []Interface{eth, docker}, want: "172.18.0.1 172.17.0.5 10.0.0.5 2001:db8::5"},
		"interface without address":    {o: Options{ReportInterface: "lo"}, interfaces: []Interface{lo, eth}, code: contract.CodeIdentity, says: "lo has no global address"},
		"no such interface":            {o: Options{ReportInterface: "eth\x1b9"}, interfaces: []Interface{lo, eth}, code: contract.CodeIdentity, says: `no interface "eth9", but there are: lo, eth0`},
		"route":                        {o: Options{Manager: "m:1"}, interfaces: []Interface{lo, eth}, route: "10.0.0.5", want: "10.0.0.5 172.17.0.5 2001:db8::5"},
		"route through a tunnel":       {o: Options{Manager: "m:1"}, interfaces: []Interface{eth, tun}, route: "10.8.0.5", want: "10.8.0.5 172.17.0.5 10.0.0.5 2001:db8::5"},
		"route to this host":           {o: Options{Manager: "m:1"}, interfaces: []Interface{lo, eth}, route: "127.0.0.1", want: "172.17.0.5 10.0.0.5 2001:db8::5"},
		"route to this host, alone":    {o: Options{Manager: "m:1"}, interfaces: []Interface{lo}, route: "127.0.0.1", want: "127.0.0.1", warns: true},
		"no route":                     {o: Options{Manager: "m:1"}, interfaces: []Interface{lo, eth}, want: "172.17.0.5 10.0.0.5 2001:db8::5", warns: true},
		"no manager":                   {interfaces: []Interface{lo, eth}, route: "10.0.0.9", want: "172.17.0.5 10.0.0.5 2001:db8::5"},
		"by kind, not by range":        {interfaces: []Interface{lo, docker, port, nspawn, tun, eth, vlan, down}, want: "172.17.0.5 10.0.0.5 10.7.0.5 2001:db8::5"},
		"a bridge that leads outside":  {interfaces: []Interface{lo, docker, port, br, uplink}, want: "10.5.0.5"},
		"a bridge that doesn't":        {interfaces: []Interface{lo, docker, port, vlan}, want: "10.7.0.5"},
		"a container":                  {interfaces: []Interface{lo, container}, want: "172.17.0.2"},
		"an address on lo":             {interfaces: []Interface{router}, want: "10.255.0.5"},
		"an address on lo and a wire":  {interfaces: []Interface{router, vlan}, want: "10.7.0.5"},
		"IPv6 alone":                   {interfaces: []Interface{lo, six}, want: "fd00::5 2001:db8::5"},
		"no address":                   {interfaces: []Interface{lo, down}, code: contract.CodeIdentity, says: "no global address"},
		"no interfaces, but the route": {o: Options{Manager: "m:1"}, route: "10.0.0.5", want: "10.0.0.5"},
	} {
		s := Source{
			Interfaces: func() ([]Interface, error) { return c.interfaces, nil },
			Route: func(ctx context.Context, hostport string) (netip.Addr, error) {
				if _, bounded := ctx.Deadline(); !bounded {
					t.Errorf("%s: the route may take for ever", name)
				}
				if hostport != "m:1" || c.route == "" {
					return netip.Addr{}, errors.New("no route")
				}
				return netip.MustParseAddr(c.route), nil
			},
		}
		var w warnings
		ip, all, err := s.addresses(t.Context(), c.o, &w)
		if err != nil {
			if c.want != "" || contract.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if want := addrs(strings.Fields(c.want)...); !reflect.DeepEqual(all, want) || ip != all[0] || (len(w) > 0) != c.warns {
			t.Errorf("%s: %v of %v, %v, want %v, ip %v, (len(w) > 0) %v", name, ip, all, w, want, all[0], c.warns)
		}
	}
	s := Source{Interfaces: func() ([]Interface, error) { return nil, errors.New("EPERM") }}
	var w warnings
	if ip, _, err := s.addresses(t.Context(), Options{ReportIP: "10.0.0.5"}, &w); err != nil || ip.String() != "10.0.0.5" || len(w) != 1 {
		t.Errorf(`no list of interfaces: got %v, %v, %v, want ip.String() "10.0.0.5", len(w) 1`, ip, w, err)
	}
}
