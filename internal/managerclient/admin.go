package managerclient

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
)

// The admin API (contract, admin API).
const (
	adminLogin       = "/api/v1/auth/login"
	adminRefresh     = "/api/v1/auth/refresh"
	adminLogout      = "/api/v1/auth/logout"
	adminEnrollments = "/api/v1/admin/enrollments"
	adminHosts       = "/api/v1/hosts"
	adminCerts       = "/api/v1/certificates"
)

// pathOf is the path of one thing, "" where its id would lead elsewhere.
func pathOf(of, id, rest string) string {
	if !ValidToken(id) {
		return ""
	}
	return of + "/" + id + rest
}

// Credentials are those of a local account of the manager.
type Credentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
	TOTPCode string `json:"totp_code,omitempty"`
}

// Session is a login.
type Session struct {
	AccessToken  string    `json:"access_token"`
	RefreshToken string    `json:"refresh_token,omitempty"`
	Expires      time.Time `json:"expires,omitzero"`
	Account      string    `json:"account,omitempty"`
}

// Admin speaks the admin API of one manager. It logs in once, renews the login
// once where a call meets 401, waits out the rate limit as told, and never
// sends a login a second time. It is not safe for concurrent use.
type Admin struct {
	client *Client
	// Session is the login; set it to go on with one.
	Session Session
	// Renewed, where set, is told of each new session before it is used: a
	// refresh token serves once.
	Renewed func(Session) error
	// Sleep is the function of that name, on the real clock.
	Sleep func(ctx context.Context, d time.Duration) error
	// Requests counts what was sent.
	Requests int

	// pace stands between two requests once the rate limit was met, so that not
	// each request is sent twice from then on; last is when one was sent.
	pace time.Duration
	last time.Time
}

// NewAdmin makes an Admin; the Client should be one with KeepAlive.
func NewAdmin(c *Client) *Admin { return &Admin{client: c, Sleep: Sleep} }

// Sleep waits for d, or until ctx ends.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

type loginAnswer struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int    `json:"expires_in"`
	User         struct {
		Username string `json:"username"`
	} `json:"user"`
}

// Login opens a session. It is tried once: each failure counts at the manager,
// and the fifth locks the account.
func (a *Admin) Login(ctx context.Context, c Credentials) error {
	return a.open(ctx, adminLogin, c, c.Username, c.Password, c.TOTPCode)
}

// Renew exchanges the refresh token, which serves once. Its failure is no
// *AdminError: it says nothing of the call that the renewal was for.
func (a *Admin) Renew(ctx context.Context) error {
	err := a.open(ctx, adminRefresh, map[string]string{"refresh_token": a.Session.RefreshToken}, a.Session.Account, a.Session.RefreshToken)
	if failed, ok := errors.AsType[*AdminError](err); ok {
		return failed.Err
	}
	return err
}

func (a *Admin) open(ctx context.Context, path string, body any, account string, secrets ...string) error {
	var in loginAnswer
	c := &adminCall{method: http.MethodPost, path: path, body: body, open: true, secrets: secrets, read: into(&in)}
	if err := a.do(ctx, c); err != nil {
		return err
	}
	if in.AccessToken == "" {
		return c.fail(contract.Errorf(contract.CodeBadAnswer, "%s answered a login without an access_token", a.client.base))
	}
	a.Session = Session{AccessToken: in.AccessToken, RefreshToken: in.RefreshToken, Account: cmp.Or(printable(in.User.Username), account)}
	if in.ExpiresIn > 0 {
		a.Session.Expires = a.client.now().Add(time.Duration(min(in.ExpiresIn, 1<<20)) * time.Second)
	}
	if a.Renewed != nil {
		return a.Renewed(a.Session)
	}
	return nil
}

// Logout ends the session at the manager.
func (a *Admin) Logout(ctx context.Context) error {
	s := a.Session
	a.Session = Session{}
	if s.RefreshToken == "" {
		return nil
	}
	return a.do(ctx, &adminCall{
		method: http.MethodPost, path: adminLogout, body: map[string]string{"refresh_token": s.RefreshToken},
		open: true, bearer: s.AccessToken, secrets: []string{s.RefreshToken, s.AccessToken},
	})
}

// Host is a host of the manager.
type Host struct {
	ID        string `json:"id"`
	FQDN      string `json:"fqdn"`
	IPAddress string `json:"ip_address"`
	Since     string `json:"since,omitempty"`
}

// Approve approves one request. An *AdminError tells of a conflict.
func (a *Admin) Approve(ctx context.Context, id string) error {
	return a.do(ctx, &adminCall{method: http.MethodPost, path: pathOf(adminEnrollments, id, "/approve"), acts: true})
}

