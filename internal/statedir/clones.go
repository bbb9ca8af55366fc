package statedir

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/linux-patch/enroll/internal/plan"
)

func (c *clones) add(machineID, path string) {
	if c.machineID == "" {
		c.machineID = machineID
	}
	c.files = append(c.files, path)
}

// warning says whose state was found; none where it is this host's.
func (c clones) warning() []string {
	if len(c.files) == 0 {
		return nil
	}
	var names []string
	for _, p := range c.files {
		names = append(names, filepath.Base(p))
	}
	return []string{fmt.Sprintf("machine-id changed: %s of another host (machine-id %s) stood in the state directory and is not used, since this host is a copy of that one",
		strings.Join(names, ", "), c.machineID)}
}

// Cloned reports whether files of another host are to be set aside.
func (s *Store) Cloned() bool { return len(s.clones.files) > 0 }

// CloneWarning says whose state was found; none where it is this host's.
func (s *Store) CloneWarning() []string { return s.clones.warning() }

// Theirs reports whether token is that of the host that this one was copied
// from.
func (s *Store) Theirs(token string) bool { return token == s.clones.token }

// ClonedSet reports whether the installed set is that of another host, by the
// record that came with it.
func (s *Store) ClonedSet() bool { return s.MachineID != "" && s.of(s.provenance.MachineID) }

// SetClonesAside moves what belongs to another host out of the way. It stays
// readable until the next one comes: an administrator may have to find out
// which request was copied.
func (s *Store) SetClonesAside() error {
	return plan.Step{Do: func() error {
		for _, path := range s.clones.files {
			if err := s.Files.Rename(path, s.Paths.aside(path)); err != nil {
				return err
			}
		}
		s.clones.files = nil
		return nil
	}}.Perform(s.Check)
}

// tellClonesApart takes out of s what belongs to a host with another
// machine-id. Records without one are of this host.
func (s *Store) tellClonesApart() {
	if s.MachineID == "" {
		// A request fails by it, with a message; what is installed goes on.
		return
	}
	if t, err := s.readToken(s.Paths.aside(s.Paths.Token)); err == nil && t != nil {
		s.clones.token = t.Token
	}
	theirs := s.of(s.provenance.RequestMachineID)
	if t := s.token; t != nil && s.of(t.MachineID) {
		theirs = theirs || s.provenance.RequestMachineID == ""
		s.clones.token = t.Token
	}
	if t := s.newToken; t != nil && s.of(t.MachineID) {
		s.newToken = nil
		s.clones.add(t.MachineID, s.Paths.Request)
	}
	if theirs && s.requestAt != nil {
		s.requestAt = nil
		s.clones.add(s.provenance.RequestMachineID, s.Paths.Request)
	}
	if theirs && (s.spool != nil || s.pollAt != nil) {
		s.spool, s.pollAt = nil, nil
		s.clones.add(s.provenance.RequestMachineID, s.Paths.Spool)
	}
	// Its proof goes with the request that it was made for.
	if proof, err := s.Files.Stat(s.Paths.Proof); err == nil && proof.Exists && (theirs || s.token != nil && s.of(s.token.MachineID)) {
		s.clones.add(s.provenance.RequestMachineID, s.Paths.Proof)
	}
	// The token goes last: it may be all that tells whose the rest is.
	if t := s.token; t != nil && s.of(t.MachineID) {
		s.token = nil
		s.clones.add(t.MachineID, s.Paths.Token)
	}
}

// of reports whether id is another host's.
func (s *Store) of(id string) bool { return id != "" && id != s.MachineID }
