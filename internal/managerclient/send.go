package managerclient

import (
	"context"
	"io"
	"net"
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

	peer       netip.Addr
	status     int
	retryAfter time.Duration
	// delivered says that the attempt under way may have reached the manager.
	delivered bool
	// mayHaveActed says that after some attempt the manager may have acted.
	mayHaveActed bool
	attempts     int
	wait         time.Duration
}

// reply is an answer that has come whole.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// send makes the request, again where the policy allows it, and reads the
// answer. The error is a *RequestError.
func (f *flight) send(ctx context.Context, path string, body []byte) (*reply, error) {
	u := *f.client.base
	u.Path += path
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: f.connected})
	var rawBody any // a nil []byte in an interface would be a body
	if body != nil {
		rawBody = body
	}
	req, err := retryablehttp.NewRequestWithContext(traced, f.method, u.String(), rawBody)
	if err != nil {
		return nil, f.failed(ctx, err)
	}
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if f.client.userAgent != "" {
		req.Header.Set("User-Agent", f.client.userAgent)
	}
	// retryablehttp is told all that it would otherwise decide by itself: it
	// repeats POST, obeys any Retry-After, logs to stderr, and drops the last
	// answer.
	sender := &retryablehttp.Client{
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
	resp, err := sender.Do(req)
	if err != nil {
		return nil, f.failed(ctx, err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	if err != nil {
		f.mayHaveActed = true
		return nil, f.cutOff(ctx, err)
	}
	return &reply{resp.StatusCode, resp.Header, got}, nil
}

// connected marks the point from which the manager may act: the request is
// written next. Being told a moment early is safe; net/http tells it before
// the first byte, on the goroutine that later reads delivered.
func (f *flight) connected(info httptrace.GotConnInfo) {
	f.delivered = true
	if f.client.UsesProxy() {
		return
	}
	if a, ok := info.Conn.RemoteAddr().(*net.TCPAddr); ok {
		f.peer = a.AddrPort().Addr().Unmap().WithZone("")
	}
}

func (f *flight) checkRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	o := outcome{method: f.method, delivered: f.delivered}
	if resp != nil && err == nil {
		f.retryAfter = retryAfterOf(resp.Header, f.client.now())
		f.status = resp.StatusCode
		o.status, o.retryAfter = f.status, f.retryAfter
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
