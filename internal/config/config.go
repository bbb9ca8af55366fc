// Package config reads the agent's config.yaml, and sets or clears the one
// value in its text that enrollment keeps there, the polling token.
//
// It promises that an edit changes nothing but the bytes of that value, that
// ClearPollingToken takes back what SetPollingToken did, and that the token is
// in no error and in no printed form of a Config. It does no I/O; unknown keys
// are not its business, neither as errors nor in edits.
package config

import (
	"cmp"
	"fmt"

	"github.com/linux-patch/enroll/internal/contract"
)

// Config is what the file says: a zero value or nil is a key that it leaves
// out. Paths and Listen fill the defaults in. The key tag is a key's name in the
// file, the validate tag what Validate asks of its value.
type Config struct {
	Server     Server     `key:"server"`
	TLS        TLS        `key:"tls"`
	Whitelist  Whitelist  `key:"whitelist"`
	Logging    Logging    `key:"logging"`
	Enrollment Enrollment `key:"enrollment"`

	// lines says where in the file a key is, by its name ("server.port").
	lines map[string]int
}

// Server is where the agent listens.
type Server struct {
	// Bind are the addresses: in the file one, several with commas, or a list.
	Bind []string `key:"bind" validate:"omitempty,dive,ip"`
	Port int      `key:"port" validate:"omitempty,min=1,max=65535"`
}

// TLS is what the agent listens with.
type TLS struct {
	Enabled    *bool  `key:"enabled"`
	Port       int    `key:"port" validate:"omitempty,min=1,max=65535"`
	CACert     string `key:"ca_cert" validate:"omitempty,absolute"`
	ServerCert string `key:"server_cert" validate:"omitempty,absolute"`
	ServerKey  string `key:"server_key" validate:"omitempty,absolute"`
	CRLPath    string `key:"crl_path" validate:"omitempty,absolute"`
}

// Whitelist is where the whitelist is.
type Whitelist struct {
	Path string `key:"path" validate:"omitempty,absolute"`
}

// Logging is where the audit log goes, and how much.
type Logging struct {
	FilePath string `key:"file_path" validate:"omitempty,absolute"`
	Level    string `key:"level" validate:"omitempty,oneofci=trace debug info warn error"`
}

// Enrollment is how the host enrolls.
type Enrollment struct {
	ManagerURL string `key:"manager_url" validate:"omitempty,http_url"`
	// PollingToken is a secret. It is left out of JSON and YAML, and Format
	// hides it.
	PollingToken string `key:"polling_token" json:"-" yaml:"-"`
	// PollingIntervalSeconds has no rule here: its reader brings it into the
	// allowed range, with a warning.
	PollingIntervalSeconds   *int   `key:"polling_interval_seconds"`
	MaxPollAttempts          *int   `key:"max_poll_attempts" validate:"omitempty,min=0"`
	ReportInterface          string `key:"report_interface" validate:"omitempty,max=15,excludesall=/ "`
	ReportIP                 string `key:"report_ip" validate:"omitempty,ip"`
	CertRenewalThresholdDays *int   `key:"cert_renewal_threshold_days" validate:"omitempty,min=0,max=36500"`
}

// Paths are the agent's files.
type Paths struct {
	CACert, ServerCert, ServerKey, CRL, Whitelist, AuditLog string
}

// Paths returns the files that c names, and the contract's where it names none.
func (c *Config) Paths() Paths {
	return Paths{
		CACert:     cmp.Or(c.TLS.CACert, contract.DefaultCACertPath),
		ServerCert: cmp.Or(c.TLS.ServerCert, contract.DefaultServerCertPath),
		ServerKey:  cmp.Or(c.TLS.ServerKey, contract.DefaultServerKeyPath),
		CRL:        cmp.Or(c.TLS.CRLPath, contract.DefaultCRLPath),
		Whitelist:  cmp.Or(c.Whitelist.Path, contract.DefaultWhitelistPath),
		AuditLog:   cmp.Or(c.Logging.FilePath, contract.DefaultAuditLogPath),
	}
}

// Listen returns where the agent listens. tls.port, the port with mutual TLS,
// goes before server.port; deployed configs set both alike.
func (c *Config) Listen() (bind []string, port int) {
	if bind = c.Server.Bind; len(bind) == 0 {
		bind = []string{contract.DefaultBind}
	}
	return bind, cmp.Or(c.TLS.Port, c.Server.Port, contract.DefaultPort)
}

// Format prints c with the token hidden, whatever the verb.
func (c Config) Format(s fmt.State, verb rune) {
	// The conversion drops the methods of Config and keeps Enrollment's.
	type plain Config
	c.lines = nil
	_, _ = fmt.Fprintf(s, fmt.FormatString(s, verb), plain(c))
}

func (c Config) String() string { return fmt.Sprintf("%+v", c) }

// GoString hides the token from those who call it without fmt.
func (c Config) GoString() string { return fmt.Sprintf("%#v", c) }

// Format prints e with the token hidden, whatever the verb.
func (e Enrollment) Format(s fmt.State, verb rune) {
	type plain Enrollment
	if e.PollingToken != "" {
		e.PollingToken = "(hidden)"
	}
	_, _ = fmt.Fprintf(s, fmt.FormatString(s, verb), plain(e))
}

func (e Enrollment) String() string { return fmt.Sprintf("%+v", e) }

// GoString hides the token from those who call it without fmt.
func (e Enrollment) GoString() string { return fmt.Sprintf("%#v", e) }
