// Package approval decides which enrollment requests may be approved. It is
// given what the manager lists, what each host of the inventory said over a
// verified connection, and what the inventory expects of it.
//
// It promises that a request is chosen only by what the host alone can know:
// the SHA-256 of its polling token or, where the manager shows no such hash,
// its enrollment proof together with its machine-id; and that name and address
// come from the inventory, never from the host. Nothing else that matches
// chooses a request. It asks no one, reads no clock and changes nothing.
package approval

import (
	"net/netip"
	"time"
)

// Row is one enrollment request as the manager lists it. All but ID and
// TokenSHA256 are claims of anyone who sent the request.
type Row struct {
	ID          string
	MachineID   string
	FQDN        string
	IPAddress   string
	TokenSHA256 string
	Proof       string
	CreatedAt   time.Time
}

// Evidence is what a host says of its own request.
type Evidence struct {
	// InventoryHostname and Connection are written by the controller, over
	// whatever the host said.
	InventoryHostname string
	// Connection is ConnectionVerified, or something else.
	Connection string
	// Enrolled says that the host is enrolled and waits for nothing.
	Enrolled    bool
	MachineID   string
	TokenSHA256 string
	// Proofs are the proofs of the requests that this host sent, the latest first.
	Proofs []string
	// VerifiedBy says how the host verified the manager's HTTPS certificate.
	VerifiedBy string
}

// ConnectionVerified is the value of Evidence.Connection where the controller
// knows that it spoke with the host itself.
const ConnectionVerified = "verified"

// The values of Evidence.VerifiedBy that need a decision. All others name a
// verification that was done.
const (
	VerifiedByNothing = "insecure"
	VerifiedByUnknown = "unknown"
)

// Host is one host of the inventory: what may be approved for it, and what it
// said.
type Host struct {
	Name string
	FQDN string
	// Addresses are the networks that the request's address must be in.
	Addresses []netip.Prefix
	// AnyAddress takes whatever address the request names.
	AnyAddress bool
	Evidence   Evidence
	// Repairs counts how often a request in this host's place was denied in this
	// run.
	Repairs int
}

// Options are the decisions that an administrator takes beforehand.
type Options struct {
	AllowUnverifiedConnection   bool
	AllowUnverifiedRegistration bool
	// DenyBlocked denies a foreign request that stands in a host's way.
	DenyBlocked bool
}

// Decision names what is to become of a host's request.
type Decision string

// The decisions. Only Approve approves, only Orphaned and Blocked may deny.
const (
	Approve  Decision = "approve"
	Enrolled Decision = "enrolled"
	// Orphaned is the host's own request whose token it never received.
	Orphaned Decision = "orphaned"
	// Blocked is a request with the host's machine-id that is not the host's.
	Blocked            Decision = "blocked"
	DuplicateMachineID Decision = "duplicate_machine_id"
	DuplicateEvidence  Decision = "duplicate_evidence"
	DuplicateName      Decision = "duplicate_name"
	Unproven           Decision = "unproven"
	NotListed          Decision = "not_listed"
	NoRequest          Decision = "no_request"
	WrongName          Decision = "wrong_name"
	WrongAddress       Decision = "wrong_address"
	AddressUnchecked   Decision = "address_unchecked"
	WrongEvidence      Decision = "wrong_evidence"
	// UnverifiedConnection and UnverifiedRegistration are evidence that someone
	// in between may have made.
	UnverifiedConnection   Decision = "unverified_connection"
	UnverifiedRegistration Decision = "unverified_registration"
)

// MatchedBy names the proof that chose a request.
type MatchedBy string

// The proofs.
const (
	ByToken MatchedBy = "token"
	ByProof MatchedBy = "proof"
)

// Comparison is one field as the three sides have it.
type Comparison struct {
	Field     string `json:"field"`
	Inventory string `json:"inventory"`
	Host      string `json:"host"`
	Manager   string `json:"manager"`
}

// Suspect is a request that resembles a host's and is not its own.
type Suspect struct {
	ID        string    `json:"request_id"`
	MachineID string    `json:"machine_id"`
	FQDN      string    `json:"fqdn"`
	IPAddress string    `json:"ip_address"`
	CreatedAt time.Time `json:"created_at"`
	// Same names what it shares with the host.
	Same []string `json:"same"`
}

// Verdict is what is decided for one host.
type Verdict struct {
	Decision Decision
	// Reason is a sentence for a person.
	Reason string
	// Row is the request that the decision is about, nil where there is none.
	Row       *Row
	MatchedBy MatchedBy
	// Deny says that Row is to be denied, so that the host can register again.
	Deny bool
	// Twin is the other host of the inventory that the decision names.
	Twin     string
	Compared []Comparison
	// Suspects are at most MaxSuspects; SuspectCount counts them all.
	Suspects     []Suspect
	SuspectCount int
}

// MaxSuspects bounds the list for one host: anybody can send requests.
const MaxSuspects = 20

// MaxRepairs is how often a request in a host's way is denied in one run.
const MaxRepairs = 2
