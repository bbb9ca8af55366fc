package statedir

import (
	"fmt"
	"path/filepath"
	"strings"
)

// clones is what stands in the state directory and belongs to a host with
// another machine-id: this host was made from an image of that one while its
// request was pending. Its token would fetch that host's key.
type clones struct {
	// machineID is that host's; empty where nothing is cloned.
	machineID string
	// files are to be set aside.
	files []string
	// token is that host's, which config.yaml may hold too.
	token string
}

func (c *clones) add(machineID, path string) {
	if c.machineID == "" {
		c.machineID = machineID
	}
	c.files = append(c.files, path)
}

// warning says whose state was found; none where it is this host's.
func (c clones) warning() []string {
	if len(c.files) == 0 {
		return nil
	}
	var names []string
	for _, p := range c.files {
		names = append(names, filepath.Base(p))
	}
	return []string{fmt.Sprintf("machine-id changed: %s of another host (machine-id %s) stood in the state directory and is not used, since this host is a copy of that one",
		strings.Join(names, ", "), c.machineID)}
}
