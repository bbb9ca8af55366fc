package manager

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

const pathEnrollments = "/api/v1/admin/enrollments"

func (s *Server) adminRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+pathEnrollments, s.loggedIn(s.getEnrollments))
	mux.HandleFunc("POST "+pathEnrollments+"/{id}/approve", s.loggedIn(s.postApprove, RoleAdmin))
	mux.HandleFunc("DELETE "+pathEnrollments+"/{id}/deny", s.loggedIn(s.deleteDeny, RoleAdmin))
}

// enrollmentRow is a row as deployed managers show it: whole, with the hash of
// the polling token.
type enrollmentRow struct {
	ID           string          `json:"id"`
	MachineID    string          `json:"machine_id"`
	FQDN         string          `json:"fqdn"`
	IPAddress    string          `json:"ip_address"`
	OSDetails    json.RawMessage `json:"os_details"`
	PollingToken string          `json:"polling_token,omitempty"`
	Hostname     *string         `json:"hostname"`
	CreatedAt    time.Time       `json:"created_at"`
	ExpiresAt    time.Time       `json:"expires_at"`
}

func (s *Server) rowOf(p storedPending) enrollmentRow {
	row := enrollmentRow{
		ID: p.ID, MachineID: p.MachineID, FQDN: p.FQDN, IPAddress: inet(p.IPAddress), OSDetails: p.OSDetails,
		PollingToken: p.TokenHash, CreatedAt: p.CreatedAt, ExpiresAt: p.ExpiresAt,
	}
	if p.Hostname != "" {
		row.Hostname = &p.Hostname
	}
	if s.opt.HideTokenHash {
		row.PollingToken = ""
	}
	return row
}

// inet is an address as a database column of type INET is shown.
func inet(ip netip.Addr) string { return netip.PrefixFrom(ip, ip.BitLen()).String() }

func (s *Server) getEnrollments(w http.ResponseWriter, _ *http.Request) {
	list, err := s.rows()
	if err != nil {
		s.databaseError(w, err)
		return
	}
	rows := make([]enrollmentRow, 0, len(list))
	for _, p := range list {
		rows = append(rows, s.rowOf(p))
	}
	answer(w, http.StatusOK, rows)
}

func (s *Server) postApprove(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !uuid.MatchString(id) {
		answerText(w, http.StatusBadRequest, "Invalid URL: Cannot parse `id` as a UUID")
		return
	}
	_, err := s.Approve(strings.ToLower(id))
	var exists *hostExistsError
	switch {
	case err == nil:
		s.log.WithField("id", id).WithField("account", by(r)).Info("approved over the admin API")
		w.WriteHeader(http.StatusOK)
	case errors.Is(err, ErrNotFound):
		w.WriteHeader(http.StatusNotFound)
	case errors.As(err, &exists):
		answer(w, http.StatusConflict, conflictAnswer(exists.host))
	case errors.Is(err, errIssuing):
		s.log.WithError(err).Error("request failed")
		answerError(w, http.StatusInternalServerError, "Certificate generation failed")
	default:
		s.databaseError(w, err)
	}
}

func conflictAnswer(h Host) any {
	return map[string]any{
		"error": "Host collision detected",
		"conflict": map[string]any{
			"existing_host": hostRowOf(h),
			"message":       "FQDN or IP already exists",
		},
	}
}

func (s *Server) deleteDeny(w http.ResponseWriter, r *http.Request) {
	if err := s.Deny(strings.ToLower(r.PathValue("id"))); err != nil {
		s.databaseError(w, err)
		return
	}
	s.log.WithField("account", by(r)).Info("denied over the admin API")
	w.WriteHeader(http.StatusNoContent)
}

// uuid is the form of an id, in either case.
var uuid = regexp.MustCompile(`^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// answerCode sends an error of the admin API.
func answerCode(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, map[string]any{"error": map[string]string{"code": code, "message": message}})
}

func answerText(w http.ResponseWriter, status int, text string) {
	send(w, status, "text/plain; charset=utf-8", []byte(text))
}

func answerPEM(w http.ResponseWriter, raw []byte) {
	send(w, http.StatusOK, "application/x-pem-file", raw)
}

// withBody reads the body of a request for next.
func withBody[T any](next func(http.ResponseWriter, *http.Request, T)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, ok := readBody(w, r)
		if !ok {
			return
		}
		var in T
		if err := json.Unmarshal(body, &in); err != nil {
			answerCode(w, http.StatusBadRequest, "bad_request", "the body is not the JSON object that is asked for here")
			return
		}
		next(w, r, in)
	}
}

// hostExistsError refuses an approval, and names the host that stands in its
// way.
type hostExistsError struct{ host Host }

func (e *hostExistsError) Error() string {
	return fmt.Sprintf("%v: %s (%s)", ErrHostExists, e.host.FQDN, e.host.IPAddress)
}

func (e *hostExistsError) Is(target error) bool { return target == ErrHostExists }

// getPage says what this is to people who open it in a browser.
func getPage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	send(w, http.StatusOK, "text/html; charset=utf-8", page)
}
