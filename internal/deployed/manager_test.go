package deployed

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Manager is a deployed manager's public side. It is an http.Handler; serve it
// over TLS with Certificate, behind a Gateway or alone.
type Manager struct {
	// Dialect2 answers each poll with 200 and a status in the body.
	Dialect2 bool
	// Newer adds ca_chain, crl_pem and repo_config to a bundle.
	Newer bool
	// Old issues for clients alone, without a name.
	Old bool
	// Days is how long certificates are valid; 0 is 365.
	Days int

	ca *authority

	mu     sync.Mutex
	rows   map[string]*row // by token
	seen   []Request
	handed int
}

// row is an enrollment request that waits, or whose bundle does.
type row struct {
	Request

	bundle []byte
	// expired rows stay, and are no one's any more.
	expired bool
}

// Request is what a host sent, and from where.
type Request struct {
	MachineID   string         `json:"machine_id"`
	FQDN        string         `json:"fqdn"`
	IPAddress   string         `json:"ip_address"`
	IPAddresses []string       `json:"ip_addresses"`
	OSDetails   map[string]any `json:"os_details"`
	// Peer is the connection's source.
	Peer string `json:"-"`
}

// NewManager makes a manager with a CA of its own.
func NewManager() (*Manager, error) {
	ca, err := newAuthority()
	return &Manager{ca: ca, rows: map[string]*row{}}, err
}

// CA returns the PEM of the manager's CA.
func (m *Manager) CA() string { return m.ca.pem }

// Certificate is for the manager's own HTTPS, or for a gateway's.
func (m *Manager) Certificate(name string, ip net.IP) (tls.Certificate, error) {
	cert, key, err := m.ca.issue(name, ip, x509.ExtKeyUsageServerAuth, false, 0)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair([]byte(cert), []byte(key))
}

// Client returns a client that agents let in by its certificate.
func (m *Manager) Client() (*http.Client, error) {
	cert, key, err := m.ca.issue("manager", net.IPv4(127, 0, 0, 1), x509.ExtKeyUsageClientAuth, false, 0)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	roots := x509.NewCertPool()
	roots.AddCert(m.ca.cert)
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13},
	}}, err
}

// Requests are those that were registered, the latest last.
func (m *Manager) Requests() []Request {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Request(nil), m.seen...)
}

// HandedOut counts the bundles that were sent.
func (m *Manager) HandedOut() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.handed
}

// Remember makes a request wait under a token that was given out before.
func (m *Manager) Remember(token string, r Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[token] = &row{Request: r}
}

// Approve issues a certificate for a machine whose request waits.
func (m *Manager) Approve(machineID string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		if r.MachineID == machineID && r.bundle == nil {
			return m.issue(r)
		}
	}
	return errors.New("no request of that machine waits")
}

func (m *Manager) issue(r *row) error {
	cert, key, err := m.ca.issue(r.FQDN, net.ParseIP(r.IPAddress), x509.ExtKeyUsageServerAuth, m.Old, m.Days)
	if err != nil {
		return err
	}
	bundle := map[string]any{"ca_crt": m.ca.pem, "server_crt": cert, "server_key": key}
	if m.Newer {
		crl, err := m.ca.crl()
		if err != nil {
			return err
		}
		bundle["ca_chain"], bundle["crl_pem"], bundle["repo_config"] = "", crl, nil
	}
	if m.Dialect2 {
		bundle["status"] = "approved"
	}
	r.bundle, err = json.Marshal(bundle)
	return err
}

// Deny deletes a machine's request, as managers do: its host is told "not found".
func (m *Manager) Deny(machineID string) {
	m.forget(func(r *row) bool { return r.MachineID == machineID })
}

// Expire lets a machine's request expire. Until the hourly purge its row stays, and
// with it the unique key.
func (m *Manager) Expire(machineID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		r.expired = r.expired || r.MachineID == machineID
	}
}

// Restart forgets approved bundles, which are in memory only.
func (m *Manager) Restart() { m.forget(func(r *row) bool { return r.bundle != nil }) }

func (m *Manager) forget(which func(*row) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for token, r := range m.rows {
		if which(r) {
			delete(m.rows, token)
		}
	}
}

func (m *Manager) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	const status = "/api/v1/enroll/status/"
	switch path := req.URL.Path; {
	case req.Method == http.MethodPost && path == "/api/v1/enroll":
		m.register(w, req)
	case req.Method == http.MethodGet && strings.HasPrefix(path, status):
		m.poll(w, strings.TrimPrefix(path, status))
	case req.Method == http.MethodGet && path == "/api/v1/pki/crl.pem":
		m.serveCRL(w)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (m *Manager) register(w http.ResponseWriter, req *http.Request) {
	var r Request
	if err := json.NewDecoder(req.Body).Decode(&r); err != nil || net.ParseIP(r.IPAddress) == nil || r.FQDN == "" || len(r.MachineID) != 32 {
		answer(w, http.StatusBadRequest, map[string]any{"error": "Invalid request"})
		return
	}
	r.Peer, _, _ = net.SplitHostPort(req.RemoteAddr)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, known := range m.rows {
		if known.MachineID == r.MachineID {
			// The unique key of the table, and no word of it.
			answer(w, http.StatusInternalServerError, map[string]any{"error": "Database error"})
			return
		}
	}
	token := strings.Repeat(rand.Text(), 3)[:64]
	m.rows[token] = &row{Request: r}
	m.seen = append(m.seen, r)
	answer(w, http.StatusAccepted, map[string]any{"polling_token": token})
}

func (m *Manager) poll(w http.ResponseWriter, token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, known := m.rows[token]
	known = known && !r.expired
	switch {
	case !known && m.Dialect2:
		answer(w, http.StatusOK, map[string]any{"status": "notfound"})
	case !known:
		w.WriteHeader(http.StatusNotFound)
	case r.bundle != nil:
		// Once, whether it arrives or not.
		m.handed++
		delete(m.rows, token)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(r.bundle)
	case m.Dialect2:
		answer(w, http.StatusOK, map[string]any{"status": "pending"})
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

func (m *Manager) serveCRL(w http.ResponseWriter) {
	crl, err := m.ca.crl()
	if err != nil {
		http.Error(w, "CRL generation failed", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "max-age=3600")
	_, _ = fmt.Fprint(w, crl)
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}
