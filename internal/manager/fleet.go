package manager

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The deployed API for hosts, certificates and the PKI.
const (
	pathHosts        = "/api/v1/hosts"
	pathCertificates = "/api/v1/certificates"
	pathRoot         = "/api/v1/ca/root.crt"
	pathCRL          = "/api/v1/pki/crl.pem"
	pathRepoConfig   = "/api/v1/pki/repo-config"
)

// The deployed paging of hosts.
const (
	pageDefault = 50
	pageMost    = 200
)

func (s *Server) fleetRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+pathHosts, s.loggedIn(s.getHosts))
	mux.HandleFunc("DELETE "+pathHosts+"/{id}", s.loggedIn(s.deleteHost, RoleOperator, RoleAdmin))
	mux.HandleFunc("POST "+pathHosts+"/{id}/groups", s.loggedIn(withBody(s.postGroup), RoleOperator, RoleAdmin))
	mux.HandleFunc("POST "+pathHosts+"/{id}/certificates/reissue", s.loggedIn(s.postReissue, RoleAdmin))
	mux.HandleFunc("GET "+pathCertificates, s.loggedIn(s.getCertificates))
	mux.HandleFunc("GET "+pathRoot, s.loggedIn(s.getRoot))
	mux.HandleFunc("GET "+pathCRL, s.limited(apiLimit, s.getCRL))
	mux.HandleFunc("GET "+pathRepoConfig, s.limited(apiLimit, s.getRepoConfig))
}

// hostRow is a host as the API shows it.
type hostRow struct {
	ID        string          `json:"id"`
	MachineID string          `json:"machine_id"`
	FQDN      string          `json:"fqdn"`
	IPAddress string          `json:"ip_address"`
	OSDetails json.RawMessage `json:"os_details"`
	Groups    []string        `json:"groups"`
	CreatedAt time.Time       `json:"created_at"`
}

func hostRowOf(h Host) hostRow {
	row := hostRow{h.ID, h.MachineID, h.FQDN, h.IPAddress.String(), h.OSDetails, h.Groups, h.ApprovedAt}
	if row.Groups == nil {
		row.Groups = []string{}
	}
	return row
}

type hostPage struct {
	Hosts  []hostRow `json:"hosts"`
	Total  int       `json:"total"`
	Limit  int       `json:"limit"`
	Offset int       `json:"offset"`
}

func (s *Server) getHosts(w http.ResponseWriter, r *http.Request) {
	all, err := s.Hosts()
	if err != nil {
		s.databaseError(w, err)
		return
	}
	q := r.URL.Query()
	out := hostPage{
		Hosts: []hostRow{},
		Limit: min(max(number(q.Get("limit"), pageDefault), 1), pageMost), Offset: max(number(q.Get("offset"), 0), 0),
	}
	for _, h := range all {
		if !matches(h, q.Get("search")) {
			continue
		}
		if out.Total >= out.Offset && len(out.Hosts) < out.Limit {
			out.Hosts = append(out.Hosts, hostRowOf(h))
		}
		out.Total++
	}
	answer(w, http.StatusOK, out)
}

func number(text string, otherwise int) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return otherwise
	}
	return n
}

// matches looks for a text in what a host is called, whatever its case.
func matches(h Host, search string) bool {
	search = strings.ToLower(search)
	return strings.Contains(strings.ToLower(h.FQDN), search) || strings.Contains(h.IPAddress.String(), search)
}

func (s *Server) deleteHost(w http.ResponseWriter, r *http.Request) {
	err := s.RemoveHost(strings.ToLower(r.PathValue("id")))
	s.answerHost(w, err, map[string]string{"message": "Host removed"})
}

type groupRequest struct {
	GroupID string `json:"group_id"`
}

func (s *Server) postGroup(w http.ResponseWriter, r *http.Request, in groupRequest) {
	if !uuid.MatchString(in.GroupID) {
		answerCode(w, http.StatusBadRequest, "bad_request", "group_id is not a UUID")
		return
	}
	err := s.addToGroup(strings.ToLower(r.PathValue("id")), strings.ToLower(in.GroupID))
	s.answerHost(w, err, map[string]string{"message": "Host added to group"})
}

// Reissued is the answer of a re-issue: both certificates with their keys.
type Reissued struct {
	CertPEM      string    `json:"cert_pem"`
	KeyPEM       string    `json:"key_pem"`
	Serial       string    `json:"serial_number"`
	ExpiresAt    time.Time `json:"expires_at"`
	ServerCert   string    `json:"server_cert_pem"`
	ServerKey    string    `json:"server_key_pem"`
	ServerSerial string    `json:"server_serial_number"`
	CARoot       string    `json:"ca_root_pem"`
}

func (s *Server) postReissue(w http.ResponseWriter, r *http.Request) {
	out, err := s.Reissue(strings.ToLower(r.PathValue("id")))
	if errors.Is(err, errIssuing) {
		s.log.WithError(err).Error("request failed")
		answerCode(w, http.StatusInternalServerError, "internal_error", "Certificate generation failed")
		return
	}
	s.answerHost(w, err, out)
}

// answerHost answers a request about one host.
func (s *Server) answerHost(w http.ResponseWriter, err error, v any) {
	switch {
	case err == nil:
		answer(w, http.StatusOK, v)
	case errors.Is(err, ErrNotFound):
		answerCode(w, http.StatusNotFound, "not_found", "Host not found")
	default:
		s.databaseError(w, err)
	}
}

type certificateRow struct {
	ID         string     `json:"id"`
	HostID     *string    `json:"host_id"`
	Serial     string     `json:"serial_number"`
	CommonName string     `json:"common_name"`
	Status     string     `json:"status"`
	IssuedAt   time.Time  `json:"issued_at"`
	ExpiresAt  time.Time  `json:"expires_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
}

func (s *Server) getCertificates(w http.ResponseWriter, r *http.Request) {
	all, err := s.certificates()
	if err != nil {
		s.databaseError(w, err)
		return
	}
	host, status := r.URL.Query().Get("host_id"), r.URL.Query().Get("status")
	rows := []certificateRow{}
	for _, c := range all {
		ofHost := host == "" || c.HostID != nil && strings.EqualFold(*c.HostID, host)
		if ofHost && (status == "" || strings.EqualFold(c.Status, status)) {
			rows = append(rows, c)
		}
	}
	answer(w, http.StatusOK, rows)
}

func (s *Server) getCRL(w http.ResponseWriter, _ *http.Request) {
	crl, err := s.CRL()
	if err != nil {
		s.log.WithError(err).Error("request failed")
		answerText(w, http.StatusInternalServerError, "CRL generation failed")
		return
	}
	w.Header().Set("Cache-Control", "max-age=3600")
	answerPEM(w, crl)
}

func (s *Server) getRoot(w http.ResponseWriter, _ *http.Request) { answerPEM(w, s.ca.pem) }
