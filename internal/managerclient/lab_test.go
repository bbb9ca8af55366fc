package managerclient

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
)

// tokenCanary must turn up in no error.
const tokenCanary = "CANARYtoken0123456789"

var anyRequest = contract.EnrollmentRequest{MachineID: strings.Repeat("a", 32), FQDN: "host.example.com"}

// clientFor makes a client whose waits are short.
func clientFor(t *testing.T, url string, change func(*Options)) *Client {
	t.Helper()
	u, err := ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{URL: u, Timeout: time.Minute, UserAgent: "test/1", Retry: Retry{Wait: time.Millisecond}}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// rawServer hands each connection, after its request was read, to answer. It
// returns the server's URL and the number of requests so far.
func rawServer(t *testing.T, answer func(net.Conn, *http.Request)) (string, *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	requests := new(atomic.Int32)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					requests.Add(1)
					answer(conn, req)
					if req.Close {
						return
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String(), requests
}

// authority is a CA of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string, change func(*x509.Certificate)) authority {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	if change != nil {
		change(template)
	}
	cert, key := issue(t, template, authority{})
	return authority{cert, key}
}

// serverCert issues a certificate for names, with chain presented behind it.
func (a authority) serverCert(t *testing.T, change func(*x509.Certificate), chain ...*x509.Certificate) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "manager"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames: []string{"manager.test"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	cert, key := issue(t, template, a)
	out := tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
	for _, c := range chain {
		out.Certificate = append(out.Certificate, c.Raw)
	}
	return out
}

// issue signs template by ca, or by itself where ca is none.
func issue(t *testing.T, template *x509.Certificate, ca authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-time.Hour)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	if ca.cert == nil {
		ca = authority{template, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func pemOf(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

// tlsServer answers every registration with a token.
func tlsServer(t *testing.T, cert tls.Certificate, change func(*tls.Config)) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		w.Write([]byte(`{"polling_token":"` + tokenCanary + `"}`))
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	if change != nil {
		change(s.TLS)
	}
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// TestMain keeps the proxy variables of anyone who runs the tests out of them:
// net/http reads them once.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"} {
		os.Unsetenv(name)
	}
	os.Setenv("HTTPS_PROXY", "http://environment:CANARY@proxy.invalid:3128")
	os.Setenv("NO_PROXY", "direct.test")
	os.Exit(m.Run())
}

// register sends anyRequest and returns the token.
func (c *Client) register(ctx context.Context) (string, error) {
	r, err := c.Register(ctx, func(netip.Addr) contract.EnrollmentRequest { return anyRequest })
	return r.Token, err
}
