package options

import (
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pace"
)

// Bounds and defaults of waiting. A manager hands an approved bundle out for
// 600 s only, so no two polls may be 300 s or more apart, jitter included
// (contract, deployed behaviour).
const (
	DefaultInterval = 60 * time.Second
	MinInterval     = time.Second
	MaxInterval     = pace.Longest
)

// Defaults of the file attributes and of renewal.
const (
	DefaultCertMode    = 0o644
	DefaultKeyMode     = 0o600
	DefaultRenewBefore = 7 * 24 * time.Hour
	DefaultLockTimeout = 30 * time.Second
)

// DefaultParams are the options of a run that names none.
func DefaultParams() Params {
	return Params{
		State:            string(contract.StateEnrolled),
		ConfigPath:       contract.DefaultConfigPath,
		StateDir:         contract.DefaultStateDir,
		Wait:             true,
		WhitelistManager: true,
		ConfigManagerURL: true,
		RepoDirectory:    "/etc/apt",
		Backup:           true,
		TokenStorage:     TokenInConfig,
		LockTimeout:      Span(DefaultLockTimeout),
	}
}

// Where the polling token is mirrored to: Params.TokenStorage.
const (
	TokenInConfig   = "config"
	TokenInStateDir = "state_dir"
)

// DefaultInfoParams are the options of an enrollment_info that names none.
func DefaultInfoParams() InfoParams {
	return InfoParams{
		ConfigPath: contract.DefaultConfigPath,
		StateDir:   contract.DefaultStateDir,
		StatusPath: contract.DefaultStatusPath,

		WhitelistManager: true,
	}
}
