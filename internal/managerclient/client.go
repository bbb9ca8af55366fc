// Package managerclient is the one door to HTTP: it registers a host with a
// manager, asks for the state of the request, and judges the answers.
//
// It promises that a poll is never sent again once it may have reached the
// manager, that every failure says whether the manager may have acted, that
// each request ends in bounded time and memory, and that neither the polling
// token nor a proxy's credentials stand in any error. It writes no log and no
// file. It does not keep the token, does not decide when to ask again
// after an answer to a poll, and does not verify a bundle.
package managerclient

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
)

const (
	// MaxBody is the size an answer to a poll may have, decoded: bundles are a few
	// kilobytes, but for the list of revoked certificates in them.
	MaxBody = 64 << 20
	// maxReply is the size an answer to a registration may have.
	maxReply = 1 << 20

	maxHeader = 64 << 10
)

// Options is what a Client is made of. Only URL is required.
type Options struct {
	// URL is the manager's base, as ParseURL returns it.
	URL *url.URL
	// CAPEM holds certificates that replace the system's roots.
	CAPEM []byte
	// Fingerprint is a SHA-256 as pki.NormalizeFingerprint reads it: of the
	// presented leaf, or of a CA, presented or in CAPEM, which is then the sole
	// root of a normal verification. With CAPEM, both must hold.
	Fingerprint string
	// Insecure drops verification; a Fingerprint is honoured all the same.
	Insecure bool
	// ProxyURL replaces the proxy variables of the environment. A manager on
	// loopback is asked directly in any case.
	ProxyURL string
	// IPv6 connects by IPv6 first, for a host that reports such an address.
	IPv6 bool
	// CASource names the option that CAPEM came from, for messages.
	CASource string
	// Timeout bounds one request, from dialling to the answer's last byte, in
	// time in which this process runs.
	Timeout   time.Duration
	UserAgent string
	// KeepAlive keeps connections for further requests. Nothing that is handed
	// out once may be asked for then.
	KeepAlive bool
	// Seen, where set, is told the SHA-256 of the certificate that the manager
	// presented on each connection, once it is verified.
	Seen func(sha256 string)
	// Warn, where set, is told which certificates of CAPEM are skipped.
	Warn func(warning string)
	// Now is the clock that certificates are judged by.
	Now func() time.Time
	// Retry says when a request is sent again.
	Retry Retry
}

// Client talks to one manager.
type Client struct {
	base      *url.URL
	proxy     *url.URL
	userAgent string
	now       func() time.Time
	retry     Retry
	caSource  string
	http      *http.Client
}

// New makes a Client. It reads the proxy variables and opens no connection.
func New(o Options) (*Client, error) {
	if o.URL == nil {
		return nil, contract.Errorf(contract.CodeInvalidArgument, "manager_url is required")
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	proxy, err := findProxy(o.URL, o.ProxyURL)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := tlsConfigFor(o)
	if err != nil {
		return nil, err
	}
	dialer := &dialer{budget: min(dialTimeout, o.Timeout), ipv6: o.IPv6, lookup: net.DefaultResolver.LookupNetIP}
	if o.URL.Scheme == "http" {
		dialer.Control = loopbackOnly
	}
	transport := &http.Transport{
		DialContext:            dialer.dialReady,
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    min(dialTimeout, o.Timeout),
		MaxResponseHeaderBytes: maxHeader,
		// Encoded answers are decoded here, in bounded memory, and kept where they
		// can't be.
		DisableCompression: true,
		// net/http silently repeats a GET that fails on a reused connection,
		// and an approved bundle is handed out once: no connection is reused.
		DisableKeepAlives: !o.KeepAlive,
		// A non-nil empty map switches HTTP/2 off.
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
	sender := attempt{transport: transport, timeout: o.Timeout, dial: dialer}
	if proxy != nil {
		useProxy(transport, proxy, dialer)
		sender.dial = nil
	}
	return &Client{
		base:      o.URL,
		proxy:     proxy,
		userAgent: o.UserAgent,
		now:       o.Now,
		retry:     o.Retry.withDefaults(),
		caSource:  o.CASource,
		http:      &http.Client{Transport: withholdLocation{sender}},
	}, nil
}

// UsesProxy says whether requests go through a proxy, so that the manager's
// address cannot be seen.
func (c *Client) UsesProxy() bool { return c.proxy != nil }

// Answer is a manager's answer to a poll as it came, for storing before it is
// judged. Body is at most one byte longer than MaxBody, which Judge refuses.
type Answer struct {
	HTTPStatus int
	// Body is decoded, and raw where it can't be.
	Body []byte
	// Encoding is what a raw Body is encoded as, "" for a decoded one.
	Encoding string
	// CRLSkipped says that the list of revoked certificates in Body was larger
	// than what is taken, and was left out while reading.
	CRLSkipped bool
	// PeerIP is the manager's address, zero through a proxy.
	PeerIP     netip.Addr
	RetryAfter time.Duration
}

// loopbackOnly refuses to send a token in the clear to a "localhost" that a
// resolver has pointed elsewhere.
func loopbackOnly(_, address string, _ syscall.RawConn) error {
	if ap, err := netip.ParseAddrPort(address); err == nil && ap.Addr().Unmap().IsLoopback() {
		return nil
	}
	return errNotLoopback
}

// withholdLocation keeps net/http from acting on redirects, and from putting a
// malformed Location into an error: the polling token is in the URL, so none
// is followed. The header moves to a key that no answer can set, since
// net/http makes the keys of answers canonical.
type withholdLocation struct{ next http.RoundTripper }

const withheldLocation = "withheld-location"

func (w withholdLocation) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if l := resp.Header["Location"]; l != nil {
		delete(resp.Header, "Location")
		resp.Header[withheldLocation] = l
	}
	return resp, nil
}
