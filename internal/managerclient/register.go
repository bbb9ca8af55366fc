package managerclient

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/linux-patch/enroll/internal/contract"
)

const maxToken = 512

// ValidToken says whether s can be a polling token: it becomes a segment of a
// path, so nothing that needs escaping or that a path cleaner would eat.
func ValidToken(s string) bool {
	return s != "" && len(s) <= maxToken && isUnreserved(s) && strings.Trim(s, ".") != ""
}

// Registration is what an accepted enrollment request brought.
type Registration struct {
	// Token is a bearer secret.
	Token string
	// Local is this host's address on the connection that carried the request,
	// zero through a proxy.
	Local netip.Addr
}

// String hides the token.
func (r Registration) String() string { return "registration (token hidden)" }

// GoString hides the token from %#v.
func (r Registration) GoString() string { return r.String() }

// Register sends the enrollment request that seenFrom makes for the address of
// the connection, zero through a proxy, and returns the polling token. Every
// error is a *RequestError. It is sent again as Options.Retry says.
func (c *Client) Register(ctx context.Context, seenFrom func(local netip.Addr) contract.EnrollmentRequest) (Registration, error) {
	f := &flight{client: c, method: http.MethodPost, limit: maxReply}
	f.request = func(local netip.Addr) ([]byte, error) { return json.Marshal(seenFrom(local)) }
	answer, err := f.send(ctx, contract.EnrollPath)
	if err != nil {
		return Registration{}, err
	}
	token, refused := f.judge(answer)
	if refused != nil {
		return Registration{}, f.fail(f.firstCause(refused))
	}
	return Registration{Token: token, Local: f.local}, nil
}

// firstCause names the trouble that came before a rate limit: the manager's own
// limit ends a series of attempts that met it.
func (f *flight) firstCause(last *contract.Error) *contract.Error {
	if last.Code != contract.CodeRateLimited || f.first == 0 {
		return last
	}
	f.status = f.first
	if f.first == http.StatusInternalServerError {
		return contract.Errorf(contract.CodeManagerError, "the manager answered HTTP 500 (either it is in trouble, or a request of this machine_id is already pending there), and then: %w", last.Err).
			WithHint("%s", PendingThereHint)
	}
	return contract.Errorf(contract.CodeManagerError, "the manager answered HTTP %d, and then: %w", f.first, last.Err)
}

// PendingThereHint says what to do where a machine_id may be pending already.
const PendingThereHint = "look at the manager's log; if a request of this machine_id is pending there, an administrator denies it, or an expired one is purged within the hour; then run again"

// judge reads the token, or says why there is none. Text of the answer goes
// into the message for a refusal only: what should have held a token is not
// repeated.
func (f *flight) judge(a *reply) (string, *contract.Error) {
	at := f.client.base
	said := managerText(a.body)
	if said != "" {
		said = ": " + said
	}
	switch s := a.status; {
	case s >= 200 && s <= 299:
		token, err := tokenOf(a)
		if err != nil {
			// The manager has registered this host, and the token is lost.
			f.mayHaveActed = true
		}
		return token, err
	case s >= 300 && s <= 399:
		return "", contract.Errorf(contract.CodeBadAnswer, "%s answered HTTP %d, a redirect to %s; redirects are not followed",
			at, s, hostOf(a.header)).WithHint("set manager_url to the address where the manager itself answers")
	case s == http.StatusBadRequest, s == http.StatusForbidden, s == http.StatusUnprocessableEntity:
		if isPage(a.body) {
			f.mayHaveActed = true // as behind a 5xx of a gateway
			return "", contract.Errorf(contract.CodeUnreachable, "something between this host and the manager answered in its place: HTTP %d%s", s, said)
		}
		return "", contract.Errorf(contract.CodeRejected, "the manager refuses this host (HTTP %d)%s", s, said)
	case s == http.StatusConflict:
		return "", contract.Errorf(contract.CodeConflict, "the manager already knows this machine (HTTP 409)%s", said)
	case s == http.StatusTooManyRequests:
		return "", contract.Errorf(contract.CodeRateLimited, "the manager's rate limit is reached (HTTP 429)%s", said)
	case s == http.StatusInternalServerError:
		return "", contract.Errorf(contract.CodeManagerError,
			"the manager answered HTTP 500%s; either it is in trouble, or a request of this machine_id is already pending there", said).
			WithHint("%s", PendingThereHint)
	case s >= 500 && s <= 599:
		return "", contract.Errorf(contract.CodeManagerError, "the manager reports an error of its own (HTTP %d)%s", s, said)
	case s == http.StatusNotFound, s == http.StatusMethodNotAllowed:
		return "", contract.Errorf(contract.CodeBadAnswer, "there is no enrollment endpoint at %s (HTTP %d)%s", at, s, said)
	default:
		return "", contract.Errorf(contract.CodeBadAnswer, "%s answered HTTP %d, which the contract does not know%s", at, s, said)
	}
}

func tokenOf(a *reply) (string, *contract.Error) {
	if a.encoding != "" {
		return "", contract.Errorf(contract.CodeBadAnswer, "the manager answered HTTP %d with a body that cannot be decoded (Content-Encoding: %s)", a.status, a.encoding)
	}
	err := errTooLong
	var token string
	if len(a.body) <= maxReply {
		err = readMembers(a.body, map[string]*string{"polling_token": &token})
	}
	switch {
	case err != nil:
		return "", contract.Errorf(contract.CodeBadAnswer, "the manager answered HTTP %d, %w", a.status, err)
	case token == "":
		return "", contract.Errorf(contract.CodeBadAnswer, "the manager answered HTTP %d without a polling_token", a.status)
	case !ValidToken(token):
		return "", contract.Errorf(contract.CodeBadAnswer,
			"the manager answered HTTP %d with a polling_token that has other characters than letters, digits, - . _ ~ or more than %d of them", a.status, maxToken)
	}
	return token, nil
}

// hostOf names where a redirect points, and no more of it.
func hostOf(h http.Header) string {
	if l := h[withheldLocation]; len(l) > 0 { //nolint:staticcheck // SA1008: no answer can set a key that is not canonical
		if u, err := url.Parse(l[0]); err == nil && u.Host != "" {
			return printable(u.Host)
		}
	}
	return "the same host"
}
