package managerclient

import (
	"context"
	"encoding/json"
	"net/http"
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

// Register sends the enrollment request and returns the polling token. Every
// error is a *RequestError. It is sent again as Options.Retry says.
func (c *Client) Register(ctx context.Context, r contract.EnrollmentRequest) (string, error) {
	f := &flight{client: c, method: http.MethodPost}
	body, err := json.Marshal(r)
	if err != nil {
		return "", f.fail(contract.Errorf(contract.CodeInternal, "cannot encode the enrollment request: %w", err))
	}
	answer, err := f.send(ctx, contract.EnrollPath, body)
	if err != nil {
		return "", err
	}
	token, refused := f.judge(answer)
	if refused != nil {
		return "", f.fail(refused)
	}
	return token, nil
}

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
		return "", contract.Errorf(contract.CodeRejected, "the manager refuses this host (HTTP %d)%s", s, said)
	case s == http.StatusConflict:
		return "", contract.Errorf(contract.CodeConflict, "the manager already knows this machine (HTTP 409)%s", said)
	case s == http.StatusTooManyRequests:
		return "", contract.Errorf(contract.CodeRateLimited, "the manager's rate limit is reached (HTTP 429)%s", said)
	case s == http.StatusInternalServerError:
		return "", contract.Errorf(contract.CodeManagerError,
			"the manager answered HTTP 500%s; either it is in trouble, or a request of this machine_id is already pending there", said)
	case s >= 500 && s <= 599:
		return "", contract.Errorf(contract.CodeManagerError, "the manager reports an error of its own (HTTP %d)%s", s, said)
	case s == http.StatusNotFound, s == http.StatusMethodNotAllowed:
		return "", contract.Errorf(contract.CodeBadAnswer, "there is no enrollment endpoint at %s (HTTP %d)%s", at, s, said)
	default:
		return "", contract.Errorf(contract.CodeBadAnswer, "%s answered HTTP %d, which the contract does not know%s", at, s, said)
	}
}

func tokenOf(a *reply) (string, *contract.Error) {
	if e := strings.ToLower(a.header.Get("Content-Encoding")); e != "" && e != "identity" {
		return "", contract.Errorf(contract.CodeBadAnswer, "the manager answered HTTP %d with a compressed body that was not asked for", a.status)
	}
	err := errTooLong
	var token string
	if len(a.body) <= MaxBody {
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
