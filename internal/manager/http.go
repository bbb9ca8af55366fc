package manager

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"

	"github.com/linux-patch/enroll/internal/contract"
)

const (
	maxBody   = 64 << 10
	maxHeader = 64 << 10
)

// bundle is the approved answer. The last two are there for newer managers
// only, and then also when they are empty.
type bundle struct {
	Status    string  `json:"status,omitempty"`
	CACrt     string  `json:"ca_crt"`
	ServerCrt string  `json:"server_crt"`
	ServerKey string  `json:"server_key"`
	CAChain   *string `json:"ca_chain,omitempty"`
	CRL       *string `json:"crl_pem,omitempty"`
	// RepoConfig is an object or null, for newer managers only.
	RepoConfig *json.RawMessage `json:"repo_config,omitempty"`
}

// bundleOf makes the answer; the caller holds mu.
func (s *Server) bundleOf(h handout) (*bundle, error) {
	b := &bundle{CACrt: string(s.ca.pem), ServerCrt: string(h.crt), ServerKey: string(h.key)}
	if s.opt.NewerBundle == "on" {
		crl, err := s.currentCRL()
		if err != nil {
			return nil, err
		}
		// No intermediates: the CA signs hosts itself.
		chain, text := "", string(crl)
		repo, err := json.Marshal(h.repo)
		if err != nil {
			return nil, err
		}
		b.CAChain, b.CRL, b.RepoConfig = &chain, &text, (*json.RawMessage)(&repo)
	}
	return b, nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+contract.EnrollPath, s.limited(enrollLimit, s.postEnroll))
	mux.HandleFunc("GET "+contract.StatusPath+"{token}", s.limited(enrollLimit, s.getStatus))
	s.authRoutes(mux)
	s.adminRoutes(mux)
	s.fleetRoutes(mux)
	s.referenceRoutes(mux)
	mux.HandleFunc("GET /{$}", getPage)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		answerError(w, http.StatusNotFound, "no such page")
	})
	return s.lines.wrap(mux)
}

// source is the connection's address. Headers such as X-Forwarded-For are
// claims of the client; only the limits look at them.
func source(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

func (s *Server) postEnroll(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	p, err := parseRequest(body)
	if err != nil {
		answerError(w, http.StatusBadRequest, err.Error())
		return
	}
	p.Source = source(r)
	token, id, err := s.register(p)
	switch {
	case errors.Is(err, ErrKnown) && s.opt.Conflict409:
		answerError(w, http.StatusConflict, ErrKnown.Error())
		return
	case errors.Is(err, ErrKnown):
		// A unique key of the deployed database, which says no more than this.
		answerError(w, http.StatusInternalServerError, "Database error")
		return
	case errors.Is(err, errFull):
		answerError(w, http.StatusServiceUnavailable, errFull.Error())
		return
	case err != nil:
		s.databaseError(w, err)
		return
	}
	if s.autoApproved(p.Source, p.FQDN) {
		if _, err := s.Approve(id); err != nil {
			s.log.WithError(err).Warn("not approved automatically; the request waits")
		}
	}
	answer(w, http.StatusAccepted, contract.EnrollmentResponse{PollingToken: token})
}

func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		// The mux sends HEAD here too, whose answer would lose the bundle.
		answerError(w, http.StatusMethodNotAllowed, "GET only")
		return
	}
	state, b, err := s.poll(r.PathValue("token"))
	if err != nil {
		s.databaseError(w, err)
		return
	}
	if s.opt.Dialect == 1 {
		answerDialect1(w, state, b)
		return
	}
	switch {
	case b != nil:
		b.Status = state
		answer(w, http.StatusOK, b)
		return
	case state == contract.StatusNotFound && s.opt.NotFoundAlt:
		state = contract.StatusNotFoundAlt
	}
	answer(w, http.StatusOK, map[string]string{"status": state})
}

func answerDialect1(w http.ResponseWriter, state string, b *bundle) {
	switch state {
	case contract.StatusApproved:
		answer(w, http.StatusOK, b)
	case contract.StatusPending:
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusAccepted)
	case contract.StatusDenied:
		answerError(w, http.StatusForbidden, "denied")
	default:
		answerError(w, http.StatusNotFound, "not found")
	}
}

// databaseError answers as deployed managers do, and logs what happened.
func (s *Server) databaseError(w http.ResponseWriter, err error) {
	s.log.WithError(err).Error("request failed")
	answerError(w, http.StatusInternalServerError, "Database error")
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		answerError(w, http.StatusRequestEntityTooLarge, "the body is longer than 64 KiB")
		return nil, false
	case err != nil:
		answerError(w, http.StatusBadRequest, "the body cannot be read")
		return nil, false
	}
	return body, true
}

// answer sends JSON. None of it may be cached: tokens and keys are in it.
func answer(w http.ResponseWriter, code int, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		code, raw = http.StatusInternalServerError, []byte(`{"error":"Encoding error"}`)
	}
	w.Header().Set("Cache-Control", "no-store")
	send(w, code, "application/json", append(raw, '\n'))
}

func send(w http.ResponseWriter, code int, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

func answerError(w http.ResponseWriter, code int, text string) {
	answer(w, code, map[string]string{"error": text})
}
