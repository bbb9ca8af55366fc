package statedir

import (
	"encoding/json"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
)

// decodeRecord reads one of the records. Its errors quote no content: the
// record may hold the token.
func decodeRecord(path string, raw []byte, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return contract.Errorf(contract.CodeFilesystem, "%s is damaged: it is not the JSON that this program wrote", path).
			WithHint("move %s away and run again; if a request is pending on the manager, an administrator denies it first", path)
	}
	return nil
}

func encodeRecord(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, contract.Errorf(contract.CodeInternal, "a record cannot be encoded: %w", err)
	}
	return raw, nil
}

// Token is the polling token and what it belongs to.
type Token struct {
	Token string `json:"token"`
	// ManagerURL is who may see the token: it is sent nowhere else.
	ManagerURL string    `json:"manager_url"`
	MachineID  string    `json:"machine_id,omitempty"`
	FQDN       string    `json:"fqdn,omitempty"`
	Since      time.Time `json:"since"`
	// LostRequest is when a request was sent before this one whose answer never
	// reached the disk; nil where there was none.
	LostRequest *time.Time `json:"lost_request,omitempty"`
	// Replaces is since when the request before this one was pending that the
	// manager no longer knew; nil where there was none. It may have been approved.
	Replaces *time.Time `json:"replaces,omitempty"`
	// Dead says why the manager no longer honours the token; empty while it lives.
	Dead contract.State `json:"dead,omitempty"`
	// Dialect is how the manager told the state of the request so far.
	Dialect managerclient.Dialect `json:"dialect,omitempty"`
	// TakenOver says that this program did not get the token, and that no manager
	// has known it yet.
	TakenOver bool `json:"taken_over,omitempty"`
	// NoAnswerSince is since when nothing but something between this host and the
	// manager has answered; nil where the manager did.
	NoAnswerSince *time.Time `json:"no_answer_since,omitempty"`
	// Final says that nothing but the manager can have ended it: it is not asked
	// once more.
	Final bool `json:"final,omitempty"`
	// Request is what was sent for this token; nil where another program sent it.
	Request *Request `json:"request,omitempty"`
}

// expiredOnDisk is how a token record has always spelled contract.StateExpired.
const expiredOnDisk contract.State = "expired"

// MarshalJSON keeps the spelling that other versions of the program read.
func (t Token) MarshalJSON() ([]byte, error) {
	type plain Token
	if t.Dead == contract.StateExpired {
		t.Dead = expiredOnDisk
	}
	return json.Marshal(plain(t))
}

// UnmarshalJSON undoes MarshalJSON.
func (t *Token) UnmarshalJSON(raw []byte) error {
	type plain Token
	if err := json.Unmarshal(raw, (*plain)(t)); err != nil {
		return err
	}
	if t.Dead == expiredOnDisk {
		t.Dead = contract.StateExpired
	}
	return nil
}

// Request is what the manager was told, kept with the token that it gave.
type Request struct {
	Proof             string             `json:"proof,omitempty"`
	IPAddress         string             `json:"ip_address,omitempty"`
	OSDetails         contract.OSDetails `json:"os_details"`
	SentAt            time.Time          `json:"sent_at"`
	VerifiedBy        string             `json:"verified_by,omitempty"`
	CertificateSHA256 string             `json:"certificate_sha256,omitempty"`
}

// Answer is a raw answer of the manager as it is kept on disk.
type Answer struct {
	HTTPStatus int       `json:"http_status"`
	PeerIP     string    `json:"peer_ip"`
	URL        string    `json:"url"`
	At         time.Time `json:"at"`
	// Encoding is what Body is encoded as where it could not be decoded.
	Encoding string `json:"encoding,omitempty"`
	Body     []byte `json:"body"`
	// LostPoll is when a poll was sent before this one whose answer is unknown;
	// nil where there was none. The mark of it made room for this record.
	LostPoll *time.Time `json:"lost_poll,omitempty"`
}
