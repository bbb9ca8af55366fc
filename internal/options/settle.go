package options

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"github.com/linux-patch/enroll/internal/config"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/managerclient"
)

// Settle reads config.yaml and makes the settings of a run.
func (h Host) Settle(p Params) (*Settings, error) {
	s := &Settings{Params: p, UID: -1, GID: -1}
	if err := h.settlePlaces(s); err != nil {
		return nil, err
	}
	file, cfg, err := h.ReadConfig(string(s.ConfigPath))
	if err != nil {
		return nil, err
	}
	if err := h.TrustConfig(file); err != nil {
		if !p.Report {
			return nil, err
		}
		s.Distrust = err
	}
	s.ConfigFile, s.Config = file, cfg
	s.Warnings = append(s.Warnings, emptyWarning(file)...)
	if err := h.settlePaths(s); err != nil {
		return nil, err
	}
	if err := s.settleManager(); err != nil {
		return nil, err
	}
	if err := s.settleModes(); err != nil {
		return nil, err
	}
	if err := h.settleOwner(s); err != nil {
		return nil, err
	}
	s.settleWaiting()
	return s, nil
}

// ReadConfig reads and parses a config.yaml, which may be missing.
func (h Host) ReadConfig(path string) (hostfs.File, *config.Config, error) {
	file, err := h.Files.Read(path)
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
// full disk has cut it off, more often than that someone meant all defaults.
func emptyWarning(file hostfs.File) []string {
	if !file.Exists || len(bytes.TrimSpace(file.Content)) > 0 {
		return nil
	}
	return []string{file.Path + " is empty: all defaults are used"}
}

func (s *Settings) settleManager() error {
	inConfig := string(s.ConfigPath) + ": enrollment."
	option := s.ManagerURL
	if s.ManagerURL = cmp.Or(option, s.Config.Enrollment.Manager()); s.ManagerURL != "" {
		u, err := managerclient.ParseURL(s.ManagerURL)
		if err != nil && option == "" {
			return contract.Errorf(contract.CodeOf(err), "%s%w%s", inConfig, err, s.Config.Got("enrollment.manager_url", s.ManagerURL))
		}
		if err != nil {
			return err
		}
		s.URL = u
	}
	if s.ManagerIP != "" {
		ip, err := netip.ParseAddr(s.ManagerIP)
		if err != nil || ip.Zone() != "" {
			return contract.Errorf(contract.CodeInvalidArgument, "manager_ip is not an IP address without a zone: %q", s.ManagerIP)
		}
		s.ManagerAddr = ip.Unmap()
	}
	if s.ReportIP == "" && s.ReportInterface == "" {
		s.ReportIP, s.ReportInterface, s.ReportedIn = s.Config.Enrollment.ReportIP, s.Config.Enrollment.ReportInterface, inConfig
	}
	if s.Insecure {
		s.Warnings = append(s.Warnings,
			"insecure is set: the manager's HTTPS certificate is not verified, and anyone who intercepts the connection can give this host keys of their own; set manager_ca_fingerprint instead")
	}
	if s.URL != nil && s.URL.Scheme == "http" {
		s.Warnings = append(s.Warnings,
			"manager_url is http: any user of this machine who holds that port when the manager does not can answer in its place and give this host keys of their own; use https")
	}
	return nil
}

func (s *Settings) settleModes() error {
	s.CertFileMode, s.KeyFileMode = DefaultCertMode, DefaultKeyMode
	if s.CertMode != nil {
		s.CertFileMode = s.CertMode.Perm()
	}
	if s.KeyMode != nil {
		s.KeyFileMode = s.KeyMode.Perm()
	}
	if err := checkKeyMode(s.KeyFileMode); err != nil {
		return err
	}
	return checkCertMode(s.CertFileMode)
}

func checkKeyMode(mode fs.FileMode) error {
	switch {
	case mode&0o007 != 0:
		return contract.Errorf(contract.CodeInvalidArgument, "key_mode %04o gives everyone access to the private key", mode)
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
func (h Host) settleOwner(s *Settings) error {
	var err error
	if s.Owner != "" {
		if s.UID, err = h.Accounts.UID(s.Owner); err != nil {
			return contract.Errorf(contract.CodeInvalidArgument, "owner %q: %w", s.Owner, err)
		}
	}
	if s.Group != "" {
		if s.GID, err = h.Accounts.GID(s.Group); err != nil {
			return contract.Errorf(contract.CodeInvalidArgument, "group %q: %w", s.Group, err)
		}
	}
	if err := h.Accounts.MayGive(s.UID, s.GID); err != nil {
		return contract.Errorf(contract.CodeFilesystem, "owner and group: %w", err).
			WithHint("run with become, or leave owner and group out")
	}
	return nil
}

func (s *Settings) settleWaiting() {
	c := s.Config.Enrollment
	given, where := s.PollingIntervalSeconds, ""
	if given == nil {
		given, where = c.PollingIntervalSeconds, " in "+string(s.ConfigPath)
	}
	s.Interval = PollingInterval(given)
	if seconds := int(s.Interval / time.Second); given != nil && *given != seconds {
		s.Warnings = append(s.Warnings, fmt.Sprintf("polling_interval_seconds %d%s is outside of %d to %d: polling every %d s",
			*given, where, MinInterval/time.Second, MaxInterval/time.Second, seconds))
	}
	if given := cmp.Or(s.MaxPollAttempts, c.MaxPollAttempts); given != nil {
		if s.MaxAttempts = max(*given, 0); *given < 0 {
			s.Warnings = append(s.Warnings, fmt.Sprintf("max_poll_attempts %d in %s is below 0: there is no limit", *given, s.ConfigPath))
		}
	}
	s.RenewWithin = s.renewBefore(c.CertRenewalThresholdDays)
}

// PollingInterval brings a number of seconds, nil for the default, into its bounds.
func PollingInterval(seconds *int) time.Duration {
	if seconds == nil {
		return DefaultInterval
	}
	// A number that overflows a Duration is far out of bounds too.
	n := min(max(*seconds, int(MinInterval/time.Second)), int(MaxInterval/time.Second))
	return time.Duration(n) * time.Second
}

// renewBefore is the option, then config.yaml's days, then the default.
func (s *Settings) renewBefore(days *int) time.Duration {
	switch {
	case s.RenewBefore != nil:
		return time.Duration(*s.RenewBefore)
	case days != nil && *days >= 0 && *days <= 36500:
		return time.Duration(*days) * 24 * time.Hour
	case days != nil:
		s.Warnings = append(s.Warnings, fmt.Sprintf("cert_renewal_threshold_days %d in %s is outside of 0 to 36500: renewing %d days before the end",
			*days, s.ConfigPath, DefaultRenewBefore/(24*time.Hour)))
	}
	return DefaultRenewBefore
}
