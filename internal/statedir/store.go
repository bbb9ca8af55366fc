package statedir

import (
	"time"

	"github.com/linux-patch/enroll/internal/hostfs"
)

// Options are what a Store works with.
type Options struct {
	Files *hostfs.Host
	Paths Paths
	// UID and GID are who runs this program.
	UID, GID int
	// MachineID is this host's; empty where it cannot be read.
	MachineID string
	Now       func() time.Time
	// Secret is told each token that is read.
	Secret func(string)
	// Check keeps the disk as it is: only what the Store tells changes.
	Check bool
}

// Store is the state directory of one run. Load makes one.
type Store struct {
	Options

	token      *Token
	newToken   *Token
	requestAt  *time.Time
	pollAt     *time.Time
	spool      *Answer
	journal    *hostfs.Journal
	provenance Provenance
	clones     clones
}

// Token is this host's polling token, alive or dead; nil where there is none.
// What it points to is not changed: SaveToken replaces it.
func (s *Store) Token() *Token { return s.token }

// NewToken is that of an answered registration that was not yet made the token.
func (s *Store) NewToken() *Token { return s.newToken }

// RequestAt is when a registration was sent whose answer is unknown.
func (s *Store) RequestAt() *time.Time { return s.requestAt }

// PollAt is when a poll was sent whose answer is unknown.
func (s *Store) PollAt() *time.Time { return s.pollAt }

// Spool is an answer that was not yet put in place.
func (s *Store) Spool() *Answer { return s.spool }

// Journal is that of a commit that was killed; nil where there is none.
func (s *Store) Journal() *hostfs.Journal { return s.journal }

// Provenance is what enrollment put on this host.
func (s *Store) Provenance() Provenance { return s.provenance }

// private are the attributes of what only this program reads.
func (s *Store) private() hostfs.Attributes {
	return hostfs.Attributes{Mode: 0o600, UID: s.UID, GID: s.GID}
}

// write puts a record in a file's place.
func (s *Store) write(path string, record any) error {
	raw, err := encodeRecord(record)
	if err != nil {
		return err
	}
	return s.Files.Replace(path, raw, s.private())
}

// clones is what stands in the state directory and belongs to a host with
// another machine-id: this host was made from an image of that one while its
// request was pending. Its token would fetch that host's key.
type clones struct {
	// machineID is that host's; empty where nothing is cloned.
	machineID string
	// files are to be set aside.
	files []string
	// token is that host's, which config.yaml may hold too.
	token string
}
