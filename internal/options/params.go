// Package options turns what was asked for into what a run goes by: decoded
// options, with config.yaml's values and all defaults filled in, every path
// located and every owner resolved.
//
// What it promises: what Settle refuses is refused before anything is written
// or asked for; settings do not change once they are made. What it does not:
// it decodes no arguments and checks no relation between options, which is the
// work of the package ansible.
package options

import (
	"io/fs"
	"time"
)

// Path is a file name as an option gives it; `~` and `$VAR` are expanded while
// arguments are decoded.
type Path string

// Span is a time span as an option gives it: a number of seconds, or a number
// with one of the units s, m, h, d, w.
type Span time.Duration

// Params are the options of one run, decoded and with their defaults. The
// `arg` tag is the option's public name; a nil pointer or an empty string
// means that the option was not given. See docs/SPEC.md for what each does.
type Params struct {
	State      string `arg:"state" validate:"oneof=registered enrolled absent"`
	ManagerURL string `arg:"manager_url"`
	ConfigPath Path   `arg:"config_path" validate:"abspath"`

	CACertPath     Path `arg:"ca_cert_path" validate:"omitempty,abspath"`
	ServerCertPath Path `arg:"server_cert_path" validate:"omitempty,abspath"`
	ServerKeyPath  Path `arg:"server_key_path" validate:"omitempty,abspath"`
	CRLPath        Path `arg:"crl_path" validate:"omitempty,abspath"`
	WhitelistPath  Path `arg:"whitelist_path" validate:"omitempty,abspath"`
	StateDir       Path `arg:"state_dir" validate:"abspath"`

	Wait                   bool `arg:"wait"`
	WaitTimeout            Span `arg:"wait_timeout" validate:"gte=0"`
	PollingIntervalSeconds *int `arg:"polling_interval_seconds"`
	MaxPollAttempts        *int `arg:"max_poll_attempts" validate:"omitempty,gte=0"`

	ManagerCAPath        Path   `arg:"manager_ca_path" validate:"omitempty,abspath"`
	ManagerCAPEM         string `arg:"manager_ca_pem"`
	ManagerCAFingerprint string `arg:"manager_ca_fingerprint" validate:"omitempty,fingerprint"`
	BundleCAFingerprint  string `arg:"bundle_ca_fingerprint" validate:"omitempty,fingerprint"`
	AllowCAChange        bool   `arg:"allow_ca_change"`
	BundlePath           Path   `arg:"bundle_path" validate:"omitempty,abspath"`
	Insecure             bool   `arg:"insecure"`

	FQDN            string `arg:"fqdn" validate:"omitempty,host"`
	ReportIP        string `arg:"report_ip" validate:"omitempty,ip"`
	ReportInterface string `arg:"report_interface"`
	ManagerIP       string `arg:"manager_ip" validate:"omitempty,ip"`
	ProxyURL        string `arg:"proxy_url"`

	WhitelistManager bool `arg:"whitelist_manager"`
	ConfigManagerURL bool `arg:"config_manager_url"`

	RepoConfigManage   bool   `arg:"repo_config_manage"`
	RepoKeyFingerprint string `arg:"repo_key_fingerprint" validate:"omitempty,openpgp"`
	RepoDirectory      Path   `arg:"repo_directory" validate:"abspath"`

	Owner         string       `arg:"owner"`
	Group         string       `arg:"group"`
	CertMode      *fs.FileMode `arg:"cert_mode"`
	KeyMode       *fs.FileMode `arg:"key_mode"`
	Backup        bool         `arg:"backup"`
	TakeOwnership bool         `arg:"take_ownership"`

	Force          bool   `arg:"force"`
	RenewBefore    *Span  `arg:"renew_before" validate:"omitempty,gte=0"`
	StrictIdentity bool   `arg:"strict_identity"`
	TokenStorage   string `arg:"token_storage" validate:"oneof=config state_dir"`
	LockTimeout    Span   `arg:"lock_timeout" validate:"gte=0"`

	// Bundle is a bundle that came with the arguments, on standard input: a
	// re-issued set, which is to stand in no file but its own.
	Bundle []byte
	// Check is Ansible's check mode: everything up to apply, and no request.
	Check bool
	// KeepOwners accepts files that belong to the user whom a playbook gave as
	// owner: nobody tells the agent of that option.
	KeepOwners bool
	// Report looks at everything and uses nothing, so that what would be refused
	// can be reported.
	Report bool
}

// InfoParams are the options of enrollment_info.
type InfoParams struct {
	ConfigPath     Path  `arg:"config_path" validate:"abspath"`
	CACertPath     Path  `arg:"ca_cert_path" validate:"omitempty,abspath"`
	ServerCertPath Path  `arg:"server_cert_path" validate:"omitempty,abspath"`
	ServerKeyPath  Path  `arg:"server_key_path" validate:"omitempty,abspath"`
	CRLPath        Path  `arg:"crl_path" validate:"omitempty,abspath"`
	WhitelistPath  Path  `arg:"whitelist_path" validate:"omitempty,abspath"`
	StateDir       Path  `arg:"state_dir" validate:"abspath"`
	StatusPath     Path  `arg:"status_path" validate:"abspath"`
	RenewBefore    *Span `arg:"renew_before" validate:"omitempty,gte=0"`

	// What enrollment was told of the manager and the files, so that it is no
	// problem here.
	ManagerURL          string       `arg:"manager_url"`
	BundleCAFingerprint string       `arg:"bundle_ca_fingerprint" validate:"omitempty,fingerprint"`
	ManagerIP           string       `arg:"manager_ip" validate:"omitempty,ip"`
	WhitelistManager    bool         `arg:"whitelist_manager"`
	Owner               string       `arg:"owner"`
	Group               string       `arg:"group"`
	CertMode            *fs.FileMode `arg:"cert_mode"`
	KeyMode             *fs.FileMode `arg:"key_mode"`
}
