package manager

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/afero"
)

// RepoConfig is where a host of one distribution finds the agent's packages,
// as a bundle and the public endpoint carry it.
type RepoConfig struct {
	GPGPublicKey  string `json:"gpg_public_key"`
	SourcesConfig string `json:"sources_config"`
	DistroID      string `json:"distro_id"`
	KeyringPath   string `json:"keyring_path"`
}

// repoEntry is an entry of the file that --repo-config names. One without a
// codename is for all releases.
type repoEntry struct {
	RepoConfig
	Codename string `json:"codename"`
}

// supportedDistros are those whose packages can come from a repository.
func supportedDistros() []string {
	return []string{"almalinux", "centos", "debian", "fedora", "opensuse-leap", "rhel", "rocky", "sles", "ubuntu"}
}

// loadRepoConfigs reads a JSON list of entries.
func loadRepoConfigs(f afero.Fs, path string) ([]repoEntry, error) {
	raw, err := afero.ReadFile(f, path)
	if err != nil {
		return nil, err
	}
	var list []repoEntry
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for i, e := range list {
		if !slices.Contains(supportedDistros(), e.DistroID) || e.GPGPublicKey == "" || e.SourcesConfig == "" || e.KeyringPath == "" {
			return nil, fmt.Errorf("%s: entry %d needs gpg_public_key, sources_config, keyring_path, and a distro_id of %s",
				path, i+1, strings.Join(supportedDistros(), ", "))
		}
	}
	if len(list) == 0 {
		return nil, errors.New(path + ": no entries")
	}
	return list, nil
}

// repoFor finds the entry of a system, nil where there is none.
func (s *Server) repoFor(distro, codename string) *RepoConfig {
	for _, e := range s.repos {
		if e.DistroID == distro && (e.Codename == "" || e.Codename == codename) {
			return &e.RepoConfig
		}
	}
	return nil
}

// repoOf finds the entry of what a host says that it runs.
func (s *Server) repoOf(details json.RawMessage) *RepoConfig {
	var d struct {
		ID       string `json:"id"`
		Codename string `json:"codename"`
	}
	if json.Unmarshal(details, &d) != nil {
		return nil
	}
	return s.repoFor(d.ID, d.Codename)
}

func (s *Server) getRepoConfig(w http.ResponseWriter, r *http.Request) {
	distro, codename := r.URL.Query().Get("distro_id"), r.URL.Query().Get("codename")
	// Other distributions than these name no release.
	if distro == "" || codename == "" && (distro == "debian" || distro == "ubuntu") {
		answerCode(w, http.StatusBadRequest, "missing_param", "distro_id is required, and codename for debian and ubuntu")
		return
	}
	if !slices.Contains(supportedDistros(), distro) {
		answerCode(w, http.StatusBadRequest, "unsupported_distro", "this distribution is not supported")
		return
	}
	repo := s.repoFor(distro, codename)
	if repo == nil {
		answerCode(w, http.StatusNotFound, "repo_not_configured", "no repository is configured for this distribution")
		return
	}
	answer(w, http.StatusOK, repo)
}
