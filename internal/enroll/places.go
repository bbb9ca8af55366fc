package enroll

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/linux-patch/enroll/internal/config"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/statedir"
)

// TrustConfig refuses a config.yaml that somebody else may write, or could
// replace: its paths say which files this process changes, and its URL whom it
// believes.
func (e *Enroller) TrustConfig(file hostfs.File) error {
	err := e.Files.CheckAbove(file.Path)
	if err == nil {
		err = e.Files.Foreign(file)
	}
	if err == nil || diskTrouble(err) {
		return err
	}
	return (&contract.Error{Code: contract.CodeConfig, Err: fmt.Errorf("%s is not used: %w", file.Path, err)}).
		WithHint("%s", contract.HintOf(err))
}

// diskTrouble reports whether an error is the disk's, not a refusal.
func diskTrouble(err error) bool {
	var failed *fs.PathError
	return errors.As(err, &failed)
}

// Locate finds the real place of a file, and says in warnings through which
// links of root's it leads.
func (e *Enroller) Locate(path string) (string, []string, error) {
	place, links, err := e.Files.Resolve(path)
	return place, told(links), err
}

// LocateDir is Locate for a directory.
func (e *Enroller) LocateDir(path string) (string, []string, error) {
	place, links, err := e.Files.ResolveDir(path)
	return place, told(links), err
}

// told names each link that was followed.
func told(links []hostfs.Link) []string {
	var warnings []string
	for _, l := range links {
		warnings = append(warnings, fmt.Sprintf("%s is a symbolic link to %s and was followed", l.Path, l.Target))
	}
	return warnings
}

// LocateAll finds the real places of the agent's files.
func (e *Enroller) LocateAll(p config.Paths) (config.Paths, []string, error) {
	var warnings []string
	for _, path := range []*string{&p.CACert, &p.ServerCert, &p.ServerKey, &p.CRL, &p.Whitelist} {
		place, more, err := e.Locate(*path)
		if err != nil {
			return p, nil, err
		}
		*path, warnings = place, append(warnings, more...)
	}
	// The log is not needed for a run: whatever is wrong with it, a warning says
	// when it is written.
	if place, more, err := e.Locate(p.AuditLog); err == nil {
		p.AuditLog, warnings = place, append(warnings, more...)
	}
	return p, warnings, nil
}

// settlePlaces finds config.yaml and the state directory.
func (e *Enroller) settlePlaces(s *settings) error {
	place, warnings, err := e.Locate(string(s.ConfigPath))
	if err != nil {
		return err
	}
	s.ConfigPath = Path(place)
	dir, more, err := e.LocateDir(string(s.StateDir))
	if err != nil {
		return err
	}
	s.StateDir, s.state = Path(dir), statedir.PathsIn(dir)
	s.warnings = append(append(s.warnings, warnings...), more...)
	return nil
}

// settlePaths refuses a path that differs from what an existing config.yaml
// tells the agent: the agent would not find the file there.
func (e *Enroller) settlePaths(s *settings) error {
	paths, warnings, err := e.LocateAll(s.config.Paths())
	if err != nil {
		return err
	}
	s.auditLog = paths.AuditLog
	for _, p := range []struct {
		option string
		given  Path
		config string
		to     *string
	}{
		{"ca_cert_path", s.CACertPath, paths.CACert, &s.caCert},
		{"server_cert_path", s.ServerCertPath, paths.ServerCert, &s.serverCert},
		{"server_key_path", s.ServerKeyPath, paths.ServerKey, &s.serverKey},
		{"crl_path", s.CRLPath, paths.CRL, &s.crl},
		{"whitelist_path", s.WhitelistPath, paths.Whitelist, &s.whitelist},
	} {
		*p.to = p.config
		if p.given == "" {
			continue
		}
		place, more, err := e.Locate(string(p.given))
		switch {
		case err != nil:
			return err
		case place == p.config:
			continue
		case s.configFile.Exists:
			return contract.Errorf(contract.CodeConfig,
				"%s is %s, but %s tells the daemon %s: the daemon would not find the file",
				p.option, p.given, s.ConfigPath, p.config)
		}
		*p.to, warnings = place, append(warnings, more...)
	}
	s.warnings = append(s.warnings, warnings...)
	return s.distinctPaths()
}
