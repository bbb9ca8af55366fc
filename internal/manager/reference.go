package manager

import (
	"crypto/ecdsa"
	"crypto/subtle"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"strings"
	"unicode"
)

// The paths below /api/v1/reference are this manager's own: its command line
// uses them, with the admin token itself, so that it works whatever accounts
// there are. No deployed manager has them, so no limit counts them.
const (
	pathReference   = "/api/v1/reference"
	pathRequests    = pathReference + "/requests"
	pathKnownHosts  = pathReference + "/hosts"
	pathClients     = pathReference + "/client-certificates"
	pathRevocations = pathReference + "/revocations"
	pathAccounts    = pathReference + "/accounts"
)

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

func (s *Server) referenceRoutes(mux *http.ServeMux) {
	for route, h := range map[string]http.HandlerFunc{
		"GET " + pathReference:                   func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, struct{}{}) },
		"GET " + pathRequests:                    s.getRequests,
		"POST " + pathRequests + "/{id}/approve": s.postApproveRequest,
		"DELETE " + pathRequests + "/{id}":       s.deleteRequest,
		"GET " + pathKnownHosts:                  s.getKnownHosts,
		"DELETE " + pathKnownHosts + "/{id}":     s.deleteKnownHost,
		"POST " + pathClients:                    withBody(s.postClient),
		"POST " + pathRevocations:                withBody(s.postRevoke),
		"GET " + pathAccounts:                    s.getAccounts,
		"POST " + pathAccounts + "/{name}":       withBody(s.putAccount),
		"PATCH " + pathAccounts + "/{name}":      withBody(s.putAccount),
		"DELETE " + pathAccounts + "/{name}":     s.deleteAccount,
	} {
		mux.HandleFunc(route, s.withAdminToken(h))
	}
}

func (s *Server) withAdminToken(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if subtle.ConstantTimeCompare([]byte(hashOf(token)), []byte(hashOf(s.token))) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			answerError(w, http.StatusUnauthorized, "the admin token is wrong")
			return
		}
		next(w, r)
	}
}

// getRequests lists the rows for the command line, oldest first, and says what
// each connection came from.
func (s *Server) getRequests(w http.ResponseWriter, _ *http.Request) {
	rows, err := s.rows()
	list := make([]Pending, 0, len(rows))
	for i := range rows {
		p := rows[len(rows)-1-i].Pending
		p.Expired = !s.opt.Now().Before(p.ExpiresAt)
		list = append(list, p)
	}
	s.answerOr(w, http.StatusOK, list, err)
}

func (s *Server) postApproveRequest(w http.ResponseWriter, r *http.Request) {
	h, err := s.Approve(r.PathValue("id"))
	s.answerOr(w, http.StatusOK, h, err)
}

func (s *Server) deleteRequest(w http.ResponseWriter, r *http.Request) {
	s.answerOr(w, http.StatusOK, struct{}{}, s.Deny(r.PathValue("id")))
}

func (s *Server) getKnownHosts(w http.ResponseWriter, _ *http.Request) {
	list, err := s.Hosts()
	s.answerOr(w, http.StatusOK, list, err)
}

func (s *Server) deleteKnownHost(w http.ResponseWriter, r *http.Request) {
	s.answerOr(w, http.StatusOK, struct{}{}, s.RemoveHost(r.PathValue("id")))
}

func (s *Server) postRevoke(w http.ResponseWriter, _ *http.Request, in revokeRequest) {
	s.answerOr(w, http.StatusOK, in, s.Revoke(in.Serial))
}

func (s *Server) getAccounts(w http.ResponseWriter, _ *http.Request) {
	list, err := all[Account](s.store, bAccounts)
	s.answerOr(w, http.StatusOK, list, err)
}

func (s *Server) putAccount(w http.ResponseWriter, r *http.Request, in AccountChange) {
	a, err := s.PutAccount(r.PathValue("name"), in, r.Method == http.MethodPost)
	s.answerOr(w, http.StatusOK, a, err)
}

func (s *Server) deleteAccount(w http.ResponseWriter, r *http.Request) {
	s.answerOr(w, http.StatusOK, struct{}{}, s.RemoveAccount(r.PathValue("name")))
}

// postClient takes a request signed with the caller's key, so that the key
// never leaves the caller.
func (s *Server) postClient(w http.ResponseWriter, _ *http.Request, in clientRequest) {
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

// answerOr sends v, or what err means.
func (s *Server) answerOr(w http.ResponseWriter, code int, v any, err error) {
	var bad accountError
	switch {
	case err == nil:
		answer(w, code, v)
	case errors.Is(err, ErrNotFound):
		answerError(w, http.StatusNotFound, ErrNotFound.Error())
	case errors.Is(err, ErrHostExists):
		answerError(w, http.StatusConflict, ErrHostExists.Error())
	case errors.As(err, &bad):
		answerError(w, http.StatusBadRequest, err.Error())
	default:
		s.databaseError(w, err)
	}
}
