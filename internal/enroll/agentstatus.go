package enroll

import (
	"encoding/json"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// agentStatus is the agent's status file, and what is read of it here.
type agentStatus struct {
	// content is nil where there is no status file.
	content json.RawMessage
	// err says why the file says nothing.
	err error

	PID         int    `json:"pid"`
	State       string `json:"state"`
	Asking      bool   `json:"asking"`
	Fingerprint string `json:"fingerprint"`
	Problem     string `json:"problem"`
}

// agentStatus reads what the agent says that it does and serves.
func (r *run) agentStatus(path string) *agentStatus {
	s := &agentStatus{}
	file, err := r.Files.Read(path)
	switch {
	case err != nil:
		s.err = fmt.Errorf("the agent's status cannot be read: %w", err)
	case !file.Exists:
	case json.Unmarshal(file.Content, s) != nil:
		s.err = fmt.Errorf("%s is not the agent's status: it is no JSON", path)
	default:
		s.content = file.Content
	}
	return s
}

// asks reports whether a running agent asks the manager. A killed one leaves its
// status behind.
func (s *agentStatus) asks() bool {
	return s.err == nil && (s.Asking || s.State == "enrolling") && alive(s.PID)
}

func alive(pid int) bool {
	if pid <= 0 {
		return false
	}
	err := unix.Kill(pid, 0)
	return err == nil || errors.Is(err, unix.EPERM)
}

// problems lists what is wrong with the agent, where the certificate with this
// fingerprint is installed, "" for none.
func (s *agentStatus) problems(installed string) (list []string) {
	if s.err != nil {
		list = append(list, s.err.Error())
	}
	if installed != "" && s.Fingerprint != "" && s.Fingerprint != installed {
		list = append(list, fmt.Sprintf("the agent serves another certificate (SHA-256 %s) than the installed one; reload it", s.Fingerprint))
	}
	if s.Problem != "" {
		list = append(list, "the agent says: "+s.Problem)
	}
	return list
}
