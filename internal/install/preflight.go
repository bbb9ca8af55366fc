package install

import (
	"context"
	"fmt"
	"time"

	"github.com/linux-patch/enroll/internal/config"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/observe"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/statedir"
)

// earliest is a time before which no host's clock can be right: this program
// is younger.
var earliest = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

// Preflight finds all that would make an approved bundle useless before the
// manager is asked for one: it hands a bundle out once. proxied says that the
// manager is asked through a proxy.
func (in *Installer) Preflight(ctx context.Context, proxied bool) error {
	if now := in.Now(); now.Before(earliest) {
		return contract.Errorf(contract.CodeIdentity, "this host's clock says %s", now.UTC().Format(time.RFC3339)).
			WithHint("set the clock (chronyc makestep, timedatectl set-time) and run again")
	}
	if in.WhitelistManager && !in.ManagerAddr.IsValid() && proxied {
		return contract.Errorf(contract.CodeInvalidArgument, "missing required arguments: manager_ip").
			WithHint("requests go through a proxy, so the connection does not show the manager's address; set manager_ip (of the daemon --enroll-manager-ip), or whitelist_manager to false")
	}
	if err := in.PreflightFiles(); err != nil {
		return err
	}
	if err := in.PreflightWhitelist(ctx); err != nil {
		return err
	}
	return in.preflightMirror(ctx)
}

// PreflightFiles finds out whether each file can be put in place.
func (in *Installer) PreflightFiles() error {
	for _, d := range in.desired(nil) {
		path := d.after.Path
		after := hostfs.File{Path: path, Mode: d.after.Mode, UID: d.after.UID, GID: d.after.GID}
		if err := in.rehearse(path, after); err != nil {
			return err
		}
	}
	for _, path := range in.StatePaths().Files() {
		if err := in.Files.CheckPath(path); err != nil {
			return err
		}
	}
	if err := in.rehearseRepo(); err != nil {
		return err
	}
	return in.Perform(plan.Step{Do: func() error { return in.Files.Space(in.StatePaths().Dir, 2*statedir.SpoolSpace) }})
}

// preflightMirror gives the copy of the token in config.yaml up where it could
// not be made, or not be removed again. A token that stands there already has to
// be removed at the end, wherever new ones are stored: then it is an error.
func (in *Installer) preflightMirror(ctx context.Context) error {
	held := observe.IsToken(in.Disk.ConfigToken)
	if !in.ConfigFile.Exists || !held && (in.TokenStorage != options.TokenInConfig || in.ConfigFile.Mode.Perm()&0o007 != 0) {
		return nil
	}
	err := in.preflightConfig(ctx, in.ConfigFile)
	if err == nil && held {
		if _, err = config.ClearPollingToken(in.ConfigFile.Content); err != nil {
			return in.uncleared(err)
		}
	}
	if err == nil || held {
		return err
	}
	in.TokenStorage = options.TokenInStateDir
	in.Result.Warn(fmt.Sprintf("the polling token is not copied to %s: %v", in.ConfigPath, err))
	return nil
}
