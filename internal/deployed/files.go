package deployed

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Config is what the deployed agent takes from config.yaml. It knows more keys,
// accepts any others, and needs Server and Jobs.
type Config struct {
	Server *struct {
		Bind *string `yaml:"bind"`
		Port *uint16 `yaml:"port"`
	} `yaml:"server"`
	Jobs *struct {
		MaxConcurrent  *uint `yaml:"max_concurrent"`
		TimeoutMinutes *uint `yaml:"timeout_minutes"`
	} `yaml:"jobs"`
	TLS struct {
		Enabled    bool   `yaml:"enabled"`
		Port       uint16 `yaml:"port"`
		CACert     string `yaml:"ca_cert"`
		ServerCert string `yaml:"server_cert"`
		ServerKey  string `yaml:"server_key"`
		CRLPath    string `yaml:"crl_path"`
	} `yaml:"tls"`
	Whitelist struct {
		Path string `yaml:"path"`
	} `yaml:"whitelist"`
	RateLimit map[string]any `yaml:"rate_limit"`
	Cache     struct {
		StaleThresholdSecs uint `yaml:"stale_threshold_secs"`
	} `yaml:"cache"`
	Logging struct {
		FilePath string `yaml:"file_path"`
		Level    string `yaml:"level"`
	} `yaml:"logging"`
	Enrollment struct {
		ManagerURL               string `yaml:"manager_url"`
		PollingToken             string `yaml:"polling_token"`
		PollingIntervalSeconds   uint   `yaml:"polling_interval_seconds"`
		MaxPollAttempts          uint   `yaml:"max_poll_attempts"`
		ReportInterface          string `yaml:"report_interface"`
		ReportIP                 string `yaml:"report_ip"`
		CertRenewalThresholdDays uint   `yaml:"cert_renewal_threshold_days"`
	} `yaml:"enrollment"`
}

// ParseConfig reads a config.yaml. An error says why the deployed agent does not
// start with it.
func ParseConfig(text []byte) (*Config, error) {
	var c Config
	if err := yaml.Unmarshal(text, &c); err != nil {
		return nil, err
	}
	for name, present := range map[string]bool{
		"server": c.Server != nil, "jobs": c.Jobs != nil,
		"bind": c.Server == nil || c.Server.Bind != nil, "port": c.Server == nil || c.Server.Port != nil,
		"max_concurrent":  c.Jobs == nil || c.Jobs.MaxConcurrent != nil,
		"timeout_minutes": c.Jobs == nil || c.Jobs.TimeoutMinutes != nil,
	} {
		if !present {
			return nil, fmt.Errorf("missing field `%s`", name)
		}
	}
	return &c, nil
}

// Whitelist is who may connect to the deployed agent.
type Whitelist struct {
	networks []netip.Prefix
	// Names are entries that it resolves.
	Names []string
	// Ignored are entries that let no one in.
	Ignored []string
}

// ParseWhitelist reads a whitelist.yaml. After an error the deployed agent lets
// no one in.
func ParseWhitelist(text []byte) (*Whitelist, error) {
	var file struct {
		Entries *[]string `yaml:"entries"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	if file.Entries == nil {
		return nil, errors.New("missing field `entries`")
	}
	w := &Whitelist{}
	for _, entry := range *file.Entries {
		if err := w.add(entry); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *Whitelist) add(entry string) error {
	if strings.Contains(entry, "/") {
		network, err := netip.ParsePrefix(entry)
		if err != nil || !network.Addr().Is4() {
			return fmt.Errorf("invalid CIDR: %s", entry)
		}
		w.networks = append(w.networks, network)
		return nil
	}
	addr, err := netip.ParseAddr(entry)
	switch {
	case err != nil:
		w.Names = append(w.Names, entry)
	case addr.Is4():
		w.networks = append(w.networks, netip.PrefixFrom(addr, 32))
	default:
		w.Ignored = append(w.Ignored, entry)
	}
	return nil
}

// Allows reports whether an address may connect, names aside.
func (w *Whitelist) Allows(addr netip.Addr) bool {
	return slices.ContainsFunc(w.networks, func(network netip.Prefix) bool { return network.Contains(addr) })
}
