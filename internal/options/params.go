// Package options turns what was asked for into what a run goes by: decoded
// options, with config.yaml's values and all defaults filled in, every path
// located and every owner resolved.
//
// What it promises: what Settle refuses is refused before anything is written
// or asked for; settings do not change once they are made. What it does not:
// it decodes no arguments and checks no relation between options, which is the
// work of the package ansible.
package options

import "io/fs"

// Path is a file name as an option gives it; `~` and `$VAR` are expanded while
// arguments are decoded.
type Path string

// Params are the options of one run, decoded and with their defaults. A nil
// pointer or an empty string means that the option was not given. What is said
// of an option is in options.yaml, from which `make options` writes the
// documents. The tags:
//
//	arg       the option's public name
//	default   its default; none is the zero value
//	validate  the rule for its value; the choices are oneof
//	secret    the value appears in no output
//	trust     it names whom to trust, so that an empty value is refused
type Params struct {
	State      string `arg:"state" default:"enrolled" validate:"oneof=registered enrolled absent"`
	ManagerURL string `arg:"manager_url"`
	ConfigPath Path   `arg:"config_path" default:"/etc/linux_patch_api/config.yaml" validate:"abspath"`

	CACertPath     Path `arg:"ca_cert_path" validate:"omitempty,abspath"`
	ServerCertPath Path `arg:"server_cert_path" validate:"omitempty,abspath"`
	ServerKeyPath  Path `arg:"server_key_path" validate:"omitempty,abspath"`
	CRLPath        Path `arg:"crl_path" validate:"omitempty,abspath"`
	WhitelistPath  Path `arg:"whitelist_path" validate:"omitempty,abspath"`
	StateDir       Path `arg:"state_dir" default:"/var/lib/linux_patch_enroll" validate:"abspath"`

	Wait                   bool `arg:"wait" default:"true"`
	WaitTimeout            Span `arg:"wait_timeout" default:"0" validate:"gte=0"`
	PollingIntervalSeconds *int `arg:"polling_interval_seconds"`
	MaxPollAttempts        *int `arg:"max_poll_attempts" validate:"omitempty,gte=0"`

	ManagerCAPath        Path   `arg:"manager_ca_path" trust:"true" validate:"omitempty,abspath"`
	ManagerCAPEM         string `arg:"manager_ca_pem" secret:"true" trust:"true"`
	ManagerCAFingerprint string `arg:"manager_ca_fingerprint" trust:"true" validate:"omitempty,fingerprint"`
	BundleCAFingerprint  string `arg:"bundle_ca_fingerprint" trust:"true" validate:"omitempty,fingerprint"`
	AllowCAChange        bool   `arg:"allow_ca_change"`
	BundlePath           Path   `arg:"bundle_path" trust:"true" validate:"omitempty,abspath"`
	Insecure             bool   `arg:"insecure"`

	FQDN            string `arg:"fqdn" validate:"omitempty,host"`
	ReportIP        string `arg:"report_ip" validate:"omitempty,ip"`
	ReportInterface string `arg:"report_interface"`
	ManagerIP       string `arg:"manager_ip" validate:"omitempty,ip"`
	ProxyURL        string `arg:"proxy_url" secret:"true"`

	WhitelistManager bool `arg:"whitelist_manager" default:"true"`
	ConfigManagerURL bool `arg:"config_manager_url" default:"true"`

	RepoConfigManage   bool   `arg:"repo_config_manage"`
	RepoKeyFingerprint string `arg:"repo_key_fingerprint" trust:"true" validate:"omitempty,openpgp"`
	RepoDirectory      Path   `arg:"repo_directory" default:"/etc/apt" validate:"abspath"`

	Owner         string       `arg:"owner"`
	Group         string       `arg:"group"`
	CertMode      *fs.FileMode `arg:"cert_mode"`
	KeyMode       *fs.FileMode `arg:"key_mode"`
	Backup        bool         `arg:"backup" default:"true"`
	TakeOwnership bool         `arg:"take_ownership"`

	Force          bool   `arg:"force"`
	RenewBefore    *Span  `arg:"renew_before" validate:"omitempty,gte=0"`
	StrictIdentity bool   `arg:"strict_identity"`
	TokenStorage   string `arg:"token_storage" default:"config" validate:"oneof=config state_dir"`
	LockTimeout    Span   `arg:"lock_timeout" default:"30s" validate:"gte=0"`

	// Bundle is a bundle that came with the arguments, on standard input: a
	// re-issued set, which is to stand in no file but its own.
	Bundle []byte
	// Check is Ansible's check mode: everything up to apply, and no request.
	Check bool
	// KeepOwners accepts files that belong to the user whom a playbook gave as
	// owner: no one tells the agent of that option.
	KeepOwners bool
	// Report looks at everything and uses nothing, so that what would be refused
	// can be reported.
	Report bool
}

// InfoParams are the options of enrollment_info.
type InfoParams struct {
	ConfigPath     Path  `arg:"config_path" default:"/etc/linux_patch_api/config.yaml" validate:"abspath"`
	CACertPath     Path  `arg:"ca_cert_path" validate:"omitempty,abspath"`
	ServerCertPath Path  `arg:"server_cert_path" validate:"omitempty,abspath"`
	ServerKeyPath  Path  `arg:"server_key_path" validate:"omitempty,abspath"`
	CRLPath        Path  `arg:"crl_path" validate:"omitempty,abspath"`
	WhitelistPath  Path  `arg:"whitelist_path" validate:"omitempty,abspath"`
	StateDir       Path  `arg:"state_dir" default:"/var/lib/linux_patch_enroll" validate:"abspath"`
	StatusPath     Path  `arg:"status_path" default:"/run/linux_patch_api/status.json" validate:"abspath"`
	RenewBefore    *Span `arg:"renew_before" validate:"omitempty,gte=0"`

	// What enrollment was told of the manager and the files, so that it is no
	// problem here.
	ManagerURL          string       `arg:"manager_url"`
	BundleCAFingerprint string       `arg:"bundle_ca_fingerprint" trust:"true" validate:"omitempty,fingerprint"`
	ManagerIP           string       `arg:"manager_ip" validate:"omitempty,ip"`
	WhitelistManager    bool         `arg:"whitelist_manager" default:"true"`
	Owner               string       `arg:"owner"`
	Group               string       `arg:"group"`
	CertMode            *fs.FileMode `arg:"cert_mode"`
	KeyMode             *fs.FileMode `arg:"key_mode"`
}
