package manager

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
	"unicode"
)

// The admin API. The first five are those of deployed managers.
const (
	pathLogin       = "/api/v1/auth/login"
	pathEnrollments = "/api/v1/admin/enrollments"
	pathCRL         = "/api/v1/pki/crl.pem"
	pathRoot        = "/api/v1/ca/root.crt"
	pathHosts       = "/api/v1/admin/hosts"
	pathClients     = "/api/v1/admin/client-certificates"
	pathRevocations = "/api/v1/admin/revocations"
)

const (
	adminUser   = "admin"
	sessionTime = 900 * time.Second
)

type loginRequest struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

type loginAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
}

type clientRequest struct {
	CSR string `json:"csr"`
}

type clientAnswer struct {
	Certificate string `json:"certificate"`
	CACrt       string `json:"ca_crt"`
	Serial      string `json:"serial"`
}

type revokeRequest struct {
	Serial string `json:"serial"`
}

func (s *Server) adminRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST "+pathLogin, s.postLogin)
	mux.HandleFunc("GET "+pathCRL, s.getCRL)
	for route, h := range map[string]http.HandlerFunc{
		"GET " + pathRoot:                           s.getRoot,
		"GET " + pathEnrollments:                    s.getEnrollments,
		"POST " + pathEnrollments + "/{id}/approve": s.postApprove,
		"DELETE " + pathEnrollments + "/{id}/deny":  s.deleteDeny,
		"GET " + pathHosts:                          s.getHosts,
		"DELETE " + pathHosts + "/{id}":             s.deleteHost,
		"POST " + pathClients:                       s.postClient,
		"POST " + pathRevocations:                   s.postRevoke,
	} {
		mux.HandleFunc(route, s.loggedIn(h))
	}
}

// postLogin compares hashes in constant time. There is no second factor here;
// a totp_code is ignored.
func (s *Server) postLogin(w http.ResponseWriter, r *http.Request) {
	var in loginRequest
	if !readJSON(w, r, &in) {
		return
	}
	got, want := sha256.Sum256([]byte(in.Password)), sha256.Sum256([]byte(s.token))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 || in.Username != adminUser {
		answerError(w, http.StatusUnauthorized, "Invalid credentials")
		return
	}
	token, err := randomText(s.opt.Rand, tokenLength)
	if err != nil {
		s.databaseError(w, err)
		return
	}
	s.mu.Lock()
	now := s.opt.Now()
	err = s.sweep(now)
	s.sessions[hashOf(token)] = now.Add(sessionTime)
	s.mu.Unlock()
	if err != nil {
		s.databaseError(w, err)
		return
	}
	answer(w, http.StatusOK, loginAnswer{token, "Bearer", int(sessionTime.Seconds())})
}

func (s *Server) loggedIn(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		s.mu.Lock()
		until, ok := s.sessions[hashOf(token)]
		s.mu.Unlock()
		if !ok || !strings.EqualFold(scheme, "Bearer") || !s.opt.Now().Before(until) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			answerError(w, http.StatusUnauthorized, "log in first")
			return
		}
		next(w, r)
	}
}

func (s *Server) getEnrollments(w http.ResponseWriter, _ *http.Request) {
	list, err := s.Pending()
	s.answerOr(w, http.StatusOK, list, err)
}

func (s *Server) postApprove(w http.ResponseWriter, r *http.Request) {
	h, err := s.Approve(r.PathValue("id"))
	s.answerOr(w, http.StatusOK, h, err)
}

func (s *Server) deleteDeny(w http.ResponseWriter, r *http.Request) {
	if err := s.Deny(r.PathValue("id")); err != nil {
		s.databaseError(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) getHosts(w http.ResponseWriter, _ *http.Request) {
	list, err := s.Hosts()
	s.answerOr(w, http.StatusOK, list, err)
}

func (s *Server) deleteHost(w http.ResponseWriter, r *http.Request) {
	err := s.RemoveHost(r.PathValue("id"))
	if err != nil {
		s.answerOr(w, 0, nil, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) postRevoke(w http.ResponseWriter, r *http.Request) {
	var in revokeRequest
	if !readJSON(w, r, &in) {
		return
	}
	err := s.Revoke(in.Serial)
	s.answerOr(w, http.StatusOK, revokeRequest{in.Serial}, err)
}

// postClient takes a request signed with the caller's key, so that the key
// never leaves the caller.
func (s *Server) postClient(w http.ResponseWriter, r *http.Request) {
	var in clientRequest
	if !readJSON(w, r, &in) {
		return
	}
	cn, pub, err := parseCSR(in.CSR)
	if err != nil {
		answerError(w, http.StatusBadRequest, err.Error())
		return
	}
	crt, rec, err := s.IssueClient(cn, pub)
	s.answerOr(w, http.StatusCreated, clientAnswer{string(crt), string(s.ca.pem), rec.Serial}, err)
}

func parseCSR(text string) (string, *ecdsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return "", nil, errors.New("csr is not PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil {
		return "", nil, errors.New("csr is not a signed certificate request")
	}
	pub, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return "", nil, errors.New("csr does not hold an ECDSA key")
	}
	return csr.Subject.CommonName, pub, checkCN(csr.Subject.CommonName)
}

// checkCN: RFC 5280 appendix A.1 ends a common name at 64 characters.
func checkCN(cn string) error {
	if cn == "" || len(cn) > 64 || strings.ContainsFunc(cn, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return errors.New("the common name is not 1 to 64 printable characters")
	}
	return nil
}

func (s *Server) getCRL(w http.ResponseWriter, _ *http.Request) {
	crl, err := s.CRL()
	if err != nil {
		s.databaseError(w, err)
		return
	}
	answerPEM(w, crl)
}

func (s *Server) getRoot(w http.ResponseWriter, _ *http.Request) { answerPEM(w, s.ca.pem) }

func answerPEM(w http.ResponseWriter, raw []byte) {
	w.Header().Set("Content-Type", "application/x-pem-file")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(raw)
}

// answerOr sends v, or what err means.
func (s *Server) answerOr(w http.ResponseWriter, code int, v any, err error) {
	switch {
	case err == nil:
		answer(w, code, v)
	case errors.Is(err, ErrNotFound):
		answerError(w, http.StatusNotFound, ErrNotFound.Error())
	case errors.Is(err, ErrHostExists):
		answerError(w, http.StatusConflict, ErrHostExists.Error())
	default:
		s.databaseError(w, err)
	}
}

func readJSON(w http.ResponseWriter, r *http.Request, v any) bool {
	body, ok := readBody(w, r)
	if !ok {
		return false
	}
	if err := json.Unmarshal(body, v); err != nil {
		answerError(w, http.StatusBadRequest, "the body is not the JSON object that is asked for here")
		return false
	}
	return true
}

// getPage says what this is to people who open it in a browser.
func getPage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, page)
}
