package torture_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// layout is where a host has its files. The zero value is that of most
// attacks, with etc, certs and log beside each other.
type layout struct {
	// home is the directory that holds config.yaml and certs, as on deployed
	// hosts.
	home string
	// linked says that home is reached by a link at deployedHome.
	linked bool
}

const (
	deployedHome = "etc/linux_patch_api"
	deployedLog  = "var/log/linux_patch_api"
)

// place returns where the file is that attacks call name.
func (l layout) place(name string) string {
	if l.home == "" {
		return name
	}
	first, rest, _ := strings.Cut(name, "/")
	switch first {
	case "etc":
		return filepath.Join(l.home, rest)
	case "certs":
		return filepath.Join(l.home, name)
	case "log":
		return filepath.Join(deployedLog, rest)
	}
	return name
}

// said returns the path that config.yaml and options give for a file.
func (l layout) said(name string) string {
	if l.linked {
		l.home = deployedHome
	}
	return l.place(name)
}

// short is the reverse of place; a directory above becomes the one below it.
func (l layout) short(place string) string {
	if l.home == "" {
		return place
	}
	for from, to := range map[string]string{l.home: "etc", deployedLog: "log"} {
		switch {
		case place == from, strings.HasPrefix(from, place+"/"), l.linked && place == deployedHome, place == "etc":
			return to
		case strings.HasPrefix(place, from+"/"):
			rest := strings.TrimPrefix(place, from+"/")
			if rest == "certs" || strings.HasPrefix(rest, "certs/") {
				return rest
			}
			return to + "/" + rest
		}
	}
	return place
}

// config is the text of config.yaml.
func (l layout) config(dir string) string {
	var places []string
	for _, name := range []string{"certs", "etc", "log"} {
		places = append(places, filepath.Join(dir, name)+"/", filepath.Join(dir, l.said(name))+"/")
	}
	return strings.NewReplacer(places...).Replace(fmt.Sprintf(configText, dir))
}

// link makes the link to home.
func (l layout) link(dir string) error {
	if !l.linked {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(deployedHome)), 0o755); err != nil {
		return err
	}
	return os.Symlink("../"+l.home, filepath.Join(dir, deployedHome))
}
