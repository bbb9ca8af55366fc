package enroll

import (
	"context"
	"errors"
	"fmt"

	"github.com/linux-patch/enroll/internal/config"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
)

// mirrorToken copies the token to config.yaml, so that a daemon of the
// deployed kind would resume too. The copy is a courtesy: where it cannot be
// made safely, a warning says why, and the token in state_dir stands.
func (r *run) mirrorToken(ctx context.Context, token string) error {
	path := string(r.ConfigPath)
	if r.TokenStorage != TokenInConfig || !r.configFile.Exists {
		return nil
	}
	if r.configFile.Mode.Perm()&0o007 != 0 {
		r.res.warn(fmt.Sprintf("the polling token was not copied to %s: everybody may reach that file (mode %04o); chmod it to 0640 or set token_storage to state_dir",
			path, r.configFile.Mode.Perm()))
		return nil
	}
	_, err := r.edit(ctx, path, false, func(old []byte) ([]byte, error) { return config.SetPollingToken(old, token) })
	if err != nil {
		r.res.warn(fmt.Sprintf("the polling token was not copied to %s: %v", path, err))
		return nil
	}
	r.res.act("copy the polling token to " + path)
	return nil
}

// clearMirror takes the token out of config.yaml again.
func (r *run) clearMirror(ctx context.Context) error {
	path := string(r.ConfigPath)
	file, cfg, err := r.readConfig(path)
	if err != nil || !file.Exists || cfg.Enrollment.PollingToken == "" {
		return err
	}
	if _, err := r.edit(ctx, path, false, config.ClearPollingToken); err != nil {
		failed := contract.Errorf(contract.CodeConfig, "the polling token could not be taken out of %s: %w", path, err)
		if known := (*contract.Error)(nil); errors.As(err, &known) {
			// The disk's trouble, or a lock's, not the file's.
			failed.Code, failed.Hint = known.Code, contract.HintOf(err)
		}
		return failed
	}
	r.res.act("take the polling token out of " + path)
	return nil
}

// takeOver makes a token that only config.yaml holds the token of this host.
func (r *run) takeOver() (*tokenRecord, error) {
	t := &tokenRecord{Token: r.o.configToken, ManagerURL: r.url.String(), MachineID: r.res.MachineID, FQDN: r.res.FQDN, Since: r.Now().UTC()}
	if err := r.saveToken(t); err != nil {
		return nil, err
	}
	r.res.act("take over the polling token from " + string(r.ConfigPath))
	r.res.Changed = true
	return t, nil
}

// saveToken writes the token, alive or dead.
func (r *run) saveToken(t *tokenRecord) error {
	raw, err := encodeRecord(t)
	if err != nil {
		return err
	}
	if err := r.Files.Replace(r.settings.state.token, raw, r.private()); err != nil {
		return err
	}
	r.o.token = t
	return nil
}

// private are the attributes of what only this program reads.
func (r *run) private() hostfs.Attributes {
	uid, gid := r.Accounts.Self()
	return hostfs.Attributes{Mode: 0o600, UID: uid, GID: gid}
}

// bury marks the token as one that the manager no longer honours. It is kept
// until a new one replaces it: what said so may have been a firewall.
func (r *run) bury(state contract.State) error {
	if r.o.token == nil {
		return nil
	}
	dead := *r.o.token
	dead.Dead = state
	return r.saveToken(&dead)
}
