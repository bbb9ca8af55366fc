package statedir

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"time"
)

// Provenance is what enrollment put on this host, so that it can be removed
// and so that a converged run needs no connection to know the manager.
type Provenance struct {
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
	Files []Placed `json:"files,omitempty"`
	// WhitelistPath and WhitelistEntries are the entries that enrollment added.
	WhitelistPath    string   `json:"whitelist_path,omitempty"`
	WhitelistEntries []string `json:"whitelist_entries,omitempty"`
	// ConfigPath and ConfigManagerURL are the enrollment.manager_url that was
	// written to a config.yaml which had none.
	ConfigPath       string `json:"config_path,omitempty"`
	ConfigManagerURL string `json:"config_manager_url,omitempty"`
	// Removed is when the enrollment was removed; a daemon then does not
	// enroll again by itself.
	Removed *time.Time `json:"removed,omitempty"`
}

// Placed is one file that enrollment wrote.
type Placed struct {
	Path string `json:"path"`
	// SHA256 lists the contents that are ours: the last one, and while a new
	// set is being put in place the one before it too.
	SHA256 []string `json:"sha256"`
}

// Owns reports whether enrollment wrote this content to this path.
func (p Provenance) Owns(path string, digest string) bool {
	return slices.ContainsFunc(p.Files, func(f Placed) bool {
		return f.Path == path && slices.Contains(f.SHA256, digest)
	})
}

// Knows reports whether enrollment put a set in place, by its CA or by the
// certificate itself.
func (p Provenance) Knows(ca string, cert string, digest string) bool {
	return p.CAFingerprint != "" && p.CAFingerprint == ca || p.Owns(cert, digest)
}

// relocate makes the paths the real ones: a directory that has become a link of
// root's since is the same place.
func (p *Provenance) relocate(place func(string) string) {
	p.Files = slices.Clone(p.Files)
	for i := range p.Files {
		p.Files[i].Path = place(p.Files[i].Path)
	}
	p.WhitelistPath = place(p.WhitelistPath)
}

// EnrolledAt notes the manager; an empty url is that of before, and an ip that is
// not valid is not known. The address of another manager says nothing.
func (p *Provenance) EnrolledAt(url string, ip netip.Addr) {
	if url != "" && url != p.ManagerURL {
		p.ManagerURL, p.ManagerIP = url, ""
	}
	if ip.IsValid() {
		p.ManagerIP = ip.String()
	}
}

// Place adds a content that is about to be written.
func (p *Provenance) Place(path, digest string) {
	p.Files = slices.Clone(p.Files)
	for i, f := range p.Files {
		if f.Path == path {
			if !slices.Contains(f.SHA256, digest) {
				p.Files[i].SHA256 = append(slices.Clone(f.SHA256), digest)
			}
			return
		}
	}
	p.Files = append(p.Files, Placed{Path: path, SHA256: []string{digest}})
}

// ForgetOlder forgets older contents of one file.
func (p *Provenance) ForgetOlder(path, digest string) {
	p.Files = slices.Clone(p.Files)
	for i, f := range p.Files {
		if f.Path == path {
			p.Files[i].SHA256 = []string{digest}
		}
	}
}

// Installed forgets older contents once the new set stands. current is the
// digest of each file of the set, empty where there is none; what is not among
// ours is someone else's by now. A file elsewhere, of an older config.yaml, is
// ours until it is gone.
func (p *Provenance) Installed(current map[string]string, gone func(path string) bool) {
	p.Files = slices.DeleteFunc(slices.Clone(p.Files), func(f Placed) bool {
		if now, ok := current[f.Path]; ok {
			return now == "" || !slices.Contains(f.SHA256, now)
		}
		return gone(f.Path)
	})
	for i, f := range p.Files {
		if now, ok := current[f.Path]; ok {
			p.Files[i].SHA256 = []string{now}
		}
	}
}

// AddWhitelistEntry notes an entry that is about to be added. Those that were
// added to another file say nothing of the entries of this one.
func (p *Provenance) AddWhitelistEntry(path, entry string) {
	if p.WhitelistPath != path {
		p.WhitelistPath, p.WhitelistEntries = path, nil
	}
	if !slices.Contains(p.WhitelistEntries, entry) {
		p.WhitelistEntries = append(slices.Clone(p.WhitelistEntries), entry)
	}
}

// DropWhitelistEntry forgets an entry that is not enrollment's.
func (p *Provenance) DropWhitelistEntry(entry string) {
	p.WhitelistEntries = slices.DeleteFunc(slices.Clone(p.WhitelistEntries), func(e string) bool { return e == entry })
}

// Digest is how provenance names a content.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
