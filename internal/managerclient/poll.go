package managerclient

import (
	"context"
	"net/http"

	"github.com/linux-patch/enroll/internal/contract"
)

// Poll asks for the state of the request that token stands for. Any whole HTTP
// answer is an Answer, for Judge; an error, a *RequestError, means that there
// was none. An approved bundle is handed out once, so that a Poll that is
// cancelled on its way may lose it: MaybeDelivered tells.
func (c *Client) Poll(ctx context.Context, token string) (Answer, error) {
	f := &flight{client: c, method: http.MethodGet, secrets: []string{token}, limit: MaxBody}
	if !ValidToken(token) {
		return Answer{}, f.fail(contract.Errorf(contract.CodeTokenUnknown, "the saved polling token is not one"))
	}
	a, err := f.send(ctx, contract.StatusPath+token)
	if err != nil {
		return Answer{}, err
	}
	return Answer{
		HTTPStatus: a.status, Body: a.body, Encoding: a.encoding, CRLSkipped: a.crlSkipped,
		PeerIP: f.peer, RetryAfter: f.retryAfter,
	}, nil
}

// String hides the body, which may hold a private key.
func (a Answer) String() string { return "answer to a poll (body hidden)" }

// GoString hides the body from %#v.
func (a Answer) GoString() string { return a.String() }
