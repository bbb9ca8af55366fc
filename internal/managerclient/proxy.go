package managerclient

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/linux-patch/enroll/internal/contract"
)

// findProxy returns the proxy for base, nil for none. No error holds a part of
// a proxy's URL, which may carry a password.
func findProxy(base *url.URL, option string) (*url.URL, error) {
	if isLoopback(base.Hostname()) {
		return nil, nil
	}
	source := "proxy_url"
	var proxy *url.URL
	var err error
	if option != "" {
		if !strings.Contains(option, "://") {
			option = "http://" + option
		}
		proxy, err = url.Parse(option)
	} else {
		source = "the proxy variable of the environment"
		proxy, err = http.ProxyFromEnvironment(&http.Request{URL: base})
	}
	if err != nil {
		return nil, contract.Errorf(contract.CodeInvalidArgument, "%s is not a URL", source)
	}
	if proxy == nil {
		return nil, nil
	}
	switch proxy.Scheme {
	case "http", "https", "socks5", "socks5h":
	default:
		return nil, contract.Errorf(contract.CodeInvalidArgument, "%s must begin with http://, https:// or socks5://", source)
	}
	if _, _, why := splitAuthority(proxy.Host); why != "" {
		return nil, contract.Errorf(contract.CodeInvalidArgument, "%s %s", source, why)
	}
	return proxy, nil
}

// useProxy sends all requests of t through proxy.
func useProxy(t *http.Transport, proxy *url.URL, dialer *dialer) {
	t.Proxy = http.ProxyURL(proxy)
	t.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
		if resp.StatusCode != http.StatusOK {
			return proxyError{fmt.Errorf("it answered %d", resp.StatusCode)}
		}
		return nil
	}
	if proxy.Scheme != "https" {
		return
	}
	// The manager's trust says nothing of the proxy: without this, net/http
	// would hold the proxy to the manager's pin, or trust it blindly.
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: proxy.Hostname()}
	t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, addr)
		if err != nil {
			return nil, proxyError{err}
		}
		encrypted := tls.Client(conn, config)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return nil, proxyError{err}
		}
		return encrypted, nil
	}
}

// proxyError marks a failure that is the proxy's, not the manager's.
type proxyError struct{ err error }

func (e proxyError) Error() string { return "proxy: " + e.err.Error() }

func (e proxyError) Unwrap() error { return e.err }
