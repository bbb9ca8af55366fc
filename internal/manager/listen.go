package manager

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// stopWithin is how long a stop waits for answers that are on their way.
const stopWithin = 5 * time.Second

// TLSConfig returns the configuration for HTTPS with a certificate of the
// manager's own CA for the given names and addresses. The certificate stays
// the same between starts while it fits, so that hosts can pin it; the CA is
// presented with it, so that they can pin that.
func (s *Server) TLSConfig(names []string) (*tls.Config, error) {
	keyPath, certPath := s.path("https.key"), s.path("https.pem")
	key, err := s.readKey(keyPath)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = s.newKeyFile(keyPath)
	}
	if err != nil {
		return nil, err
	}
	now := s.opt.Now().UTC()
	cert := s.usableHTTPSCert(certPath, key, names, now)
	if cert == nil {
		if cert, err = s.issueHTTPS(certPath, key, names, now); err != nil {
			return nil, err
		}
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		Time:       s.opt.Now,
		Certificates: []tls.Certificate{{
			Certificate: [][]byte{cert.Raw, s.ca.cert.Raw}, PrivateKey: key, Leaf: cert,
		}},
	}, nil
}

// usableHTTPSCert returns the stored certificate if it still serves: by this
// CA, for this key and all the names, and for another 30 days.
func (s *Server) usableHTTPSCert(path string, key *ecdsa.PrivateKey, names []string, now time.Time) *x509.Certificate {
	raw, err := s.fs.ReadFile(path)
	if err != nil {
		return nil
	}
	c, err := parseCert(raw)
	if err != nil || c.CheckSignatureFrom(s.ca.cert) != nil || !key.PublicKey.Equal(c.PublicKey) {
		return nil
	}
	if now.Before(c.NotBefore) || now.Add(30*24*time.Hour).After(c.NotAfter) {
		return nil
	}
	if slices.ContainsFunc(names, func(n string) bool { return c.VerifyHostname(n) != nil }) {
		return nil
	}
	return c
}

func (s *Server) issueHTTPS(path string, key *ecdsa.PrivateKey, names []string, now time.Time) (*x509.Certificate, error) {
	t := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "linux_patch_manager"},
		NotBefore:   now.Add(-backdate),
		NotAfter:    now.Add(DefaultCertFor),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range names {
		if ip, err := netip.ParseAddr(n); err == nil {
			t.IPAddresses = append(t.IPAddresses, ipSAN(ip)...)
		} else {
			t.DNSNames = append(t.DNSNames, n)
		}
	}
	crt, _, err := s.ca.issue(t, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	if err := s.writeFile(path, crt, 0o644); err != nil {
		return nil, err
	}
	return parseCert(crt)
}

func ipSAN(ip netip.Addr) []net.IP { return []net.IP{ip.Unmap().AsSlice()} }

// Serve answers on ln, over TLS unless conf is nil, until ctx ends; then it
// lets the answers under way finish. It does not close the Server.
func (s *Server) Serve(ctx context.Context, ln net.Listener, conf *tls.Config) error {
	srv := &http.Server{
		Handler:           s.handler,
		TLSConfig:         conf,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(logWriter{s}, "", 0),
	}
	failed := make(chan error, 1)
	go func() {
		if conf == nil {
			failed <- srv.Serve(ln)
			return
		}
		failed <- srv.ServeTLS(ln, "", "")
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	// ctx is over; the stop has a time of its own.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	err := srv.Shutdown(stop)
	if err != nil {
		err = errors.Join(err, srv.Close())
	}
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// logWriter takes net/http's own messages, such as failed handshakes.
type logWriter struct{ s *Server }

func (w logWriter) Write(p []byte) (int, error) {
	w.s.log.Warn(strings.TrimSpace(string(p)))
	return len(p), nil
}

// certNames is what the HTTPS certificate is for: what is advertised, the
// listening address, and always loopback, where the command line calls.
func certNames(advertise []string, listen netip.Addr) []string {
	names := append(slices.Clone(advertise), "localhost", "127.0.0.1", "::1")
	if listen.IsValid() && !listen.IsUnspecified() {
		names = append(names, listen.WithZone("").Unmap().String())
	}
	slices.Sort(names)
	return slices.Compact(names)
}
