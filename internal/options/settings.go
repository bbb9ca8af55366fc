package options

import (
	"io/fs"
	"net/netip"
	"net/url"
	"path/filepath"
	"time"

	"github.com/linux-patch/enroll/internal/config"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
)

// Settings are Params with config.yaml's values and all defaults filled in.
// Nothing changes them once they are made.
type Settings struct {
	Params
	URL         *url.URL // nil where none is known
	ManagerAddr netip.Addr
	ConfigFile  hostfs.File
	Config      *config.Config
	CACert      string
	ServerCert  string
	ServerKey   string
	CRL         string
	Whitelist   string
	AuditLog    string
	Interval    time.Duration
	MaxAttempts int
	// RenewWithin is how long before its end a certificate is renewed.
	RenewWithin  time.Duration
	UID, GID     int // -1 where the existing owner stays
	CertFileMode fs.FileMode
	KeyFileMode  fs.FileMode
	Warnings     []string
	// ReportedIn names config.yaml where the address to report is from there.
	ReportedIn string
	// Distrust is why a report's config.yaml would be refused; nil where not.
	Distrust error
}

// NeedURL is for the runs that may ask the manager.
func (s *Settings) NeedURL() error {
	if s.URL != nil {
		return nil
	}
	return contract.Errorf(contract.CodeInvalidArgument, "missing required arguments: manager_url").
		WithHint("set manager_url, or enrollment.manager_url in %s", s.ConfigPath)
}

// RepoPaths are the keyring and the sources, in the order in which they are put
// in place: sources without their keyring stop every apt-get update.
func (s *Settings) RepoPaths() (keyring, sources string) {
	const name = "linux-patch-enroll"
	dir := string(s.RepoDirectory)
	return filepath.Join(dir, "keyrings", name+".gpg"), filepath.Join(dir, "sources.list.d", name+".sources")
}

// ModeOf is the mode that a file of the set should have: the option's, else that
// of the existing file as far as it is safe, else the default.
func (s *Settings) ModeOf(f hostfs.File, isKey bool) fs.FileMode {
	option, otherwise := s.CertMode, s.CertFileMode
	if isKey {
		option, otherwise = s.KeyMode, s.KeyFileMode
	}
	now := f.Mode.Perm()
	switch {
	case option != nil || !f.Exists || now&0o400 == 0:
		return otherwise
	case isKey && now&0o007 != 0:
		return otherwise
	case isKey:
		return now &^ 0o030
	}
	return now &^ 0o022
}
