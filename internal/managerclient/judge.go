package managerclient

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/linux-patch/enroll/internal/contract"
)

// Verdict is what an answer to a poll means.
type Verdict int

// The verdicts.
const (
	// Bad is an answer that the contract does not know.
	Bad Verdict = iota
	Pending
	Approved
	Denied
	// Unknown: the manager does not know the token, or no longer.
	Unknown
	RateLimited
	ManagerError
	// OnTheWay: something between this host and the manager has answered.
	OnTheWay
)

func (v Verdict) String() string {
	names := [...]string{"bad", "pending", "approved", "denied", "unknown", "rate limited", "manager error", "trouble on the way"}
	if v < 0 || int(v) >= len(names) {
		return "bad"
	}
	return names[v]
}

// Judge says what a body means that was stored. The dialect is told by the answer: with a status
// member the body speaks (dialect 2), without one the HTTP code does
// (dialect 1). The bundle is there if and only if the verdict is Approved; the
// error is nil for Approved and Pending, and holds no text of the body, which
// may hold a key or repeat the token.
func Judge(httpStatus int, body []byte) (Verdict, *contract.PkiBundle, error) {
	switch {
	case httpStatus == http.StatusForbidden:
		return Denied, nil, contract.Errorf(contract.CodeDenied, "the manager answered that the request was denied (HTTP 403)")
	case httpStatus == http.StatusNotFound:
		return Unknown, nil, contract.Errorf(contract.CodeTokenUnknown, "the manager does not know the polling token (HTTP 404)")
	case httpStatus == http.StatusTooManyRequests:
		return RateLimited, nil, contract.Errorf(contract.CodeRateLimited, "the manager's rate limit is reached (HTTP 429)")
	case httpStatus >= 500 && httpStatus <= 599:
		return ManagerError, nil, contract.Errorf(contract.CodeManagerError, "the manager reports an error of its own (HTTP %d)", httpStatus)
	case httpStatus >= 300 && httpStatus <= 399:
		return bad(httpStatus, errors.New("a redirect, which is not followed"))
	case httpStatus < 200 || httpStatus > 299:
		return bad(httpStatus, errors.New("which the contract does not know"))
	case len(body) > MaxBody:
		return bad(httpStatus, errTooLong)
	case httpStatus == http.StatusAccepted && !looksLikeObject(body):
		return Pending, nil, nil // its body may be empty (contract, dialect 1)
	}
	var status string
	var b contract.PkiBundle
	err := readMembers(body, map[string]*string{
		"status": &status,
		"ca_crt": &b.CACrt, "server_crt": &b.ServerCrt, "server_key": &b.ServerKey,
		"ca_chain": &b.CAChain, "crl_pem": &b.CRLPEM,
	})
	if err != nil {
		return bad(httpStatus, err)
	}
	switch status {
	case contract.StatusPending:
		return Pending, nil, nil
	case contract.StatusDenied:
		return Denied, nil, contract.Errorf(contract.CodeDenied, "the manager answered that the request was denied")
	case contract.StatusNotFound, contract.StatusNotFoundAlt:
		return Unknown, nil, contract.Errorf(contract.CodeTokenUnknown, "the manager does not know the polling token")
	case "", contract.StatusApproved:
	default:
		return bad(httpStatus, errors.New("whose status is none of pending, approved, denied and notfound"))
	}
	var missing []string
	for _, m := range []struct{ name, value string }{
		{"ca_crt", b.CACrt}, {"server_crt", b.ServerCrt}, {"server_key", b.ServerKey},
	} {
		if m.value == "" {
			missing = append(missing, m.name)
		}
	}
	switch {
	case len(missing) == 0:
		b.Repo = repoOf(body)
		return Approved, &b, nil
	case status == "" && len(missing) == 3 && httpStatus == http.StatusAccepted:
		return Pending, nil, nil
	case status == "" && len(missing) == 3:
		return bad(httpStatus, errors.New("with neither a status nor a bundle"))
	}
	return bad(httpStatus, fmt.Errorf("with a bundle that lacks %s", strings.Join(missing, " and ")))
}

// Carried reads a bundle that was carried by hand. No manager was asked, so its
// error is what is wrong, without the words of bad.
func Carried(body []byte) (*contract.PkiBundle, error) {
	verdict, bundle, err := Judge(http.StatusOK, body)
	switch verdict {
	case Approved:
		return bundle, nil
	case Bad:
		return nil, fmt.Errorf("it is an answer %w", errors.Unwrap(errors.Unwrap(err)))
	default:
		return nil, fmt.Errorf("it says %s", verdict)
	}
}

// repoOf is the package repository of an answer, nil where repo_config is no
// object. Whatever is in it, the bundle is good.
func repoOf(body []byte) *contract.RepoConfig {
	var has struct {
		RepoConfig json.RawMessage `json:"repo_config"`
	}
	if json.Unmarshal(body, &has) != nil || !looksLikeObject(has.RepoConfig) {
		return nil
	}
	repo := &contract.RepoConfig{}
	if json.Unmarshal(has.RepoConfig, repo) != nil {
		return &contract.RepoConfig{}
	}
	return repo
}

// Judgement is what a live answer means.
type Judgement struct {
	Verdict Verdict
	// Dialect is what is known of the manager's after this answer.
	Dialect Dialect
	// Bundle is there if and only if the verdict is Approved.
	Bundle *contract.PkiBundle
	// Err is nil for Pending and Approved.
	Err error
}

// minEncodedBundle is less than any bundle takes, however it is encoded: keys
// and signatures are random.
const minEncodedBundle = 512

