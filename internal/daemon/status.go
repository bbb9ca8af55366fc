package daemon

import (
	"encoding/json"
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
	// Listen is the address that is listened on.
	Listen string `json:"listen,omitempty"`
	// Fingerprint is the SHA-256 of the certificate that is served.
	Fingerprint string     `json:"fingerprint,omitempty"`
	Since       *time.Time `json:"since,omitempty"`
	NotAfter    *time.Time `json:"not_after,omitempty"`
	Whitelist   []string   `json:"whitelist"`
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
	return f.files.Replace(f.path, append(raw, '\n'), hostfs.Attributes{Mode: 0o644, UID: hostfs.Keep, GID: hostfs.Keep})
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
