package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
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
	addr   net.Addr
	ended  chan error
}

// open begins to listen. The error of a listener that fails later comes from
// ended.
func (l *listener) open(ctx context.Context, address string) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("%w: %w", errListener, err)
	}
	l.addr, l.ended = ln.Addr(), make(chan error, 1)
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
	go func(server *http.Server, ended chan<- error) {
		err := server.ServeTLS(newGate(ln, l.door, l.log), "", "")
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		ended <- err
	}(l.server, l.ended)
	return nil
}

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
	l.server, l.addr, l.ended = nil, nil, nil
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
