package managerclient

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

// flight is one Register or Poll over all its attempts.
type flight struct {
	client *Client
	method string
	// secrets must stand in no error.
	secrets []string
	// request writes the body for a connection from the address local, which is
	// not valid through a proxy; nil where there is none.
	request func(local netip.Addr) ([]byte, error)
	// limit is the size that the answer may have.
	limit int

	local, peer netip.Addr
	status      int
	retryAfter  time.Duration
	// delivered says that the attempt under way may have reached the manager.
	delivered bool
	// mayHaveActed says that after some attempt the manager may have acted.
	mayHaveActed bool
	attempts     int
	wait         time.Duration
	// first is the status of the first answer that told of trouble.
	first int
}

// reply is an answer whose body has come whole.
type reply struct {
	status int
	header http.Header
	content
}

// send makes the request and reads the answer. The error is a *RequestError.
func (f *flight) send(ctx context.Context, path string) (*reply, error) {
	resp, err := f.open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	got, err := readContent(resp.Header, resp.Body, f.limit)
	got.body = bytes.TrimPrefix(got.body, []byte("\xef\xbb\xbf")) // RFC 8259, 8.1
	// A connection may end early behind a whole object.
	if err != nil && !(isObject(got.body) && isHandedOutOnce(got.body)) {
		f.mayHaveActed = true
		return nil, f.cutOff(ctx, err)
	}
	return &reply{resp.StatusCode, resp.Header, got}, nil
}

// open makes the request, again where the policy allows it. The error is a
// *RequestError.
func (f *flight) open(ctx context.Context, path string) (*http.Response, error) {
	u := *f.client.base
	u.Path += path
	traced := httptrace.WithClientTrace(context.WithValue(ctx, flightKey{}, f), &httptrace.ClientTrace{GotConn: f.connected})
	req, err := retryablehttp.NewRequestWithContext(traced, f.method, u.String(), nil)
	if err != nil {
		return nil, f.failed(ctx, err)
	}
	f.client.describe(req.Header, f.request != nil)
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := f.sender().Do(req)
	if err != nil {
		return nil, f.failed(ctx, err)
	}
	return resp, nil
}

// describe sets the headers that each request has.
func (c *Client) describe(h http.Header, hasBody bool) {
	h.Set("Accept", "application/json")
	if hasBody {
		h.Set("Content-Type", "application/json")
	}
	if c.userAgent != "" {
		h.Set("User-Agent", c.userAgent)
	}
}

// sender is retryablehttp, told all that it would otherwise decide by itself: it
// repeats POST, obeys any Retry-After, logs to stderr, and drops the last
// answer.
func (f *flight) sender() *retryablehttp.Client {
	return &retryablehttp.Client{
		HTTPClient:   f.client.http,
		RetryMax:     1 << 30, // checkRetry counts
		CheckRetry:   f.checkRetry,
		Backoff:      func(_, _ time.Duration, _ int, _ *http.Response) time.Duration { return f.wait },
		ErrorHandler: retryablehttp.PassthroughErrorHandler,
		PrepareRetry: func(*http.Request) error {
			f.delivered, f.status, f.retryAfter = false, 0, 0
			return nil
		},
	}
}

// write gives r the body for the connection that carries it.
func (f *flight) write(r *http.Request) (*http.Request, error) {
	if f.request == nil {
		return r, nil
	}
	body, err := f.request(f.local)
	if err != nil {
		return nil, err
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return r, nil
}

// connected marks the point from which the manager may act: the request is
// written next. Being told a moment early is safe; net/http tells it before
// the first byte, on the goroutine that later reads delivered.
func (f *flight) connected(info httptrace.GotConnInfo) {
	f.delivered = true
	if f.client.UsesProxy() {
		return
	}
	f.peer = addressOf(info.Conn.RemoteAddr())
}

func (f *flight) checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	o := outcome{method: f.method, delivered: f.delivered}
	if resp != nil && err == nil {
		f.retryAfter = retryAfterOf(resp.Header, f.client.now())
		f.status = resp.StatusCode
		o.status, o.retryAfter = f.status, f.retryAfter
		if f.first == 0 && isServerTrouble(f.status) {
			f.first = f.status
		}
	} else {
		o.hopeless = isHopeless(err)
	}
	// A 5xx may come from a gateway behind which the manager has acted. A plain
	// 500 is the manager's own: it did not take the registration.
	if o.status == 0 && o.delivered || isServerTrouble(o.status) && o.status != http.StatusInternalServerError {
		f.mayHaveActed = true
	}
	wait, again, counted := f.client.retry.next(f.attempts+1, o)
	if counted {
		f.attempts++
	}
	f.wait = wait
	if until := f.client.retry.Until; !until.IsZero() && until.Sub(f.client.now()) <= wait {
		again = false
	}
	return again && ctx.Err() == nil, nil
}
