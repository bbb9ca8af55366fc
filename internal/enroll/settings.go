package enroll

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"time"

	"github.com/linux-patch/enroll/internal/config"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/statedir"
)

// settings are Params with config.yaml's values and all defaults filled in.
// Nothing changes them once they are made.
type settings struct {
	Params
	url         *url.URL // nil where none is known
	managerIP   netip.Addr
	configFile  hostfs.File
	config      *config.Config
	caCert      string
	serverCert  string
	serverKey   string
	crl         string
	whitelist   string
	auditLog    string
	state       statedir.Paths
	interval    time.Duration
	maxAttempts int
	renewBefore time.Duration
	uid, gid    int // -1 where the existing owner stays
	certMode    fs.FileMode
	keyMode     fs.FileMode
	warnings    []string
	// distrust is why a report's config.yaml would be refused; nil where not.
	distrust error
}

// settle reads config.yaml and makes the settings of a run.
func (e *Enroller) settle(p Params) (*settings, error) {
	s := &settings{Params: p, uid: -1, gid: -1}
	if err := e.settlePlaces(s); err != nil {
		return nil, err
	}
	file, cfg, err := e.readConfig(string(s.ConfigPath))
	if err != nil {
		return nil, err
	}
	if err := e.TrustConfig(file); err != nil {
		if !p.Report {
			return nil, err
		}
		s.distrust = err
	}
	s.configFile, s.config = file, cfg
	s.warnings = append(s.warnings, emptyWarning(file)...)
	if err := e.settlePaths(s); err != nil {
		return nil, err
	}
	if err := s.settleManager(); err != nil {
		return nil, err
	}
	if err := s.settleModes(); err != nil {
		return nil, err
	}
	if err := e.settleOwner(s); err != nil {
		return nil, err
	}
	s.settleWaiting()
	return s, nil
}

func (e *Enroller) readConfig(path string) (hostfs.File, *config.Config, error) {
	file, err := e.Files.Read(path)
	if err != nil {
		return file, nil, &contract.Error{Code: contract.CodeConfig, Err: err}
	}
	cfg, err := config.Parse(file.Content)
	if err != nil {
		return file, nil, contract.Errorf(contract.CodeConfig, "%s: %w", path, err)
	}
	return file, cfg, nil
}

// emptyWarning tells of a file that is there and says nothing: an editor or a
// full disk has cut it off, more often than that somebody meant all defaults.
func emptyWarning(file hostfs.File) []string {
	if !file.Exists || len(bytes.TrimSpace(file.Content)) > 0 {
		return nil
	}
	return []string{file.Path + " is empty: all defaults are used"}
}

func (s *settings) distinctPaths() error {
	seen := map[string]string{string(s.ConfigPath): "config_path"}
	for _, p := range []struct{ option, path string }{
		{"ca_cert_path", s.caCert}, {"server_cert_path", s.serverCert}, {"server_key_path", s.serverKey},
		{"crl_path", s.crl}, {"whitelist_path", s.whitelist},
	} {
		if other, taken := seen[p.path]; taken {
			return contract.Errorf(contract.CodeInvalidArgument, "%s and %s are the same file: %s", other, p.option, p.path)
		}
		seen[p.path] = p.option
	}
	return nil
}

func (s *settings) settleManager() error {
	if s.ManagerURL == "" && !config.Unfilled(s.config.Enrollment.ManagerURL) {
		s.ManagerURL = s.config.Enrollment.ManagerURL
	}
	if s.ManagerURL != "" {
		u, err := managerclient.ParseURL(s.ManagerURL)
		if err != nil {
			return err
		}
		s.url = u
	}
	if s.ManagerIP != "" {
		ip, err := netip.ParseAddr(s.ManagerIP)
		if err != nil || ip.Zone() != "" {
			return contract.Errorf(contract.CodeInvalidArgument, "manager_ip is not an IP address without a zone: %q", s.ManagerIP)
		}
		s.managerIP = ip.Unmap()
	}
	if s.ReportIP == "" {
		s.ReportIP = s.config.Enrollment.ReportIP
	}
	if s.ReportInterface == "" {
		s.ReportInterface = s.config.Enrollment.ReportInterface
	}
	if s.Insecure {
		s.warnings = append(s.warnings,
			"insecure is set: the manager's HTTPS certificate is not verified, and whoever answers in its place can give this host keys of their own; set manager_ca_fingerprint instead")
	}
	if s.url != nil && s.url.Scheme == "http" {
		s.warnings = append(s.warnings,
			"manager_url is http: any user of this machine who holds that port when the manager does not can answer in its place and give this host keys of their own; use https")
	}
	return nil
}

