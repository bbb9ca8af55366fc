package install

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/linux-patch/enroll/internal/config"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
	"github.com/linux-patch/enroll/internal/plan"
	"github.com/linux-patch/enroll/internal/report"
	"github.com/linux-patch/enroll/internal/statedir"
)

// PlanConfigURL says how config.yaml has to change so that an agent knows its
// manager: deployed agents fetch CRLs and repository files from there, and do
// neither where enrollment.manager_url is missing. A value that names a manager
// stays, and no config.yaml is made.
func (in *Installer) PlanConfigURL(ctx context.Context) *plan.Change {
	return in.planConfigURL(ctx, in.agentsManager())
}

// planConfigURL is PlanConfigURL for this manager.
func (in *Installer) planConfigURL(ctx context.Context, url string) *plan.Change {
	if !in.ConfigManagerURL || url == "" || !config.Placeholder(in.Config.Enrollment.ManagerURL) {
		return nil
	}
	// The token in it may have changed since this run began.
	file, cfg, err := in.Host().ReadConfig(string(in.ConfigPath))
	if err != nil || !file.Exists || cfg.Enrollment.ManagerURL == url || !config.Placeholder(cfg.Enrollment.ManagerURL) {
		return nil
	}
	after := file
	if after.Content, err = config.SetManagerURL(file.Content, url); err == nil {
		err = in.preflightConfig(ctx, file)
	}
	if err != nil {
		in.Result.Warn(fmt.Sprintf("enrollment.manager_url was not written to %s, so that an agent there may not refresh its CRL: %v", file.Path, err))
		return nil
	}
	return plan.Compare(shownConfig(file), shownConfig(after))
}

// agentsManager is the manager that this host is enrolled with.
func (in *Installer) agentsManager() string {
	url := ""
	if in.URL != nil {
		url = in.URL.String()
	}
	return cmp.Or(in.Disk.Provenance().ManagerURL, url)
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
func (in *Installer) tellAgent(ctx context.Context, url string) error {
	change := in.planConfigURL(ctx, url)
	if change == nil {
		return nil
	}
	return in.Perform(in.change(change, func() error { return in.writeURL(ctx, url) }))
}

func (in *Installer) writeURL(ctx context.Context, url string) error {
	before := in.Disk.Provenance()
	note := func(path, url string) error {
		return in.Disk.Remember(func(p *statedir.Provenance) { p.ConfigPath, p.ConfigManagerURL = path, url })
	}
	if err := note(string(in.ConfigPath), url); err != nil {
		return err
	}
	// Without a backup: the file may hold the token, and the edit can be undone.
	edited, err := in.edit(ctx, string(in.ConfigPath), false, func(old []byte) ([]byte, error) { return config.SetManagerURL(old, url) })
	if bytes.Equal(edited.Before, edited.After) {
		// It failed, or someone else was quicker: what stands there is theirs.
		err = errors.Join(err, note(before.ConfigPath, before.ConfigManagerURL))
	}
	if err != nil {
		return contract.Errorf(contract.CodeOf(err), "enrollment.manager_url was not written to %s: %w", in.ConfigPath, err).WithHint("%s", contract.HintOf(err))
	}
	return nil
}

// planForgetURL takes the URL out of config.yaml that enrollment has written.
func (in *Installer) planForgetURL() *plan.Change {
	p := in.Disk.Provenance()
	if p.ConfigManagerURL == "" {
		return nil
	}
	file, err := in.Files.Read(p.ConfigPath)
	after := file
	if err == nil && file.Exists {
		after.Content, err = config.ClearManagerURL(file.Content, p.ConfigManagerURL)
	}
	if err != nil {
		in.Result.Warn(fmt.Sprintf("enrollment.manager_url stays in %s: %v", p.ConfigPath, err))
		return nil
	}
	return plan.Compare(shownConfig(file), shownConfig(after))
}

func (in *Installer) forgetURL(ctx context.Context) error {
	p := in.Disk.Provenance()
	_, err := in.edit(ctx, p.ConfigPath, false, func(old []byte) ([]byte, error) { return config.ClearManagerURL(old, p.ConfigManagerURL) })
	return err
}
