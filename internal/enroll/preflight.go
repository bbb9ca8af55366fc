package enroll

import (
	"cmp"
	"context"
	"net"
	"net/url"
	"path/filepath"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki"
)

// spoolSpace is reserved for an answer before it is asked for: the largest
// body that the client takes, and what is stored around it.
const (
	spoolSpace = 1536 << 10
	// spooledBody is the largest body that has room in it as a record.
	spooledBody = 1 << 20
)

// earliest is a time before which no host's clock can be right: this program
// is younger.
var earliest = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

// preflight finds all that would make an approved bundle useless before the
// manager is asked for one: it hands a bundle out once.
func (r *run) preflight(ctx context.Context, client ManagerClient) error {
	if now := r.Now(); now.Before(earliest) {
		return contract.Errorf(contract.CodeIdentity, "this host's clock says %s", now.UTC().Format(time.RFC3339)).
			WithHint("set the clock (chronyc makestep, timedatectl set-time) and run again")
	}
	if r.WhitelistManager && !r.managerIP.IsValid() && client.UsesProxy() {
		return contract.Errorf(contract.CodeInvalidArgument, "missing required arguments: manager_ip").
			WithHint("requests go through a proxy, so the connection does not show the manager's address; set manager_ip (of the daemon --enroll-manager-ip), or whitelist_manager to false")
	}
	if err := r.preflightFiles(); err != nil {
		return err
	}
	return r.preflightWhitelist(ctx)
}

func (r *run) preflightFiles() error {
	paths := []string{r.caCert, r.serverCert, r.serverKey, r.crl}
	if r.WhitelistManager {
		paths = append(paths, r.whitelist)
	}
	for _, path := range paths {
		if err := r.Files.CheckPath(path); err != nil {
			return err
		}
		if r.Check {
			continue
		}
		dir := filepath.Dir(path)
		if err := r.Files.EnsureDir(dir, 0o755); err != nil {
			return err
		}
		if err := r.Files.Writable(dir); err != nil {
			return err
		}
		if err := r.Files.Space(dir, spoolSpace); err != nil {
			return err
		}
	}
	for _, path := range r.settings.state.files() {
		if err := r.Files.CheckPath(path); err != nil {
			return err
		}
	}
	if r.Check {
		return nil
	}
	return r.Files.Space(r.settings.state.dir, 2*spoolSpace)
}

// hostPort is where to find the route to the manager. The port, which does not
// matter for a route, is a number: names need /etc/services, which small images
// do not have.
func hostPort(u *url.URL) string {
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443"))
}

func fingerprintOf(option string) (string, error) {
	if option == "" {
		return "", nil
	}
	return pki.NormalizeFingerprint(option)
}
