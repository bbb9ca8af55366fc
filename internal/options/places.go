package options

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/linux-patch/enroll/internal/config"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
)

// Host is where options are settled: its files and its accounts.
type Host struct {
	Files    *hostfs.Host
	Accounts Accounts
}

// TrustConfig refuses a config.yaml that someone else may write, or could
// replace: its paths say which files this process changes, and its URL whom it
// believes.
func (h Host) TrustConfig(file hostfs.File) error {
	err := h.Files.CheckAbove(file.Path)
	if err == nil {
		err = h.Files.Foreign(file)
	}
	if err == nil || diskTrouble(err) {
		return err
	}
	return (&contract.Error{Code: contract.CodeConfig, Err: fmt.Errorf("%s is not used: %w", file.Path, err)}).
		WithHint("%s", contract.HintOf(err))
}

// diskTrouble reports whether an error is the disk's, not a refusal.
func diskTrouble(err error) bool {
	return errors.As(err, new(*fs.PathError))
}

// Locate finds the real place of a file, and says in warnings through which
// links of root's it leads.
func (h Host) Locate(path string) (string, []string, error) {
	place, links, err := h.Files.Resolve(path)
	return place, told(links), err
}

// LocateDir is Locate for a directory.
func (h Host) LocateDir(path string) (string, []string, error) {
	place, links, err := h.Files.ResolveDir(path)
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

// LocateAll finds the real places of the agent's files; file is the config.yaml
// that names them.
func (h Host) LocateAll(file string, p config.Paths) (config.Paths, []string, error) {
	var warnings []string
	keys := []string{"tls.ca_cert", "tls.server_cert", "tls.server_key", "tls.crl_path", "whitelist.path"}
	for i, path := range []*string{&p.CACert, &p.ServerCert, &p.ServerKey, &p.CRL, &p.Whitelist} {
		place, more, err := h.Locate(*path)
		if err != nil {
			return p, nil, fmt.Errorf("%s: %s: %w", file, keys[i], err)
		}
		*path, warnings = place, append(warnings, more...)
	}
	// The log is not needed for a run: whatever is wrong with it, a warning says
	// when it is written.
	if place, more, err := h.Locate(p.AuditLog); err == nil {
		p.AuditLog, warnings = place, append(warnings, more...)
	}
	return p, warnings, nil
}

// settlePlaces finds config.yaml and the state directory.
func (h Host) settlePlaces(s *Settings) error {
	place, warnings, err := h.Locate(string(s.ConfigPath))
	if err != nil {
		return err
	}
	s.ConfigPath = Path(place)
	dir, more, err := h.LocateDir(string(s.StateDir))
	if err != nil {
		return err
	}
	s.StateDir = Path(dir)
	s.Warnings = append(append(s.Warnings, warnings...), more...)
	return nil
}

// settlePaths refuses a path that differs from what an existing config.yaml
// tells the agent: the agent would not find the file there.
func (h Host) settlePaths(s *Settings) error {
	h.Files = h.Files.AtOnce()
	paths, warnings, err := h.LocateAll(string(s.ConfigPath), s.Config.Paths())
	if err != nil {
		return err
	}
	s.AuditLog = paths.AuditLog
	for _, p := range []struct {
		option string
		given  Path
		config string
		to     *string
	}{
		{"ca_cert_path", s.CACertPath, paths.CACert, &s.CACert},
		{"server_cert_path", s.ServerCertPath, paths.ServerCert, &s.ServerCert},
		{"server_key_path", s.ServerKeyPath, paths.ServerKey, &s.ServerKey},
		{"crl_path", s.CRLPath, paths.CRL, &s.CRL},
		{"whitelist_path", s.WhitelistPath, paths.Whitelist, &s.Whitelist},
	} {
		*p.to = p.config
		if p.given == "" {
			continue
		}
		place, more, err := h.Locate(string(p.given))
		switch {
		case err != nil:
			return fmt.Errorf("%s: %w", p.option, err)
		case place == p.config:
			continue
		case s.ConfigFile.Exists:
			return contract.Errorf(contract.CodeConfig,
				"%s is %s, but %s tells the agent %s: the agent would not find the file",
				p.option, p.given, s.ConfigPath, p.config)
		}
		*p.to, warnings = place, append(warnings, more...)
	}
	s.Warnings = append(s.Warnings, warnings...)
	return s.distinctPaths()
}

func (s *Settings) distinctPaths() error {
	seen := map[string]string{string(s.ConfigPath): "config_path"}
	for _, p := range []struct{ option, path string }{
		{"ca_cert_path", s.CACert}, {"server_cert_path", s.ServerCert}, {"server_key_path", s.ServerKey},
		{"crl_path", s.CRL}, {"whitelist_path", s.Whitelist},
	} {
		if other, taken := seen[p.path]; taken {
			return contract.Errorf(contract.CodeInvalidArgument, "%s and %s are the same file: %s", other, p.option, p.path)
		}
		seen[p.path] = p.option
	}
	return nil
}
