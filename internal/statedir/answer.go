package statedir

import (
	"time"
)

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
