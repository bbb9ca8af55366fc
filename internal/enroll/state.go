package enroll

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
)

// statePaths are the files of the state directory. The daemon shares them, so
// both take the same lock.
type statePaths struct {
	dir  string
	lock string
	// token holds the polling token, alive or dead.
	token string
	// request is made before a registration and filled with the new token; an
	// unfilled one says that a registration was sent and its answer is unknown.
	request string
	// spool is made before a poll and filled with the raw answer; an unfilled
	// one says that a poll was sent and its answer is unknown.
	spool string
	// proof holds the nonce of the enrollment proof until the commit.
	proof      string
	journal    string
	provenance string
}

func newStatePaths(dir string) statePaths {
	in := func(name string) string { return filepath.Join(dir, name) }
	return statePaths{
		dir: dir, lock: in("lock"), token: in("token"), request: in("request"),
		spool: in("spool"), proof: in("proof"), journal: in("journal"), provenance: in("provenance.json"),
	}
}

// files are those that a run replaces.
func (s statePaths) files() []string {
	return []string{s.token, s.request, s.spool, s.proof, s.journal, s.provenance}
}

// rejectedPrefix begins the names of bundles that can never be used.
const rejectedPrefix = "rejected."

// tokenRecord is the polling token and what it belongs to.
type tokenRecord struct {
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
	Request *sentRequest `json:"request,omitempty"`
}

// expiredOnDisk is how a token record has always spelled contract.StateExpired.
const expiredOnDisk contract.State = "expired"

// MarshalJSON keeps the spelling that other versions of the program read.
func (t tokenRecord) MarshalJSON() ([]byte, error) {
	type plain tokenRecord
	if t.Dead == contract.StateExpired {
		t.Dead = expiredOnDisk
	}
	return json.Marshal(plain(t))
}

// UnmarshalJSON undoes MarshalJSON.
func (t *tokenRecord) UnmarshalJSON(raw []byte) error {
	type plain tokenRecord
	if err := json.Unmarshal(raw, (*plain)(t)); err != nil {
		return err
	}
	if t.Dead == expiredOnDisk {
		t.Dead = contract.StateExpired
	}
	return nil
}

// spooled is a raw answer of the manager as it is kept on disk.
type spooled struct {
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

// provenance is what enrollment put on this host, so that it can be taken back
// and so that a converged run needs no connection to know the manager.
type provenance struct {
	ManagerURL string `json:"manager_url,omitempty"`
	ManagerIP  string `json:"manager_ip,omitempty"`
	MachineID  string `json:"machine_id,omitempty"`
	FQDN       string `json:"fqdn,omitempty"`
	// RequestMachineID is the host that an unanswered request or a stored answer
	// belongs to. A record of 0.1.0 has none, and counts as this host's.
	RequestMachineID string `json:"request_machine_id,omitempty"`
	// CAFingerprint is the CA that this host is enrolled under.
	CAFingerprint string `json:"ca_fingerprint,omitempty"`
	// Files are written before the files themselves are, so that a run that
	// was killed in between leaves none unaccounted for. A backup of a key that
	// enrollment itself had written is one of them.
	Files []placed `json:"files,omitempty"`
	// WhitelistPath and WhitelistEntries are the entries that enrollment added.
	WhitelistPath    string   `json:"whitelist_path,omitempty"`
	WhitelistEntries []string `json:"whitelist_entries,omitempty"`
	// ConfigPath and ConfigManagerURL are the enrollment.manager_url that was
	// written to a config.yaml which had none.
	ConfigPath       string `json:"config_path,omitempty"`
	ConfigManagerURL string `json:"config_manager_url,omitempty"`
	// Removed is when the enrollment was taken back; a daemon then does not
	// enroll again by itself.
	Removed *time.Time `json:"removed,omitempty"`
}

// placed is one file that enrollment wrote.
type placed struct {
	Path string `json:"path"`
	// SHA256 lists the contents that are ours: the last one, and while a new
	// set is being put in place the one before it too.
	SHA256 []string `json:"sha256"`
}

// owns tells whether enrollment wrote this content to this path.
func (p provenance) owns(path string, digest string) bool {
	return slices.ContainsFunc(p.Files, func(f placed) bool {
		return f.Path == path && slices.Contains(f.SHA256, digest)
	})
}

// knows reports whether enrollment put a set in place, by its CA or by the
// certificate itself.
func (p provenance) knows(ca string, cert string, digest string) bool {
	return p.CAFingerprint != "" && p.CAFingerprint == ca || p.owns(cert, digest)
}

// relocate makes the paths the real ones: a directory that has become a link of
// root's since is the same place.
func (p *provenance) relocate(place func(string) string) {
	p.Files = slices.Clone(p.Files)
	for i := range p.Files {
		p.Files[i].Path = place(p.Files[i].Path)
	}
	p.WhitelistPath = place(p.WhitelistPath)
}

// place adds a content that is about to be written.
func (p *provenance) place(path, digest string) {
	p.Files = slices.Clone(p.Files)
	for i, f := range p.Files {
		if f.Path == path {
			if !slices.Contains(f.SHA256, digest) {
				p.Files[i].SHA256 = append(slices.Clone(f.SHA256), digest)
			}
			return
		}
	}
	p.Files = append(p.Files, placed{Path: path, SHA256: []string{digest}})
}

// settlePlaced forgets older contents of one file.
func (p *provenance) settlePlaced(path, digest string) {
	p.Files = slices.Clone(p.Files)
	for i, f := range p.Files {
		if f.Path == path {
			p.Files[i].SHA256 = []string{digest}
		}
	}
}

// settleFiles forgets older contents once the new set stands. current is the
// digest of each file of the set, empty where there is none. A file elsewhere,
// of an older config.yaml, is ours until it is gone.
func (p *provenance) settleFiles(current map[string]string, gone func(path string) bool) {
	p.Files = slices.DeleteFunc(slices.Clone(p.Files), func(f placed) bool {
		if now, ok := current[f.Path]; ok {
			return now == ""
		}
		return gone(f.Path)
	})
	for i, f := range p.Files {
		if now, ok := current[f.Path]; ok {
			p.Files[i].SHA256 = []string{now}
		}
	}
}

func (p *provenance) addWhitelistEntry(path, entry string) {
	p.WhitelistPath = path
	if !slices.Contains(p.WhitelistEntries, entry) {
		p.WhitelistEntries = append(slices.Clone(p.WhitelistEntries), entry)
	}
}

func (p *provenance) dropWhitelistEntry(entry string) {
	p.WhitelistEntries = slices.DeleteFunc(slices.Clone(p.WhitelistEntries), func(e string) bool { return e == entry })
}

// decodeRecord reads one of the records. Its errors quote no content: the
// record may hold the token.
func decodeRecord(path string, raw []byte, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return contract.Errorf(contract.CodeFilesystem, "%s is damaged: it is not the JSON that this program wrote", path).
			WithHint("move %s away and run again; if a request is pending on the manager, an administrator denies it first", path)
	}
	return nil
}
