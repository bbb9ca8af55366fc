package managerclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
)

// adminCall is one call over all its attempts.
type adminCall struct {
	method, path, query string
	body                any
	// open is a call that needs no session: it is never renewed and, being a
	// login, never sent again once it may have arrived.
	open bool
	// acts is a call whose repetition would act again.
	acts    bool
	bearer  string
	secrets []string
	// read takes the body of a success; stream, called for each answer anew, its
	// rows.
	read   func([]byte) error
	stream func() func(decode) error

	flight *flight
}

const (
	adminTries = 3
	// untoldAdmin429 is a little more than the interval of the deployed API's limit.
	untoldAdmin429 = time.Second
	// renewEarly is how long before its end a session is renewed.
	renewEarly = 30 * time.Second
	// deployedPace is the interval of the deployed API's limit, one request per
	// half a second, and a hundredth more.
	deployedPace = 505 * time.Millisecond
)

func into(v any) func([]byte) error {
	return func(body []byte) error {
		if json.Unmarshal(body, v) != nil {
			return errNotJSON
		}
		return nil
	}
}

// do makes the call, with the waits and the one renewal that it may need.
func (a *Admin) do(ctx context.Context, c *adminCall) error {
	if c.path == "" {
		c.flight = &flight{client: a.client}
		return c.fail(contract.Errorf(contract.CodeBadAnswer, "%s names something by an id that cannot be one", a.client.base))
	}
	renewed := false
	if !c.open && a.ending() {
		renewed = true
		if err := a.Renew(ctx); err != nil {
			return err
		}
	}
	for tries := 1; ; {
		bearer := a.Session.AccessToken
		if c.open {
			bearer = c.bearer
		}
		err := a.try(ctx, c, bearer)
		failed, ok := errors.AsType[*AdminError](err)
		if !ok || ctx.Err() != nil {
			return err
		}
		wait := min(a.client.retry.Wait<<min(tries-1, 10), maxWait)
		switch {
		case failed.HTTPStatus == http.StatusTooManyRequests:
			wait = max(c.flight.retryAfter, untoldAdmin429)
			if !c.open {
				a.pace = max(deployedPace, a.pace+a.pace/10)
			}
		case failed.HTTPStatus == http.StatusUnauthorized && !c.open && !renewed && a.Session.RefreshToken != "":
			renewed = true
			if err := a.Renew(ctx); err != nil {
				return err
			}
			continue
		case tries >= adminTries || !c.mayRepeat(failed):
			return err
		default:
			tries++
		}
		if a.Sleep(ctx, wait) != nil {
			return c.fail(c.flight.ended(ctx))
		}
	}
}

// ending reports whether the session ends about now.
func (a *Admin) ending() bool {
	s := a.Session
	return s.RefreshToken != "" && !s.Expires.IsZero() && a.client.now().After(s.Expires.Add(-renewEarly))
}

// mayRepeat reports whether sending the call again cannot act twice, and may
// help.
func (c *adminCall) mayRepeat(e *AdminError) bool {
	trouble := isServerTrouble(e.HTTPStatus) || e.HTTPStatus == 0 && e.Err.Code == contract.CodeUnreachable
	return trouble && (!e.MaybeDelivered && e.HTTPStatus == 0 || !c.acts && !c.open)
}

// paced waits until the next request may follow the last one.
func (a *Admin) paced(ctx context.Context, c *adminCall) {
	if rest := a.last.Add(a.pace).Sub(a.client.now()); a.pace > 0 && !c.open && rest > 0 {
		_ = a.Sleep(ctx, rest) // an ended ctx ends the request
	}
	a.last = a.client.now()
}

func (a *Admin) try(ctx context.Context, c *adminCall, bearer string) error {
	c.flight = &flight{client: a.client, method: c.method, secrets: append([]string{bearer, a.Session.RefreshToken}, c.secrets...)}
	req, err := a.request(ctx, c, bearer)
	if err != nil {
		return c.fail(contract.Errorf(contract.CodeInternal, "cannot make the request %s %s", c.method, c.path))
	}
	a.paced(ctx, c)
	a.Requests++
	resp, err := a.client.http.Do(req)
	if err != nil {
		return c.lost(c.flight.failed(ctx, err))
	}
	defer resp.Body.Close()
	c.flight.status, c.flight.retryAfter = resp.StatusCode, retryAfterOf(resp.Header, a.client.now())
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return a.refusal(ctx, c, resp)
	}
	if c.stream != nil {
		return c.unreadable(ctx, stream(resp.Body, c.stream()))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	if err == nil && len(body) > MaxBody {
		err = errTooLong
	}
	switch {
	case err != nil:
	case c.read != nil:
		err = c.read(body)
	case isPage(body):
		err = errPage
	}
	return c.unreadable(ctx, err)
}

func (a *Admin) request(ctx context.Context, c *adminCall, bearer string) (*http.Request, error) {
	u := *a.client.base
	u.Path += c.path
	u.RawQuery = c.query
	var body io.Reader
	if c.body != nil {
		raw, err := json.Marshal(c.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(raw)
	}
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: c.flight.connected})
	req, err := http.NewRequestWithContext(traced, c.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	a.client.describe(req.Header, body != nil)
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	return req, nil
}

