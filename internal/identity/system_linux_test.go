package identity

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/spf13/afero"
	"golang.org/x/sys/unix"
)

// TestInterfacesAgreeWithNet holds our reading of netlink to the net package's.
func TestInterfacesAgreeWithNet(t *testing.T) {
	ours, err := interfaces()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	if len(ours) != len(theirs) || len(ours) == 0 {
		t.Fatalf("%d interfaces, want %d", len(ours), len(theirs))
	}
	for n, i := range ours {
		their := theirs[n]
		if i.Index != their.Index || i.Name != their.Name || i.Up != (their.Flags&net.FlagUp != 0) || i.Loopback != (their.Flags&net.FlagLoopback != 0) {
			t.Errorf("%+v, want %+v", i, their)
		}
		list, err := their.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range i.Addrs {
			if !slices.ContainsFunc(list, func(b net.Addr) bool { return b.(*net.IPNet).IP.Equal(a.AsSlice()) }) {
				t.Errorf("%s has not %s, but %v", i.Name, a, list)
			}
		}
	}
}

// TestKinds reads real interfaces in a network namespace of its own.
func TestKinds(t *testing.T) {
	if _, err := exec.LookPath("ip"); err != nil || os.Getuid() != 0 {
		t.Skip("making interfaces needs root and ip(8)")
	}
	// The thread keeps the namespace, so it is not given back: it ends with
	// its goroutine.
	done := make(chan []Interface)
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Log("unshare:", err)
			return
		}
		for _, args := range [][]string{
			{"link", "add", "br0", "type", "bridge"},
			{"link", "add", "v0", "type", "veth", "peer", "name", "v1"},
			{"link", "set", "v0", "master", "br0"},
			{"link", "set", "br0", "up"},
			{"addr", "add", "10.1.0.1/24", "dev", "br0"},
			{"addr", "add", "10.2.0.1", "peer", "10.2.0.2", "dev", "v1"},
		} {
			cmd := exec.Command("ip", args...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Logf("ip %v: %v: %s", args, err, out)
				return
			}
		}
		list, err := interfaces()
		if err != nil {
			t.Error(err)
		}
		done <- list
	}()
	list, ok := <-done
	if !ok {
		t.Skip("this kernel lets no interfaces be made: see the log above")
	}
	got := map[string]Interface{}
	for _, i := range list {
		got[i.Name] = i
	}
	br := got["br0"]
	if br.Kind != "bridge" || !br.Up || !reflect.DeepEqual(br.Addrs, addrs("10.1.0.1")) || !isInside(br, list) {
		t.Errorf("bridge %+v", br)
	}
	if v := got["v0"]; v.Kind != "veth" || v.Master != br.Index || v.Up {
		t.Errorf("veth %+v", v)
	}
	if v := got["v1"]; v.Kind != "veth" || v.Master != 0 || !reflect.DeepEqual(v.Addrs, addrs("10.2.0.1")) {
		t.Errorf("the other veth %+v", v)
	}
	if lo := got["lo"]; lo.Kind != "" || !lo.Loopback {
		t.Errorf("lo %+v", lo)
	}
}

// attribute writes one struct nlattr.
func attribute(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, (4-len(b)%4)%4)...)
}

// TestParseAddrFlags: addresses that pass are left out.
func TestParseAddrFlags(t *testing.T) {
	six, four := netip.MustParseAddr("2001:db8::5"), netip.MustParseAddr("10.0.0.5")
	for _, c := range []struct {
		addr  netip.Addr
		flags uint32
		want  bool
	}{
		{six, 0, true},
		{six, unix.IFA_F_PERMANENT, true},
		{six, unix.IFA_F_MANAGETEMPADDR | unix.IFA_F_NOPREFIXROUTE, true},
		{six, unix.IFA_F_TEMPORARY, false},
		{six, unix.IFA_F_DEPRECATED, false},
		{six, unix.IFA_F_TENTATIVE, false},
		{six, unix.IFA_F_DADFAILED, false},
		{four, unix.IFA_F_SECONDARY, true},
		{four, unix.IFA_F_DEPRECATED, false},
	} {
		data := make([]byte, unix.SizeofIfAddrmsg)
		data[2] = byte(c.flags)
		binary.NativeEndian.PutUint32(data[4:], 7)
		data = append(data, attribute(unix.IFA_ADDRESS, c.addr.AsSlice())...)
		data = append(data, attribute(unix.IFA_FLAGS, binary.NativeEndian.AppendUint32(nil, c.flags))...)
		index, addr, ok := parseAddr(syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: unix.RTM_NEWADDR}, Data: data})
		if index != 7 || addr != c.addr || ok != c.want {
			t.Errorf("got %v with flags %#x: %d, %v, %v, want index 7, addr %v, ok %v", c.addr, c.flags, index, addr, ok, c.addr, c.want)
		}
	}
}

func TestRoute(t *testing.T) {
	for to, want := range map[string]string{"127.0.0.1:9": "127.0.0.1", "[::ffff:127.0.0.1]:9": "127.0.0.1"} {
		if got, err := route(t.Context(), to); err != nil || got.String() != want {
			t.Errorf("to %s: got %v, %v, want %v", to, got, err, want)
		}
	}
	if got, err := route(t.Context(), "nonsense"); err == nil {
		t.Errorf("to nonsense: got %v, want an error", got)
	}
}

func TestSystem(t *testing.T) {
	u, err := System(afero.NewOsFs()).Uname()
	host, _ := os.Hostname()
	if err != nil || u.Nodename != host || u.Release == "" || u.Machine == "" {
		t.Errorf("%+v, %v; the host's name is %s", u, err, host)
	}
}