// needURL is for the runs that may ask the manager.
func (s *settings) needURL() error {
	if s.url != nil {
		return nil
	}
	return contract.Errorf(contract.CodeInvalidArgument, "missing required arguments: manager_url").
		WithHint("set manager_url, or enrollment.manager_url in %s", s.ConfigPath)
}

// modeOf is the mode that a file of the set shall have: the option's, else that
// of the existing file as far as it is safe, else the default.
func (s *settings) modeOf(f hostfs.File, isKey bool) fs.FileMode {
	option, otherwise := s.CertMode, s.certMode
	if isKey {
		option, otherwise = s.KeyMode, s.keyMode
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

func (s *settings) settleModes() error {
	s.certMode, s.keyMode = DefaultCertMode, DefaultKeyMode
	if s.CertMode != nil {
		s.certMode = s.CertMode.Perm()
	}
	if s.KeyMode != nil {
		s.keyMode = s.KeyMode.Perm()
	}
	if err := checkKeyMode(s.keyMode); err != nil {
		return err
	}
	return checkCertMode(s.certMode)
}

func checkKeyMode(mode fs.FileMode) error {
	switch {
	case mode&0o007 != 0:
		return contract.Errorf(contract.CodeInvalidArgument, "key_mode %04o lets everybody reach the private key", mode)
	case mode&0o400 == 0:
		return contract.Errorf(contract.CodeInvalidArgument, "key_mode %04o does not let the owner read the private key", mode)
	case mode&0o030 != 0:
		return contract.Errorf(contract.CodeInvalidArgument, "key_mode %04o lets the group write or execute the private key", mode)
	}
	return nil
}

func checkCertMode(mode fs.FileMode) error {
	switch {
	case mode&0o400 == 0:
		return contract.Errorf(contract.CodeInvalidArgument, "cert_mode %04o does not let the owner read the certificates", mode)
	case mode&0o022 != 0:
		return contract.Errorf(contract.CodeInvalidArgument, "cert_mode %04o lets others than the owner write the certificates", mode)
	}
	return nil
}

// settleOwner resolves owner and group, and refuses before any request those
// that this process cannot give.
func (e *Enroller) settleOwner(s *settings) error {
	var err error
	if s.Owner != "" {
		if s.uid, err = e.Accounts.UID(s.Owner); err != nil {
			return contract.Errorf(contract.CodeInvalidArgument, "owner %q: %w", s.Owner, err)
		}
	}
	if s.Group != "" {
		if s.gid, err = e.Accounts.GID(s.Group); err != nil {
			return contract.Errorf(contract.CodeInvalidArgument, "group %q: %w", s.Group, err)
		}
	}
	if err := e.Accounts.MayGive(s.uid, s.gid); err != nil {
		return contract.Errorf(contract.CodeFilesystem, "owner and group: %w", err).
			WithHint("run with become, or leave owner and group out")
	}
	return nil
}

func (s *settings) settleWaiting() {
	c := s.config.Enrollment
	s.interval = DefaultInterval
	if given := firstInt(s.PollingIntervalSeconds, c.PollingIntervalSeconds); given != nil {
		s.interval = time.Duration(*given) * time.Second
		clamped := min(max(s.interval, MinInterval), MaxInterval)
		// A number of seconds that overflows a Duration is far out of bounds too.
		if *given > int(MaxInterval/time.Second) {
			clamped = MaxInterval
		}
		if *given < 1 {
			clamped = MinInterval
		}
		if clamped != s.interval {
			s.interval = clamped
			s.warnings = append(s.warnings, fmt.Sprintf("polling_interval_seconds %d is outside of %d to %d: polling every %d s",
				*given, MinInterval/time.Second, MaxInterval/time.Second, clamped/time.Second))
		}
	}
	if given := firstInt(s.MaxPollAttempts, c.MaxPollAttempts); given != nil {
		s.maxAttempts = max(*given, 0)
	}
	s.renewBefore = renewBefore(s.RenewBefore, c.CertRenewalThresholdDays)
}

// renewBefore takes the option, then config.yaml's days, then the default.
func renewBefore(option *Span, days *int) time.Duration {
	switch {
	case option != nil:
		return time.Duration(*option)
	case days != nil && *days >= 0 && *days < 36500:
		return time.Duration(*days) * 24 * time.Hour
	default:
		return DefaultRenewBefore
	}
}

func firstInt(values ...*int) *int {
	for _, v := range values {
		if v != nil {
			return v
		}
	}
	return nil
}