// lost is a call without an answer.
func (c *adminCall) lost(e *RequestError) error {
	return &AdminError{MaybeDelivered: c.flight.delivered, Err: e.Err}
}

// unreadable is a success whose body did not come whole or is not what the
// contract says.
func (c *adminCall) unreadable(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	e := &AdminError{MaybeDelivered: true}
	if c.isFormat(err) {
		e.HTTPStatus = c.flight.status
		e.Err = contract.Errorf(contract.CodeBadAnswer, "%s answered %s %s, %w", c.flight.client.base, c.method, c.path, err)
	} else {
		e.Err = c.flight.cutOff(ctx, err).Err
	}
	return e
}

func (c *adminCall) isFormat(err error) bool {
	return slices.ContainsFunc([]error{errNotJSON, errPage, errNotAList, errRowSize, errRows, errTooLong}, func(known error) bool { return errors.Is(err, known) })
}

func (c *adminCall) fail(err *contract.Error) error {
	return &AdminError{HTTPStatus: c.flight.status, MaybeDelivered: c.flight.delivered, Err: err}
}

// refusal explains an answer that is no success.
func (a *Admin) refusal(ctx context.Context, c *adminCall, resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody))
	if err != nil {
		return c.lost(c.flight.cutOff(ctx, err))
	}
	e := &AdminError{HTTPStatus: resp.StatusCode, Code: managerCode(body), MaybeDelivered: resp.StatusCode >= 500}
	// A page is what a gateway says: what the manager did is unknown.
	e.MaybeDelivered = e.MaybeDelivered || (e.HTTPStatus == http.StatusNotFound || e.HTTPStatus == http.StatusConflict) && !isEmptyOrObject(body)
	said := c.flight.scrub(managerText(body))
	if said != "" {
		said = ": " + said
	}
	e.Err = a.explain(c, e, said)
	if resp.StatusCode == http.StatusConflict {
		e.Existing = existing(body)
	}
	return e
}

// managerCode is the code in an answer of the admin API.
func managerCode(body []byte) string {
	var in struct {
		Error struct{ Code string }
	}
	if json.Unmarshal(body, &in) != nil {
		return ""
	}
	return printable(in.Error.Code)
}

func existing(body []byte) *Host {
	var in struct {
		Conflict struct {
			Host map[string]json.RawMessage `json:"existing_host"`
		}
	}
	if json.Unmarshal(body, &in) != nil || in.Conflict.Host == nil {
		return nil
	}
	h := in.Conflict.Host
	return &Host{text(h["id"]), printable(text(h["fqdn"])), printable(bareAddress(text(h["ip_address"]))), printable(firstText(h, "created_at", "registered_at", "approved_at"))}
}

func (a *Admin) explain(c *adminCall, e *AdminError, said string) *contract.Error {
	at := a.client.base
	switch s := e.HTTPStatus; {
	case e.Code == "forbidden_ip":
		return contract.Errorf(contract.CodeLogin, "%s does not allow this controller's address (forbidden_ip)%s", at, said).
			WithHint("add the controller's address to the manager's allowlist")
	case e.Code == "mfa_required":
		return contract.Errorf(contract.CodeLogin, "%s asks for a second factor (mfa_required)%s", at, said).
			WithHint("set totp_secret, or totp_code")
	case e.Code == "account_locked":
		return contract.Errorf(contract.CodeLogin, "the account is locked at %s (account_locked)%s", at, said).
			WithHint("wait until the manager unlocks it, 30 minutes after the fifth wrong password; find out who else uses the account")
	case e.Code == "password_reset_required":
		return contract.Errorf(contract.CodeLogin, "%s asks for a new password first (password_reset_required)%s", at, said).
			WithHint("log in to the manager's web page as this account and set a new password")
	case c.path == adminRefresh && s == http.StatusUnauthorized:
		return contract.Errorf(contract.CodeLogin, "the login at %s has ended and cannot be renewed%s", at, said).
			WithHint("run again: a new run logs in anew")
	case s == http.StatusUnauthorized && c.open:
		return contract.Errorf(contract.CodeLogin, "%s refuses the login (HTTP 401)%s", at, said).
			WithHint("check username, password and the TOTP seed, and this controller's clock; it was tried once, and five wrong passwords lock the account")
	case s == http.StatusUnauthorized:
		return contract.Errorf(contract.CodeLogin, "%s does not accept the access token (HTTP 401)%s", at, said).
			WithHint("log in with username and password, or give an access_token that is valid")
	case s == http.StatusForbidden, s == http.StatusLocked:
		return contract.Errorf(contract.CodeLogin, "%s refuses the account (HTTP %d)%s", at, s, said).
			WithHint("use an enabled account with the role admin")
	case s == http.StatusTooManyRequests:
		return contract.Errorf(contract.CodeRateLimited, "the manager's rate limit is reached (HTTP 429)%s", said)
	case s == http.StatusConflict:
		return contract.Errorf(contract.CodeConflict, "%s knows a host with this name or address already (HTTP 409)%s", at, said)
	case s >= 500:
		return contract.Errorf(contract.CodeManagerError, "%s reports an error of its own (HTTP %d)%s", at, s, said)
	}
	return contract.Errorf(contract.CodeBadAnswer, "%s answered HTTP %d to %s %s%s", at, e.HTTPStatus, c.method, c.path, said)
}
