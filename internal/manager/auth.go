package manager

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	pathLogin   = "/api/v1/auth/login"
	pathRefresh = "/api/v1/auth/refresh"
	pathLogout  = "/api/v1/auth/logout"
)

// How long the tokens of a login last. Refreshing makes both new.
const (
	DefaultAccessFor  = 900 * time.Second
	DefaultRefreshFor = time.Hour
)

type loginRequest struct {
	Username string `json:"username"`
	Password string `json:"password"`
	TOTPCode string `json:"totp_code"`
}

type refreshRequest struct {
	RefreshToken string `json:"refresh_token"`
}

type loginAnswer struct {
	AccessToken  string    `json:"access_token"`
	RefreshToken string    `json:"refresh_token"`
	TokenType    string    `json:"token_type"`
	ExpiresIn    int       `json:"expires_in"`
	User         loginUser `json:"user"`
}

type loginUser struct {
	ID         string `json:"id"`
	Username   string `json:"username"`
	Role       string `json:"role"`
	MFAEnabled bool   `json:"mfa_enabled"`
}

// session is one token of a login; login names all tokens of it.
type session struct {
	user, login string
	until       time.Time
}

func (s *Server) authRoutes(mux *http.ServeMux) {
	for path, h := range map[string]http.HandlerFunc{
		pathLogin: withBody(s.postLogin), pathRefresh: withBody(s.postRefresh), pathLogout: withBody(s.postLogout),
	} {
		mux.HandleFunc("POST "+path, s.limited(authLimit, s.fromAllowed(h)))
	}
}

func (s *Server) postLogin(w http.ResponseWriter, r *http.Request, in loginRequest) {
	a, err := s.authenticate(in, s.opt.Now())
	for _, refusal := range []struct {
		is     error
		status int
		code   string
	}{
		{errCredentials, http.StatusUnauthorized, "invalid_credentials"},
		{errMFA, http.StatusUnauthorized, "mfa_required"},
		{errDisabled, http.StatusForbidden, "account_disabled"},
		{errReset, http.StatusForbidden, "password_reset_required"},
		{errLocked, http.StatusLocked, "account_locked"},
	} {
		if errors.Is(err, refusal.is) {
			s.log.WithField("account", a.Username).WithField("source", source(r)).Warn("login refused: " + refusal.code)
			answerCode(w, refusal.status, refusal.code, refusal.is.Error())
			return
		}
	}
	if err != nil {
		s.databaseError(w, err)
		return
	}
	s.log.WithField("account", a.Username).WithField("source", source(r)).Info("logged in")
	s.answerSession(w, a, "")
}

// answerSession opens a login, or goes on with one.
func (s *Server) answerSession(w http.ResponseWriter, a storedAccount, login string) {
	access, err := randomText(s.opt.Rand, tokenLength)
	refresh, err2 := randomText(s.opt.Rand, tokenLength)
	if err = errors.Join(err, err2); err != nil {
		s.databaseError(w, err)
		return
	}
	if login == "" {
		login = hashOf(refresh)
	}
	now := s.opt.Now()
	s.mu.Lock()
	err = s.sweep(now)
	s.access[hashOf(access)] = session{a.Username, login, now.Add(s.opt.AccessFor)}
	s.refresh[hashOf(refresh)] = session{a.Username, login, now.Add(s.opt.RefreshFor)}
	s.mu.Unlock()
	if err != nil {
		s.databaseError(w, err)
		return
	}
	answer(w, http.StatusOK, loginAnswer{
		access, refresh, "Bearer", int(s.opt.AccessFor.Seconds()),
		loginUser{a.ID, a.Username, a.Role, a.MFAEnabled},
	})
}

// postRefresh takes a refresh token, which serves once.
func (s *Server) postRefresh(w http.ResponseWriter, _ *http.Request, in refreshRequest) {
	hash := hashOf(in.RefreshToken)
	s.mu.Lock()
	old, ok := s.refresh[hash]
	delete(s.refresh, hash)
	s.mu.Unlock()
	a, known, err := s.account(old.user)
	switch {
	case err != nil:
		s.databaseError(w, err)
	case !ok || !known || a.Disabled || !s.opt.Now().Before(old.until):
		answerCode(w, http.StatusUnauthorized, "invalid_refresh_token", "Invalid or expired refresh token")
	default:
		s.answerSession(w, a, old.login)
	}
}

// postLogout ends a login with all its tokens. An unknown token is no error:
// what was asked for is so.
func (s *Server) postLogout(w http.ResponseWriter, _ *http.Request, in refreshRequest) {
	s.mu.Lock()
	if old, ok := s.refresh[hashOf(in.RefreshToken)]; ok {
		for _, tokens := range []map[string]session{s.access, s.refresh} {
			maps.DeleteFunc(tokens, func(_ string, t session) bool { return t.login == old.login })
		}
	}
	s.mu.Unlock()
	answer(w, http.StatusOK, map[string]string{"message": "Logged out"})
}

// fromAllowed refuses addresses outside the allowlist before it looks at a
// token. It judges the connection's own address, which no one can claim.
func (s *Server) fromAllowed(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if len(s.opt.AllowFrom) > 0 && !within(s.opt.AllowFrom, source(r)) {
			answerCode(w, http.StatusForbidden, "forbidden_ip", "Your address is not allowed")
			return
		}
		next(w, r)
	}
}

func within(networks []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(ip) })
}

type accountKey struct{}

// loggedIn asks for an access token of an account that has one of the roles;
// none given takes any role.
func (s *Server) loggedIn(next http.HandlerFunc, roles ...string) http.HandlerFunc {
	return s.limited(apiLimit, s.fromAllowed(func(w http.ResponseWriter, r *http.Request) {
		a, err := s.bearer(r)
		switch {
		case errors.Is(err, errCredentials):
			w.Header().Set("WWW-Authenticate", "Bearer")
			answerCode(w, http.StatusUnauthorized, "unauthorized", "Missing, expired or invalid token")
		case err != nil:
			s.databaseError(w, err)
		case len(roles) > 0 && !slices.Contains(roles, a.Role):
			answerCode(w, http.StatusForbidden, "forbidden", forbiddenText(roles))
		default:
			next(w, r.WithContext(context.WithValue(r.Context(), accountKey{}, a.Username)))
		}
	}))
}

func forbiddenText(roles []string) string {
	if len(roles) == 1 {
		return "Admin role required"
	}
	return "Operator or admin role required"
}

// bearer finds the account of a request's access token.
func (s *Server) bearer(r *http.Request) (storedAccount, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	s.mu.Lock()
	now := s.opt.Now()
	t, ok := s.access[hashOf(token)]
	s.mu.Unlock()
	if !ok || !strings.EqualFold(scheme, "Bearer") || !now.Before(t.until) {
		return storedAccount{}, errCredentials
	}
	a, known, err := s.account(t.user)
	if err == nil && (!known || a.Disabled) {
		err = errCredentials
	}
	return a, err
}

// by names the account that a request came from, for the log.
func by(r *http.Request) string {
	name, _ := r.Context().Value(accountKey{}).(string)
	return name
}