// Judge says what a live answer means to a host whose manager has spoken d so
// far. A page is never a verdict, and an empty or JSON 403 or 404 is one only
// where the manager speaks by HTTP codes: all else is trouble on the way.
func (a Answer) Judge(d Dialect) Judgement {
	switch {
	case a.Encoding != "":
		return a.undecodable(d)
	case a.HTTPStatus == http.StatusForbidden, a.HTTPStatus == http.StatusNotFound:
		if d == DialectBody || !isEmptyOrObject(a.Body) {
			return a.onTheWay(d)
		}
	case a.HTTPStatus == http.StatusNetworkAuthenticationRequired, a.HTTPStatus == http.StatusAccepted && isPage(a.Body):
		return a.onTheWay(d)
	}
	verdict, bundle, err := Judge(a.HTTPStatus, a.Body)
	if verdict == Bad && !a.mayHoldBundle() {
		return a.onTheWay(d)
	}
	return Judgement{verdict, d.after(a, verdict), bundle, err}
}

// mayHoldBundle reports whether the answer could be a bundle that is damaged, or
// written in a way that this program does not know, or that is said to be one.
func (a Answer) mayHoldBundle() bool {
	return a.HTTPStatus >= 200 && a.HTTPStatus <= 299 &&
		(bytes.Contains(a.Body, []byte("server_key")) || bytes.Contains(a.Body, []byte("server_crt")) || bytes.Contains(a.Body, []byte(`"approved"`)) || a.Encoding != "" && len(a.Body) >= minEncodedBundle)
}

func (a Answer) undecodable(d Dialect) Judgement {
	if !a.mayHoldBundle() {
		return a.onTheWay(d)
	}
	verdict, _, err := bad(a.HTTPStatus, fmt.Errorf("with a body that cannot be decoded (Content-Encoding: %s)", a.Encoding))
	return Judgement{verdict, d, nil, err}
}

// onTheWay says what has answered in the manager's place, as far as that can be
// told without a word of it.
func (a Answer) onTheWay(d Dialect) Judgement {
	err := contract.Errorf(contract.CodeUnreachable, "something between this host and the manager answered in its place: HTTP %d, %s", a.HTTPStatus, a.kind()).
		WithHint("check what stands between this host and the manager: a proxy, a gateway, a firewall, a login page; the request and its token are kept")
	return Judgement{OnTheWay, d, nil, err}
}

func (a Answer) kind() string {
	switch {
	case a.Encoding != "":
		return "encoded as " + a.Encoding
	case a.HTTPStatus >= 300 && a.HTTPStatus <= 399:
		return "a redirect, which is not followed"
	case len(bytes.TrimSpace(a.Body)) == 0:
		return "an empty body"
	case isPage(a.Body):
		return "an HTML page"
	case looksLikeObject(a.Body):
		return "JSON that the contract does not know"
	}
	return "text"
}

// isPage reports whether body is one for a browser.
func isPage(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), " \t\r\n"), []byte("<"))
}

// isEmptyOrObject reports whether body is what a manager sends with a code: no
// body, or a JSON object.
func isEmptyOrObject(body []byte) bool {
	return len(bytes.TrimSpace(body)) == 0 || isObject(body)
}

// isHandedOutOnce reports whether body may hold what cannot be had again.
func isHandedOutOnce(body []byte) bool {
	return bytes.Contains(body, []byte("server_key")) || bytes.Contains(body, []byte("polling_token"))
}

// isObject reports whether body is one whole JSON object.
func isObject(body []byte) bool { return looksLikeObject(body) && json.Valid(body) }

func bad(httpStatus int, why error) (Verdict, *contract.PkiBundle, error) {
	return Bad, nil, contract.Errorf(contract.CodeBadAnswer, "the manager answered HTTP %d, %w", httpStatus, why)
}

var errTooLong = errors.New("with a body that is longer than an answer may be")

func looksLikeObject(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{"))
}

// readMembers reads the named string members of a JSON object. encoding/json
// alone would take a name in any letter case and the last of several, so that
// two readers of one answer could see two answers: here names are exact, a
// wanted one stands once and is a string or null, and nothing follows the
// object. Others are skipped, so that a newer manager does not break this
// client.
func readMembers(body []byte, want map[string]*string) error {
	switch trimmed := bytes.TrimSpace(body); {
	case len(trimmed) == 0:
		return errors.New("with an empty body")
	case trimmed[0] == '<':
		return errors.New("with an HTML page, not JSON")
	case trimmed[0] != '{':
		return errors.New("with something other than a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if _, err := d.Token(); err != nil {
		return errNotJSON
	}
	seen := map[string]bool{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return errNotJSON
		}
		key, _ := name.(string)
		to := want[key]
		if to == nil {
			var skipped json.RawMessage
			if d.Decode(&skipped) != nil {
				return errNotJSON
			}
			continue
		}
		if seen[key] {
			return fmt.Errorf("whose member %s stands twice", key)
		}
		seen[key] = true
		var value *string
		err = d.Decode(&value)
		var wrongType *json.UnmarshalTypeError
		switch {
		case errors.As(err, &wrongType):
			return fmt.Errorf("whose member %s is not a string", key)
		case err != nil:
			return errNotJSON
		case value != nil:
			*to = *value
		}
	}
	if _, err := d.Token(); err != nil {
		return errNotJSON
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("with something behind the JSON object")
	}
	return nil
}

var errNotJSON = errors.New("with JSON that is cut off or malformed")
