// Package contract holds what a host and a manager agree on: the wire types of
// the two enrollment endpoints, the states an enrollment can be in, the error
// codes that a user meets, and the default places of the agent's files.
//
// It imports the standard library only and has no behaviour beyond naming
// things, so that the client and the reference manager can share it and still
// check each other.
package contract

import "encoding/json"

// The enrollment endpoints, relative to the manager's base URL.
const (
	EnrollPath = "/api/v1/enroll"
	// StatusPath is followed by the polling token.
	StatusPath = "/api/v1/enroll/status/"
	// CRLPath is where the manager's revocation list is; public, PEM.
	CRLPath = "/api/v1/pki/crl.pem"
)

// EnrollmentRequest is the body of POST EnrollPath. It is the union of what
// the known dialects read; managers ignore the fields that they do not know.
type EnrollmentRequest struct {
	// MachineID is 32 lower-case hexadecimal digits, see machine-id(5).
	MachineID string `json:"machine_id"`
	FQDN      string `json:"fqdn"`
	// Hostname is the short host name.
	Hostname string `json:"hostname"`
	// IPAddress is one IP in its canonical form: a manager stores it as INET
	// and dials it.
	IPAddress string `json:"ip_address"`
	// IPAddresses lists every global unicast address of the host.
	IPAddresses []string  `json:"ip_addresses"`
	OSDetails   OSDetails `json:"os_details"`
}

// OSDetails describes the host's operating system, from os-release(5) and
// uname(2). Distro repeats Name and OSVersion repeats Version, because
// different managers read different ones.
type OSDetails struct {
	ID           string `json:"id"`
	Name         string `json:"name"`
	Distro       string `json:"distro"`
	Version      string `json:"version"`
	OSVersion    string `json:"os_version"`
	IDLike       string `json:"id_like"`
	Codename     string `json:"codename"`
	Kernel       string `json:"kernel"`
	Architecture string `json:"architecture"`
	// EnrollmentProof lets an approver recognize the host's own request. It stands
	// here because managers store and show os_details as it came.
	EnrollmentProof string `json:"enrollment_proof,omitempty"`
}

// EnrollmentResponse is the answer to an accepted request.
type EnrollmentResponse struct {
	// PollingToken is a bearer secret: anyone who holds it can fetch the host's
	// private key once the request is approved.
	PollingToken string `json:"polling_token"`
}

// PollingStatus is the body of GET StatusPath + token. In dialect 1 the HTTP
// code tells the state and Status is absent; in dialect 2 the code is always
// 200 and Status tells it.
type PollingStatus struct {
	Status string `json:"status,omitempty"`
	PkiBundle
}

// The values of PollingStatus.Status, dialect 2. Managers spell the last one
// both ways.
const (
	StatusPending  = "pending"
	StatusApproved = "approved"
	StatusDenied   = "denied"
	StatusNotFound = "notfound"
	// StatusNotFoundAlt is the other spelling of StatusNotFound.
	StatusNotFoundAlt = "not_found"
)

// PkiBundle is what an approved host receives, all of it PEM.
type PkiBundle struct {
	CACrt     string `json:"ca_crt,omitempty"`
	ServerCrt string `json:"server_crt,omitempty"`
	ServerKey string `json:"server_key,omitempty"`
	// CAChain holds intermediates between ServerCrt and CACrt; it may be empty.
	CAChain string `json:"ca_chain,omitempty"`
	// CRLPEM is the CA's revocation list; it may be empty.
	CRLPEM string `json:"crl_pem,omitempty"`
	// Repo is the package repository of the answer, nil without one.
	Repo *RepoConfig `json:"-"`
}

// RepoConfig is a package repository as managers name one. Its keyring_path is
// not read: where a key goes is not for a manager to say.
type RepoConfig struct {
	GPGPublicKey  string `json:"gpg_public_key"`
	SourcesConfig string `json:"sources_config"`
}

// State is how far the enrollment of a host has come, as results report it.
type State string

// The states of an enrollment.
const (
	StateAbsent     State = "absent"
	StateRegistered State = "registered"
	StatePending    State = "pending"
	StateEnrolled   State = "enrolled"
	StateDenied     State = "denied"
	// StateForeign is a valid set that neither enrollment nor an option accounts for.
	StateForeign State = "foreign"
	// StateExpired is the end of a request, not of a certificate.
	StateExpired State = "request_expired"
)

// Default places of the agent's files, used where its config.yaml names none.
const (
	DefaultConfigPath     = "/etc/linux_patch_api/config.yaml"
	DefaultCACertPath     = "/etc/linux_patch_api/certs/ca.pem"
	DefaultServerCertPath = "/etc/linux_patch_api/certs/server.pem"
	DefaultServerKeyPath  = "/etc/linux_patch_api/certs/server.key.pem"
	DefaultCRLPath        = "/etc/linux_patch_api/certs/crl.pem"
	DefaultWhitelistPath  = "/etc/linux_patch_api/whitelist.yaml"
	DefaultAuditLogPath   = "/var/log/linux_patch_api/audit.log"
	DefaultStateDir       = "/var/lib/linux_patch_enroll"
	DefaultStatusPath     = "/run/linux_patch_api/status.json"
)

// The agent's listener.
const (
	DefaultBind = "0.0.0.0"
	DefaultPort = 12443
)

// String hides the private key, so that a bundle that is printed by mistake
// leaks nothing.
func (b PkiBundle) String() string { return "PKI bundle (contents hidden)" }

// GoString hides the private key from %#v.
func (b PkiBundle) GoString() string { return b.String() }

// String hides the bundle that the status may carry.
func (s PollingStatus) String() string { return "polling status " + s.Status }

// GoString hides the bundle from %#v.
func (s PollingStatus) GoString() string { return s.String() }

// String hides the token.
func (r EnrollmentResponse) String() string { return "enrollment response (token hidden)" }

// GoString hides the token from %#v.
func (r EnrollmentResponse) GoString() string { return r.String() }

// HealthEnvelope is the body of the agent's JSON answers.
type HealthEnvelope struct {
	Success   bool            `json:"success"`
	RequestID string          `json:"request_id"`
	Timestamp string          `json:"timestamp"`
	Data      json.RawMessage `json:"data"`
	Error     *HealthError    `json:"error"`
}

// HealthError is the error part of a HealthEnvelope.
type HealthError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Health is the data of the answer to a health check. Deployed managers parse it
// strictly: UptimeSeconds must be there, and a CRL's members only with a CRL.
type Health struct {
	Status        string `json:"status"`
	Version       string `json:"version"`
	UptimeSeconds uint64 `json:"uptime_seconds"`
	// CRLStatus is valid, expired, or unreadable where the CRL on disk cannot be
	// loaded and the one before it is in force.
	CRLStatus string `json:"crl_status,omitempty"`
	// CRLAgeSeconds counts from the CRL's thisUpdate.
	CRLAgeSeconds *uint64 `json:"crl_age_seconds,omitempty"`
	// CRLNextUpdate is as RFC 3339 has it.
	CRLNextUpdate string `json:"crl_next_update,omitempty"`
}

// SystemInfo is the data of GET /api/v1/system/info.
type SystemInfo struct {
	Hostname      string `json:"hostname"`
	FQDN          string `json:"fqdn"`
	MachineID     string `json:"machine_id"`
	OS            string `json:"os"`
	OSVersion     string `json:"os_version"`
	Kernel        string `json:"kernel"`
	Architecture  string `json:"architecture"`
	AgentVersion  string `json:"agent_version"`
	UptimeSeconds uint64 `json:"uptime_seconds"`
}
