package daemon

import (
	"net"
	"slices"
	"strings"
	"testing"
)

// TestField2_9_Bind: 0.0.0.0 is IPv4 alone, :: is both, several are each.
func TestField2_9_Bind(t *testing.T) {
	for listen, families := range map[string][]string{
		"0.0.0.0:0": {"tcp4"}, "[::]:0": {"tcp4", "tcp6"}, "[::1]:0": {"tcp6"}, "127.0.0.1:0": {"tcp4"},
		"127.0.0.1:0,[::1]:0": {"tcp4", "tcp6"}, "127.0.0.1:0,127.0.0.2:0": {"tcp4"},
	} {
		t.Run(listen, func(t *testing.T) {
			h := newHost(t)
			h.install(h.leaf())
			h.write("whitelist.yaml", "entries: [127.0.0.0/8, '::1']\n")
			r := h.start("--listen", listen)
			addresses := strings.Split(r.listening(), ", ")
			if want := 1 + strings.Count(listen, ","); len(addresses) != want {
				t.Errorf("listens on %v, want %d addresses", addresses, want)
			}
			if listen == "0.0.0.0:0" && !strings.HasPrefix(addresses[0], "0.0.0.0:") {
				t.Errorf("listens on %s, want IPv4 alone", addresses[0])
			}
			for network, host := range map[string]string{"tcp4": "127.0.0.1", "tcp6": "::1"} {
				reached := false
				for _, address := range addresses {
					_, port, err := net.SplitHostPort(address)
					if err != nil {
						t.Fatal(err)
					}
					conn, err := net.Dial(network, net.JoinHostPort(host, port))
					if err == nil {
						reached = true
						_ = conn.Close()
					}
				}
				if want := slices.Contains(families, network); reached != want {
					t.Errorf("reached by %s: %v, want %v", network, reached, want)
				}
			}
		})
	}
}

func TestWhatOneAddressBringsOfOthers(t *testing.T) {
	for bind, want := range map[string]string{
		"0.0.0.0": "0.0.0.0", "0.0.0.0 ::": "::", ":: 127.0.0.1": "::", "0.0.0.0 127.0.0.1 ::1": "0.0.0.0 ::1",
		"127.0.0.1 127.0.0.1 ::1": "127.0.0.1 ::1", "::ffff:127.0.0.1": "127.0.0.1",
	} {
		if got := strings.Join(distinct(strings.Fields(bind)), " "); got != want {
			t.Errorf("%s: got %s, want %s", bind, got, want)
		}
	}
}
