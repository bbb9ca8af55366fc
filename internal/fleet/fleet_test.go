// Package fleet_test runs many hosts in one process against one manager: the
// program's own code from the decision to the last rename, each host with an
// identity and a directory of its own.
package fleet_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/identity"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/report"
)

// simulated is the identity of one host among many.
type simulated int

func (n simulated) fqdn() string { return fmt.Sprintf("host%d.example.com", n) }

func (n simulated) machineID() string { return fmt.Sprintf("%032x", int(n)+1) }

func (n simulated) MachineID() (string, error) { return n.machineID(), nil }

func (n simulated) Gather(context.Context, identity.Options) (identity.Host, []string, error) {
	ip := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	return identity.Host{
		MachineID: n.machineID(), FQDN: n.fqdn(), Hostname: fmt.Sprintf("host%d", n),
		IP: ip, IPs: []netip.Addr{ip},
		OS: contract.OSDetails{ID: "debian", Name: "Debian GNU/Linux", Version: "12", Kernel: "6.1.0", Architecture: "x86_64"},
	}, nil, nil
}

// fleet makes hosts below dir that enroll at one manager.
type fleet struct {
	dir      string
	url      string
	ca       string
	interval int
	whole    *enroll.Enroller
}

func newFleet(t *testing.T, dir, url, ca string, interval int) *fleet {
	t.Helper()
	whole, err := enroll.OnThisHost("enrollment/fleet", func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	return &fleet{dir: dir, url: url, ca: ca, interval: interval, whole: whole}
}

// host makes the directory of one host and returns what enrolls it.
func (f *fleet) host(n simulated) (*enroll.Enroller, options.Params, error) {
	e := *f.whole
	e.Identity = n
	dir := filepath.Join(f.dir, n.fqdn())
	at := func(name string) options.Path { return options.Path(filepath.Join(dir, name)) }
	p := options.DefaultParams()
	p.ManagerURL, p.ManagerCAPath = f.url, options.Path(f.ca)
	p.ConfigPath, p.StateDir = at("config.yaml"), at("state")
	p.PollingIntervalSeconds = &f.interval
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return nil, p, err
	}
	return &e, p, os.WriteFile(string(p.ConfigPath), []byte(strings.ReplaceAll(config, "DIR", dir)), 0o600)
}

// config keeps all of a host within its directory.
const config = `tls:
  ca_cert: DIR/ca.pem
  crl_path: DIR/crl.pem
  server_cert: DIR/server.pem
  server_key: DIR/server.key.pem
whitelist:
  path: DIR/whitelist.yaml
logging:
  file_path: DIR/audit.log
`

// enroll takes one host as far as it goes.
func (f *fleet) enroll(ctx context.Context, n simulated, options ...func(*options.Params)) *report.Result {
	e, p, err := f.host(n)
	if err != nil {
		return report.Failed(err)
	}
	for _, set := range options {
		set(&p)
	}
	return e.Run(ctx, p)
}

// printed writes what was measured for `make bench`, which names the file.
func printed(t *testing.T, name string, figures map[string]any) {
	t.Helper()
	t.Logf("%s: %v", name, figures)
	file := os.Getenv("LINUX_PATCH_BENCH")
	if file == "" {
		return
	}
	line, err := json.Marshal(map[string]any{"name": name, "figures": figures})
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

func minutes(d time.Duration) float64 { return float64(d.Round(6*time.Second)) / float64(time.Minute) }
