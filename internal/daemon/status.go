package daemon

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/linux-patch/enroll/internal/hostfs"
)

// status is what the status file says; enrollment_info reads it.
type status struct {
	PID     int    `json:"pid"`
	Version string `json:"version"`
	// State is listening, enrolling or idle.
	State string `json:"state"`
	// Asking says that the manager is asked for a certificate.
	Asking bool `json:"asking,omitempty"`
	// Listen is the address that is listened on.
	Listen string `json:"listen,omitempty"`
	// Fingerprint is the SHA-256 of the certificate that is served.
	Fingerprint string     `json:"fingerprint,omitempty"`
	Since       *time.Time `json:"since,omitempty"`
	NotAfter    *time.Time `json:"not_after,omitempty"`
	// Problem is what keeps the agent from serving, or from going by what is on
	// disk: certificates, CRL, whitelist.
	Problem string `json:"problem,omitempty"`
	// LogLinesLost is how many log lines no one took.
	LogLinesLost int64 `json:"log_lines_lost,omitempty"`
	// CRL is the list in force; absent where there is none.
	CRL *crlStatus `json:"crl,omitempty"`
	// Whitelist are the first maxStatusEntries of WhitelistEntries.
	Whitelist        []string `json:"whitelist"`
	WhitelistEntries int      `json:"whitelist_entries"`
}

// maxStatusEntries keeps the status of a long whitelist short.
const maxStatusEntries = 1000

// crlStatus is the CRL in force.
type crlStatus struct {
	Number     string     `json:"number,omitempty"`
	ThisUpdate time.Time  `json:"this_update"`
	NextUpdate *time.Time `json:"next_update,omitempty"`
	Revoked    int        `json:"revoked"`
}

func statusOfCRL(s *served) *crlStatus {
	if s.crl == nil {
		return nil
	}
	c := &crlStatus{ThisUpdate: s.crl.ThisUpdate.UTC(), Revoked: s.crl.Revoked()}
	if s.crl.Number != nil {
		c.Number = s.crl.Number.String()
	}
	if end := s.crl.NextUpdate.UTC(); !end.IsZero() {
		c.NextUpdate = &end
	}
	return c
}

// The states of the daemon.
const (
	stateListening = "listening"
	stateEnrolling = "enrolling"
	stateIdle      = "idle"
)

// statusFile keeps the status on disk.
type statusFile struct {
	files *hostfs.Host
	path  string
}

func (f statusFile) write(s status) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := f.files.EnsureDir(filepath.Dir(f.path), 0o755); err != nil {
		return err
	}
	replace := func() error {
		return f.files.Replace(f.path, append(raw, '\n'), hostfs.Attributes{Mode: 0o644, UID: hostfs.Keep, GID: hostfs.Keep})
	}
	err = replace()
	if errors.Is(err, fs.ErrNotExist) {
		err = replace() // another daemon, that began, has swept our temp file
	}
	return err
}

// sweep removes what a daemon left that was killed while it wrote.
func (f statusFile) sweep() error {
	_, err := f.files.SweepTemps([]string{filepath.Dir(f.path)}, nil)
	return err
}

// remove takes the file away, unless another process has written it meanwhile.
func (f statusFile) remove() error {
	file, err := f.files.Read(f.path)
	if err != nil || !file.Exists {
		return err
	}
	var s status
	if err := json.Unmarshal(file.Content, &s); err == nil && s.PID != os.Getpid() {
		return nil
	}
	return f.files.Remove(f.path)
}