// Deny deletes one request; that there is none is no error.
func (a *Admin) Deny(ctx context.Context, id string) error {
	return a.do(ctx, &adminCall{method: http.MethodDelete, path: pathOf(adminEnrollments, id, "/deny")})
}

// Reissued is a new certificate set for an existing host, private key included.
type Reissued struct {
	CARootPEM     string `json:"ca_root_pem"`
	ServerCertPEM string `json:"server_cert_pem"`
	ServerKeyPEM  string `json:"server_key_pem"`
}

// String hides the key.
func (Reissued) String() string { return "re-issued set (contents hidden)" }

// GoString hides the key from %#v.
func (r Reissued) GoString() string { return r.String() }

// Reissue makes a new certificate set for a host and revokes the old one.
func (a *Admin) Reissue(ctx context.Context, hostID string) (Reissued, error) {
	var set Reissued
	c := &adminCall{method: http.MethodPost, path: pathOf(adminHosts, hostID, "/certificates/reissue"), acts: true, read: into(&set)}
	if err := a.do(ctx, c); err != nil {
		return Reissued{}, err
	}
	if set.CARootPEM == "" || set.ServerCertPEM == "" || set.ServerKeyPEM == "" {
		return Reissued{}, c.fail(contract.Errorf(contract.CodeBadAnswer, "%s re-issued a set without ca_root_pem, server_cert_pem or server_key_pem", a.client.base))
	}
	return set, nil
}

// Hosts lists the hosts that the manager finds for a search text. Managers keep
// names without the dot of the root.
func (a *Admin) Hosts(ctx context.Context, search string) ([]Host, error) {
	const page = 200
	var found []Host
	for offset := 0; offset <= maxRows; offset += page {
		var in struct {
			Hosts []map[string]json.RawMessage `json:"hosts"`
		}
		q := url.Values{"limit": {"200"}, "offset": {strconv.Itoa(offset)}, "search": {strings.TrimSuffix(search, ".")}}
		if err := a.do(ctx, &adminCall{method: http.MethodGet, path: adminHosts, query: q.Encode(), read: into(&in)}); err != nil {
			return nil, err
		}
		for _, h := range in.Hosts {
			found = append(found, Host{text(h["id"]), text(h["fqdn"]), bareAddress(text(h["ip_address"])), firstText(h, "created_at", "registered_at", "enrolled_at", "approved_at")})
		}
		if len(in.Hosts) < page {
			break
		}
	}
	return found, nil
}

// RemoveHost removes a host with its groups, windows, history and certificates.
func (a *Admin) RemoveHost(ctx context.Context, id string) error {
	return a.do(ctx, &adminCall{method: http.MethodDelete, path: pathOf(adminHosts, id, "")})
}

// AddToGroup puts a host into a group.
func (a *Admin) AddToGroup(ctx context.Context, hostID, groupID string) error {
	return a.do(ctx, &adminCall{method: http.MethodPost, path: pathOf(adminHosts, hostID, "/groups"), body: map[string]string{"group_id": groupID}})
}

// CertificateRow is a certificate that the manager issued.
type CertificateRow struct {
	HostID, Serial string
}

// Certificates tells each certificate that the manager lists; begin is as for
// Enrollments.
func (a *Admin) Certificates(ctx context.Context, begin func() func(CertificateRow)) error {
	return a.do(ctx, &adminCall{method: http.MethodGet, path: adminCerts, stream: func() func(decode) error {
		each := begin()
		return func(read decode) error {
			var row map[string]json.RawMessage
			err := read(&row)
			if err == nil {
				each(CertificateRow{text(row["host_id"]), text(row["serial_number"])})
			}
			return err
		}
	}})
}

// AdminError is a failure of the admin API. errors.As finds the
// *contract.Error in it.
type AdminError struct {
	// HTTPStatus is 0 where no answer came.
	HTTPStatus int
	// Code is the manager's own, such as account_locked.
	Code string
	// MaybeDelivered says that the manager may have acted.
	MaybeDelivered bool
	// Existing is the host of a conflict.
	Existing *Host
	Err      *contract.Error
}

func (e *AdminError) Error() string { return e.Err.Error() }

func (e *AdminError) Unwrap() error { return e.Err }

// IsGone reports whether the manager itself said that what a call named is not
// there.
func IsGone(err error) bool {
	e, ok := errors.AsType[*AdminError](err)
	return ok && e.HTTPStatus == http.StatusNotFound && !e.MaybeDelivered
}

// bareAddress takes the /32 or /128 off an address.
func bareAddress(s string) string {
	if p, err := netip.ParsePrefix(s); err == nil && p.IsSingleIP() {
		return p.Addr().String()
	}
	return s
}
