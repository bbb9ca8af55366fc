package optionsgen

import (
	"os"
	"path/filepath"

	"github.com/linux-patch/enroll/internal/admin"
	"github.com/linux-patch/enroll/internal/options"
)

// generate returns the whole files below top, as they should be.
func generate(top string) (map[string]string, error) {
	said, err := os.ReadFile(filepath.Join(top, "internal/options/options.yaml"))
	if err != nil {
		return nil, err
	}
	defaults, err := os.ReadFile(filepath.Join(top, "ansible/roles/enroll/defaults/main.yml"))
	if err != nil {
		return nil, err
	}
	all, err := parts(options.Params{}, options.InfoParams{}, said, defaults)
	if err != nil {
		return nil, err
	}
	shared, err := os.ReadFile(filepath.Join(top, "internal/admin/options.yaml"))
	if err != nil {
		return nil, err
	}
	administrators, err := administratorParts(admin.Connection{}, shared)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, p := range append(all, administrators...) {
		if files[p.path] == "" {
			text, err := os.ReadFile(filepath.Join(top, p.path))
			if err != nil {
				return nil, err
			}
			files[p.path] = string(text)
		}
		if files[p.path], err = p.within(files[p.path]); err != nil {
			return nil, err
		}
	}
	return files, nil
}
