package enroll

import (
	"fmt"
	"path/filepath"
	"strings"
)

// cloned is what stands in the state directory and belongs to a host with
// another machine-id: this host was made from an image of that one while its
// request was pending. Its token would fetch that host's key.
type cloned struct {
	// machineID is that host's; empty where nothing is cloned.
	machineID string
	// files are to be set aside.
	files []string
	// token is that host's, which config.yaml may hold too.
	token string
}

// clonedPrefix begins the names of files that were set aside. They hold a
// token, so that a removal takes them too.
const clonedPrefix = "cloned."

func (s statePaths) aside(path string) string {
	return filepath.Join(s.dir, clonedPrefix+filepath.Base(path))
}

// tellClonesApart takes out of o what belongs to a host with another
// machine-id. Records without one are of this host.
func (e *Enroller) tellClonesApart(s *settings, o *observed) error {
	id, err := e.Identity.MachineID()
	if err != nil {
		// A request fails by it, with a message; what is installed goes on.
		return nil
	}
	o.machineID = id
	if t, err := e.readToken(s.state.aside(s.state.token)); err == nil && t != nil {
		o.cloned.token = t.Token
	}
	theirs := o.of(o.provenance.RequestMachineID)
	if t := o.token; t != nil && o.of(t.MachineID) {
		theirs = theirs || o.provenance.RequestMachineID == ""
		o.cloned.token = t.Token
	}
	if t := o.newToken; t != nil && o.of(t.MachineID) {
		o.newToken = nil
		o.cloned.add(t.MachineID, s.state.request)
	}
	if theirs && o.requestAt != nil {
		o.requestAt = nil
		o.cloned.add(o.provenance.RequestMachineID, s.state.request)
	}
	if theirs && (o.spool != nil || o.pollAt != nil) {
		o.spool, o.pollAt = nil, nil
		o.cloned.add(o.provenance.RequestMachineID, s.state.spool)
	}
	// Its proof goes with the request that it was made for.
	if proof, err := e.Files.Stat(s.state.proof); err == nil && proof.Exists && (theirs || o.token != nil && o.of(o.token.MachineID)) {
		o.cloned.add(o.provenance.RequestMachineID, s.state.proof)
	}
	// The token goes last: it may be all that tells whose the rest is.
	if t := o.token; t != nil && o.of(t.MachineID) {
		o.token = nil
		o.cloned.add(t.MachineID, s.state.token)
	}
	if o.configToken == o.cloned.token {
		o.configToken = ""
	}
	return nil
}

// of reports whether id is another host's.
func (o *observed) of(id string) bool { return id != "" && id != o.machineID }

func (c *cloned) add(machineID, path string) {
	if c.machineID == "" {
		c.machineID = machineID
	}
	c.files = append(c.files, path)
}

// warning says whose state was found; empty where it is this host's.
func (c cloned) warning() string {
	if len(c.files) == 0 {
		return ""
	}
	return fmt.Sprintf("machine-id changed: %s of another host (machine-id %s) stood in the state directory and is not used, since this host is a copy of that one",
		strings.Join(names(c.files), ", "), c.machineID)
}

func names(paths []string) []string {
	var out []string
	for _, p := range paths {
		out = append(out, filepath.Base(p))
	}
	return out
}

// setClonesAside moves what belongs to another host out of the way. It stays
// readable until the next one comes: an administrator may have to find out
// which request was copied.
func (r *run) setClonesAside() error {
	r.res.warn(nonEmpty(r.o.cloned.warning())...)
	if r.Check || len(r.o.cloned.files) == 0 {
		return nil
	}
	for _, path := range r.o.cloned.files {
		if err := r.Files.Rename(path, r.settings.state.aside(path)); err != nil {
			return err
		}
	}
	r.o.cloned.files = nil
	return nil
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// sign notes, before a request goes out, which host makes it: the marks of a
// request that is not answered yet do not say so themselves.
func (r *run) sign() error {
	return r.remember(func(p *provenance) { p.RequestMachineID = r.o.machineID })
}

// clonedSet reports whether the installed set is that of another host, by the
// record that came with it.
func (o *observed) clonedSet() bool { return o.machineID != "" && o.of(o.provenance.MachineID) }
