package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
)

const (
	handshakeWithin = 5 * time.Second
	requestWithin   = 10 * time.Second
	idleFor         = time.Minute
	maxHeader       = 8 << 10
	// drainWithin is what answers under way get when the listener ends; a stop
	// takes no longer than a second.
	drainWithin = 500 * time.Millisecond
)

// listener answers health checks over mutual TLS.
type listener struct {
	door *door
	log  *sparse
	now  func() time.Time
	// version is what health checks tell.
	version string
	// started is when the program began.
	started time.Time
	// host says what this host is.
	host func() contract.SystemInfo
	// set is what is served now; nil where nothing is.
	set atomic.Pointer[served]

	server *http.Server
	addrs  []string
	ended  chan error
}

// networkOf is what to listen on an address with. For Go, 0.0.0.0 stands for
// IPv6 as well where the network is tcp.
func networkOf(address string) string {
	if at, err := netip.ParseAddrPort(address); err == nil && at.Addr().Is4() {
		return "tcp4"
	}
	return "tcp"
}

// listenOn opens all addresses, or none.
func listenOn(ctx context.Context, addresses []string) (all []net.Listener, err error) {
	var lc net.ListenConfig
	for _, address := range addresses {
		ln, err := lc.Listen(ctx, networkOf(address), address)
		if err != nil {
			for _, ln := range all {
				_ = ln.Close()
			}
			return nil, fmt.Errorf("%w: %w", errListener, err)
		}
		all = append(all, ln)
	}
	return all, nil
}

// open begins to listen. The error of a listener that fails later comes from
// ended.
func (l *listener) open(ctx context.Context, addresses []string) error {
	all, err := listenOn(ctx, addresses)
	if err != nil {
		return err
	}
	l.addrs, l.ended = nil, make(chan error, 1)
	for _, ln := range all {
		l.addrs = append(l.addrs, ln.Addr().String())
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	l.server = &http.Server{
		Handler:   l.handler(),
		TLSConfig: l.tlsConfig(),
		Protocols: protocols,
		// It bounds the handshake too.
		ReadHeaderTimeout: handshakeWithin,
		ReadTimeout:       requestWithin,
		WriteTimeout:      requestWithin,
		IdleTimeout:       idleFor,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(l.log, "", 0),
	}
	l.serve(all)
	return nil
}

// serve serves all listeners until one fails or the server is closed.
func (l *listener) serve(all []net.Listener) {
	server, ended, crowd := l.server, l.ended, newCrowd()
	errs := make(chan error, len(all))
	for _, ln := range all {
		go func() { errs <- server.ServeTLS(&gate{Listener: ln, door: l.door, log: l.log, crowd: crowd}, "", "") }()
	}
	go func() {
		var first error
		for range all {
			if err := <-errs; err != nil && !errors.Is(err, http.ErrServerClosed) && first == nil {
				first = err
				_ = server.Close()
			}
		}
		ended <- first
	}()
}

// address is where the listener is reached, as one text.
func (l *listener) address() string { return strings.Join(l.addrs, ", ") }

// listening tells whether open was called since the last close.
func (l *listener) listening() bool { return l.server != nil }

// close stops listening and lets answers under way finish.
func (l *listener) close() error {
	if l.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainWithin)
	defer cancel()
	err := l.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = l.server.Close()
	}
	err = errors.Join(err, <-l.ended)
	l.server, l.addrs, l.ended = nil, nil, nil
	return err
}

// tlsConfig makes the configuration of each handshake from the set that is
// served at its beginning. No session is resumed: it would bring the certificate
// that it began with, and lock out a client that has a new one since and the old
// one revoked.
func (l *listener) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			set := l.set.Load()
			if set == nil {
				return nil, errors.New("nothing to serve")
			}
			return &tls.Config{
				MinVersion:             tls.VersionTLS13,
				Certificates:           []tls.Certificate{set.certificate},
				ClientAuth:             tls.RequireAndVerifyClientCert,
				ClientCAs:              set.roots,
				NextProtos:             []string{"http/1.1"},
				SessionTicketsDisabled: true,
				Time:                   l.now,
				VerifyConnection: func(cs tls.ConnectionState) error {
					err := l.verify(cs)
					if conn, ok := hello.Conn.(*passed); ok && err == nil {
						conn.admitted.Store(true)
					}
					return err
				},
			}, nil
		},
	}
}

// verify runs at the end of every handshake and judges by what is in force by
// then.
func (l *listener) verify(cs tls.ConnectionState) error {
	set := l.set.Load()
	if set == nil {
		return errors.New("nothing to serve")
	}
	return set.judge(cs.PeerCertificates, l.now())
}
