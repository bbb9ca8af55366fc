package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

func TestGateCountsWhatIsOpen(t *testing.T) {
	g := newCrowd()
	var sources []netip.Addr
	for len(sources)*maxPerSource < maxConnections {
		source := netip.AddrFrom4([4]byte{192, 0, 2, byte(len(sources))})
		for range maxPerSource {
			if !g.enter(source) {
				t.Fatalf("%s was refused too early", source)
			}
		}
		if g.enter(source) {
			t.Errorf("%s got more than its share", source)
		}
		sources = append(sources, source)
	}
	if len(sources) < 4 {
		t.Errorf("got %d sources keep all others out, want 4 at least", len(sources))
	}
	if g.enter(netip.MustParseAddr("192.0.2.200")) {
		t.Error("too many are open")
	}
	for _, source := range sources {
		for range maxPerSource {
			g.leave(source)
		}
	}
	if g.all != 0 || len(g.open) != 0 {
		t.Errorf("got %d left, %v, want 0, 0", g.all, g.open)
	}
}

// Clients that connect and say nothing are dropped in time, and do not keep
// others out for ever.
func TestSilentClientsAreDropped(t *testing.T) {
	h := newHost(t)
	h.install(h.leaf())
	address := h.start().listening()
	var silent []net.Conn
	for range maxPerSource + 5 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		silent = append(silent, conn)
	}
	h.logged("too many are open")
	if _, err := ask(address, h.clientTLS()); err == nil {
		t.Error("let in though its source has too many connections")
	}
	begun := time.Now()
	for _, conn := range silent {
		if err := conn.SetReadDeadline(begun.Add(2 * handshakeWithin)); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil || strings.Contains(err.Error(), "timeout") {
			t.Fatalf("%d bytes, %v", n, err)
		}
	}
	h.eventually(func() bool { _, err := ask(address, h.clientTLS()); return err == nil }, func() string { return "let in again" })
}

// A refused client mostly has its request under way already; the alert must
// reach it, and not a reset.
func TestRefusedClientsAreToldWhy(t *testing.T) {
	h := newHost(t)
	h.install(h.leaf())
	address := h.start().listening()
	stranger := pkitest.NewCA(t).Issue(t, pkitest.EKU(x509.ExtKeyUsageClientAuth))
	config := h.clientTLS()
	// Sent whether the server would take it or not.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		c := stranger.TLS()
		return &c, nil
	}
	for i := range 100 {
		conn, err := tls.Dial("tcp", address, config)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for range 8 {
			if _, err := conn.Write(make([]byte, 8<<10)); err != nil {
				t.Fatalf("attempt %d: got %v, want no error", i, err)
			}
		}
		_, err = conn.Read(make([]byte, 1))
		_ = conn.Close()
		if err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
			t.Fatalf(`attempt %d: got %v, want an error, "unknown certificate authority" in it`, i, err)
		}
	}
}

func TestHeadersAreBounded(t *testing.T) {
	h := newHost(t)
	h.install(h.leaf())
	conn, err := tls.Dial("tcp", h.start().listening(), h.clientTLS())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		_, _ = io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: agent\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n")
	}()
	answer, _ := io.ReadAll(conn)
	if !strings.HasPrefix(string(answer), "HTTP/1.1 431 ") {
		t.Errorf(`got %q, want "HTTP/1.1 431 " first`, answer)
	}
}

// A connection that is kept open is judged at each request.
func TestOpenConnectionsLoseTheirPermission(t *testing.T) {
	for name, revoke := range map[string]func(h *host){
		"revoked":                    func(h *host) { h.write("certs/crl.pem", h.ca.CRL(h.t, h.client.Cert)) },
		"no longer in the whitelist": func(h *host) { h.write("whitelist.yaml", "entries: [192.0.2.1]\n") },
		"another CA": func(h *host) {
			h.ca = pkitest.NewCA(h.t)
			h.install(h.leaf())
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.install(h.leaf())
			r := h.start()
			conn, err := tls.Dial("tcp", r.listening(), h.clientTLS())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := get(conn); err != nil {
				t.Fatal(err)
			}
			revoke(h)
			h.eventually(func() bool { return get(conn) != nil }, func() string { return "the connection is dropped" })
			if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
				t.Errorf("an answer: got %d, %v, want none, an error", n, err)
			}
		})
	}
}

// get makes a request on an open connection and reads the whole answer.
func get(conn *tls.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: agent\r\n\r\n"); err != nil {
		return err
	}
	var answer []byte
	for !strings.HasSuffix(string(answer), "\n\n") && !strings.HasSuffix(string(answer), "}\n") {
		var b [512]byte
		n, err := conn.Read(b[:])
		if err != nil {
			return err
		}
		answer = append(answer, b[:n]...)
	}
	return nil
}
