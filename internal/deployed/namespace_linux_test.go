package deployed

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Network is a host's own network: one link to this machine, where a manager
// listens, and a file of names.
type Network struct {
	// Name is that of the host's network namespace.
	Name string
	// Host4 and Host6 are the host's addresses, Manager4 and Manager6 those of
	// this machine on the link.
	Host4, Host6, Manager4, Manager6 netip.Addr
	// Nowhere6 is an address on the link that no one has.
	Nowhere6 netip.Addr
}

// NewNetwork makes a host whose link has IPv4, IPv6 or both. It skips the test
// where that is not possible. Numbers below 250 tell networks of one test
// binary apart.
func NewNetwork(t testing.TB, number int, has4, has6 bool) *Network {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skipf("network namespaces need iproute2: %v", err)
	}
	n := &Network{Name: fmt.Sprintf("deployed-%d-%d", os.Getpid(), number)}
	if out, err := exec.Command("ip", "netns", "add", n.Name).CombinedOutput(); err != nil {
		t.Skipf("no network namespaces here: %v: %s", err, out)
	}
	link := fmt.Sprintf("d%dn%d", os.Getpid()%100000, number)
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", link).Run()
		_ = exec.Command("ip", "netns", "del", n.Name).Run()
		_ = os.RemoveAll(filepath.Join("/etc/netns", n.Name))
	})
	n.ip(t, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", n.Name)
	if has4 {
		n.Manager4, n.Host4 = netip.AddrFrom4([4]byte{198, 18, byte(number), 1}), netip.AddrFrom4([4]byte{198, 18, byte(number), 2})
		n.addresses(t, link, n.Manager4.String()+"/24", n.Host4.String()+"/24")
	}
	if has6 {
		// Not of fc00::/7, which resolvers put behind IPv4.
		at := func(last string) netip.Addr {
			return netip.MustParseAddr(fmt.Sprintf("2001:db8:%x::%s", number+1, last))
		}
		n.Manager6, n.Host6, n.Nowhere6 = at("1"), at("2"), at("dead")
		n.addresses(t, link, n.Manager6.String()+"/64", n.Host6.String()+"/64")
	}
	n.ip(t, "link", "set", link, "up")
	n.ip(t, "-n", n.Name, "link", "set", "eth0", "up")
	n.ip(t, "-n", n.Name, "link", "set", "lo", "up")
	return n
}

func (n *Network) addresses(t testing.TB, link, here, there string) {
	t.Helper()
	nodad := func(addr string) []string {
		if strings.Contains(addr, ":") {
			return []string{"nodad"} // else it cannot be used for a second
		}
		return nil
	}
	n.ip(t, append([]string{"addr", "add", here, "dev", link}, nodad(here)...)...)
	n.ip(t, append([]string{"-n", n.Name, "addr", "add", there, "dev", "eth0"}, nodad(there)...)...)
}

func (n *Network) ip(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// Names gives a name its addresses on this host.
func (n *Network) Names(t testing.TB, name string, addrs ...netip.Addr) {
	t.Helper()
	dir := filepath.Join("/etc/netns", n.Name)
	text := "127.0.0.1 localhost\n"
	for _, addr := range addrs {
		text += addr.String() + " " + name + "\n"
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{"hosts": text, "resolv.conf": "", "nsswitch.conf": "hosts: files\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Command is a command that runs on the host.
func (n *Network) Command(t testing.TB, program string, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(t.Context(), "ip", append([]string{"netns", "exec", n.Name, program}, args...)...)
}
