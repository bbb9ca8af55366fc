package enroll

import (
	"cmp"
	"context"
	"fmt"

	"github.com/linux-patch/enroll/internal/config"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/report"
	"github.com/linux-patch/enroll/internal/statedir"
)

// planConfigURL says how config.yaml has to change so that an agent knows its
// manager: deployed agents fetch CRLs and repository files from there, and do
// neither where enrollment.manager_url is missing. A value that names a manager
// stays, and no config.yaml is made.
func (r *run) planConfigURL(ctx context.Context) (plan.Change, bool) {
	url := r.agentsManager()
	if !r.ConfigManagerURL || url == "" || !config.Placeholder(r.Config.Enrollment.ManagerURL) {
		return plan.Change{}, false
	}
	// The token in it may have changed since this run began.
	file, cfg, err := r.Host().ReadConfig(string(r.ConfigPath))
	if err != nil || !file.Exists || cfg.Enrollment.ManagerURL == url || !config.Placeholder(cfg.Enrollment.ManagerURL) {
		return plan.Change{}, false
	}
	after := file
	if after.Content, err = config.SetManagerURL(file.Content, url); err == nil {
		err = r.preflightConfig(ctx, file)
	}
	if err != nil {
		r.res.Warn(fmt.Sprintf("enrollment.manager_url was not written to %s, so that an agent there may not refresh its CRL: %v", file.Path, err))
		return plan.Change{}, false
	}
	return plan.Compare(shownConfig(file), shownConfig(after))
}

// agentsManager is the manager that this host is enrolled with.
func (r *run) agentsManager() string {
	url := ""
	if r.URL != nil {
		url = r.URL.String()
	}
	return cmp.Or(r.o.Provenance().ManagerURL, url)
}

// shownConfig shows a config.yaml without the token in it.
func shownConfig(f hostfs.File) plan.File {
	return report.Shown(f, func(b []byte) string {
		cleared, err := config.ClearPollingToken(b)
		if err != nil {
			return "config.yaml, which is not shown: the polling token cannot be taken out of its text\n"
		}
		return string(cleared)
	})
}

// tellAgent writes the manager's URL to config.yaml where it is missing.
func (r *run) tellAgent(ctx context.Context) error {
	change, needed := r.planConfigURL(ctx)
	if !needed {
		return nil
	}
	if !r.Check {
		url := r.agentsManager()
		if err := r.o.Remember(func(p *statedir.Provenance) { p.ConfigPath, p.ConfigManagerURL = string(r.ConfigPath), url }); err != nil {
			return err
		}
		// Without a backup: the file may hold the token, and the edit can be undone.
		_, err := r.edit(ctx, string(r.ConfigPath), false, func(old []byte) ([]byte, error) { return config.SetManagerURL(old, url) })
		if err != nil {
			return contract.Errorf(contract.CodeOf(err), "enrollment.manager_url was not written to %s: %w", r.ConfigPath, err).WithHint("%s", contract.HintOf(err))
		}
	}
	r.res.Show(change)
	return nil
}

// planForgetURL takes the URL out of config.yaml that enrollment has written.
func (r *run) planForgetURL() (plan.Change, bool) {
	p := r.o.Provenance()
	if p.ConfigManagerURL == "" {
		return plan.Change{}, false
	}
	file, err := r.Files.Read(p.ConfigPath)
	if err != nil || !file.Exists {
		return plan.Change{}, false
	}
	after := file
	if after.Content, err = config.ClearManagerURL(file.Content, p.ConfigManagerURL); err != nil {
		r.res.Warn(fmt.Sprintf("enrollment.manager_url stays in %s: %v", p.ConfigPath, err))
		return plan.Change{}, false
	}
	return plan.Compare(shownConfig(file), shownConfig(after))
}

func (r *run) forgetURL(ctx context.Context) error {
	p := r.o.Provenance()
	_, err := r.edit(ctx, p.ConfigPath, false, func(old []byte) ([]byte, error) { return config.ClearManagerURL(old, p.ConfigManagerURL) })
	return err
}
