package manager_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/manager"
)

func TestHTTPSCertificateIsKeptWhileItFits(t *testing.T) {
	l := newLab(t, manager.Options{})
	leaf := func(names ...string) []byte {
		t.Helper()
		conf, err := l.s.TLSConfig(names)
		if err != nil {
			t.Fatal(err)
		}
		chain := conf.Certificates[0].Certificate
		if len(chain) != 2 || !bytes.Equal(chain[1], certOf(t, string(l.s.CAPEM())).Raw) {
			t.Error("the CA is not presented with the certificate")
		}
		return chain[0]
	}
	first := leaf("127.0.0.1")
	if !bytes.Equal(first, leaf("127.0.0.1")) {
		t.Error("another certificate for the same name: pins would break")
	}
	named := leaf("127.0.0.1", "::1", "manager.example.com")
	if bytes.Equal(first, named) {
		t.Error("the old certificate for a new name")
	}
	crt, err := x509.ParseCertificate(named)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"127.0.0.1", "::1", "manager.example.com"} {
		if err := crt.VerifyHostname(n); err != nil {
			t.Error(err)
		}
	}
	l.clock.advance(340 * 24 * time.Hour)
	if bytes.Equal(named, leaf("127.0.0.1")) {
		t.Error("a certificate that ends in 25 days was kept")
	}
}

func TestServeAnswersAndStops(t *testing.T) {
	s, err := manager.New(manager.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	conf, err := s.TLSConfig([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln, conf) }()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CAPEM())
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Get("https://" + ln.Addr().String() + "/")
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		t.Errorf("got %d, want 200", resp.StatusCode)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("stop: got %v, want no error", err)
	}
	if c, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		c.Close()
		t.Error("still listening")
	}
}

func TestServeReportsALostListener(t *testing.T) {
	s, err := manager.New(manager.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), ln, nil); err == nil {
		t.Error("no error")
	}
}
