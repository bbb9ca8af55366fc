package install

import (
	"context"
	"errors"
	"fmt"

	"github.com/linux-patch/enroll/internal/config"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/observe"
	"github.com/linux-patch/enroll/internal/options"
)

// MirrorToken copies the token to config.yaml, so that a daemon of the
// deployed kind would resume too. The copy is a courtesy: where it cannot be
// made safely, a warning says why, and the token in state_dir stands.
func (in *Installer) MirrorToken(ctx context.Context, token string) error {
	if !in.mirrors() {
		return nil
	}
	_, err := in.edit(ctx, string(in.ConfigPath), false, func(old []byte) ([]byte, error) { return config.SetPollingToken(old, token) })
	in.actMirror(err)
	return nil
}

// ForeseeMirror says in check mode what MirrorToken will do, and reports whether
// the token will stand in config.yaml.
func (in *Installer) ForeseeMirror() bool {
	if !in.mirrors() {
		return false
	}
	err := in.Files.CheckPath(string(in.ConfigPath))
	if err == nil {
		_, err = config.SetPollingToken(in.ConfigFile.Content, "a token that only the manager knows")
	}
	return in.actMirror(err)
}

// mirrors reports whether config.yaml may hold a copy of the token.
func (in *Installer) mirrors() bool {
	if in.TokenStorage != options.TokenInConfig || !in.ConfigFile.Exists {
		return false
	}
	if mode := in.ConfigFile.Mode.Perm(); mode&0o007 != 0 {
		in.Result.Warn(fmt.Sprintf("the polling token was not copied to %s: others can read that file (mode %04o); chmod it to 0640 or set token_storage to state_dir",
			in.ConfigPath, mode))
		return false
	}
	return true
}

func (in *Installer) actMirror(err error) bool {
	if err != nil {
		in.Result.Warn(fmt.Sprintf("the polling token was not copied to %s: %v", in.ConfigPath, err))
		return false
	}
	in.Result.Changed = true
	in.Result.Act("copy the polling token to " + string(in.ConfigPath))
	return true
}

// clearMirror takes the token out of config.yaml again.
func (in *Installer) clearMirror(ctx context.Context) error {
	path := string(in.ConfigPath)
	file, cfg, err := in.Host().ReadConfig(path)
	if err != nil || !file.Exists || cfg.Enrollment.PollingToken == "" {
		return err
	}
	_, err = in.edit(ctx, path, false, config.ClearPollingToken)
	return in.actClear(cfg.Enrollment.PollingToken, err)
}

// foreseeClear says in check mode what clearMirror will do. copied tells that
// this run would have brought the token there.
func (in *Installer) foreseeClear(copied bool) error {
	if !copied && in.Disk.ConfigToken == "" {
		return nil
	}
	var err error
	if !copied {
		_, err = config.ClearPollingToken(in.ConfigFile.Content)
	}
	return in.actClear(in.Disk.ConfigToken, err)
}

// actClear ends the removal of what stood in the token's place. Only a token has
// to go.
func (in *Installer) actClear(stood string, err error) error {
	if err != nil && observe.IsToken(stood) {
		return in.uncleared(err)
	}
	if err == nil {
		in.Result.Changed = true
		in.Result.Act("take the polling token out of " + string(in.ConfigPath))
	}
	return nil
}

func (in *Installer) uncleared(err error) error {
	failed := contract.Errorf(contract.CodeConfig, "the polling token could not be taken out of %s: %w", in.ConfigPath, err)
	if known, ok := errors.AsType[*contract.Error](err); ok {
		// The disk's trouble, or a lock's, not the file's.
		failed.Code, failed.Hint = known.Code, contract.HintOf(err)
	}
	return failed
}
