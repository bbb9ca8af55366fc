package enroll

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/linux-patch/enroll/internal/config"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/managerclient"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/statedir"
)

// mirrorToken copies the token to config.yaml, so that a daemon of the
// deployed kind would resume too. The copy is a courtesy: where it cannot be
// made safely, a warning says why, and the token in state_dir stands.
func (r *run) mirrorToken(ctx context.Context, token string) error {
	if !r.mirrors() {
		return nil
	}
	_, err := r.edit(ctx, string(r.ConfigPath), false, func(old []byte) ([]byte, error) { return config.SetPollingToken(old, token) })
	r.actMirror(err)
	return nil
}

// foreseeMirror says in check mode what mirrorToken will do, and tells whether
// the token will stand in config.yaml.
func (r *run) foreseeMirror() bool {
	if !r.mirrors() {
		return false
	}
	err := r.Files.CheckPath(string(r.ConfigPath))
	if err == nil {
		_, err = config.SetPollingToken(r.ConfigFile.Content, "a token that only the manager knows")
	}
	return r.actMirror(err)
}

// mirrors tells whether config.yaml may hold a copy of the token.
func (r *run) mirrors() bool {
	if r.TokenStorage != options.TokenInConfig || !r.ConfigFile.Exists {
		return false
	}
	if mode := r.ConfigFile.Mode.Perm(); mode&0o007 != 0 {
		r.res.Warn(fmt.Sprintf("the polling token was not copied to %s: everybody may reach that file (mode %04o); chmod it to 0640 or set token_storage to state_dir",
			r.ConfigPath, mode))
		return false
	}
	return true
}

func (r *run) actMirror(err error) bool {
	if err != nil {
		r.res.Warn(fmt.Sprintf("the polling token was not copied to %s: %v", r.ConfigPath, err))
		return false
	}
	r.res.Act("copy the polling token to " + string(r.ConfigPath))
	return true
}

// clearMirror takes the token out of config.yaml again.
func (r *run) clearMirror(ctx context.Context) error {
	path := string(r.ConfigPath)
	file, cfg, err := r.Host().ReadConfig(path)
	if err != nil || !file.Exists || cfg.Enrollment.PollingToken == "" {
		return err
	}
	_, err = r.edit(ctx, path, false, config.ClearPollingToken)
	return r.actClear(err)
}

// foreseeClear says in check mode what clearMirror will do. copied tells that
// this run would have brought the token there.
func (r *run) foreseeClear(copied bool) error {
	if !copied && r.o.configToken == "" {
		return nil
	}
	var err error
	if !copied {
		_, err = config.ClearPollingToken(r.ConfigFile.Content)
	}
	return r.actClear(err)
}

func (r *run) actClear(err error) error {
	if err != nil {
		failed := contract.Errorf(contract.CodeConfig, "the polling token could not be taken out of %s: %w", r.ConfigPath, err)
		if known := (*contract.Error)(nil); errors.As(err, &known) {
			// The disk's trouble, or a lock's, not the file's.
			failed.Code, failed.Hint = known.Code, contract.HintOf(err)
		}
		return failed
	}
	r.res.Act("take the polling token out of " + string(r.ConfigPath))
	return nil
}

// takeOver makes a token that only config.yaml holds the token of this host.
func (r *run) takeOver() (*statedir.Token, error) {
	t := statedir.Token{Token: r.o.configToken, ManagerURL: r.URL.String(), MachineID: r.res.MachineID, FQDN: r.res.FQDN, Since: r.Now().UTC(), TakenOver: true}
	if err := r.o.SaveToken(t); err != nil {
		return nil, err
	}
	r.res.Act("take over the polling token from " + string(r.ConfigPath))
	r.res.Changed = true
	return r.o.Token(), nil
}

// warnNoTokens names what stands in a token's place and cannot be one, before
// this host registers in spite of it.
func (r *run) warnNoTokens() {
	if t := r.o.configToken; t != "" && (!managerclient.ValidToken(t) || isPlaceholder(t)) {
		r.res.Warn(fmt.Sprintf("enrollment.polling_token in %s is no polling token and is not used; remove that line", r.ConfigPath))
	}
	if t := r.o.Token(); t != nil && !managerclient.ValidToken(t.Token) {
		r.res.Warn(fmt.Sprintf("what %s holds is no polling token; a new request replaces it", r.statePaths().Token))
	}
}

// isPlaceholder reports whether s is text of an example that somebody was to
// replace. Managers make tokens of 64 letters and digits.
func isPlaceholder(s string) bool {
	if len(s) >= 48 {
		return false
	}
	s = strings.NewReplacer("-", "", "_", "", ".", "", "~", "").Replace(strings.ToLower(s))
	for _, word := range []string{"your", "changeme", "replace", "example", "placeholder", "insert", "pollingtoken", "enrollmenttoken", "tokenhere", "xxxx", "todo", "tobefilled", "fillme", "dummy"} {
		if strings.Contains(s, word) {
			return true
		}
	}
	return s == "token" || s == "none" || s == "null" || s == "tbd"
}

// doubtful is the dead token that this manager may honour all the same, as it
// is while it lives; nil where there is none.
func (r *run) doubtful() *statedir.Token {
	old := r.o.Token()
	if old == nil || old.Dead == "" || old.Final || old.ManagerURL != r.URL.String() {
		return nil
	}
	alive := *old
	alive.Dead = ""
	return &alive
}

// revive makes a token that seemed to be dead this host's again. The mark of a
// later registration goes: the manager kept the request before it.
func (r *run) revive(t *statedir.Token) error {
	r.forgetRequest()
	r.res.Changed = true
	r.res.Act(fmt.Sprintf("go on with the request of %s, which seemed to be over", t.Since.Format(time.RFC3339)))
	return r.o.SaveToken(*t)
}
