package daemon

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/linux-patch/enroll/internal/config"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/nearest"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki"
	"github.com/linux-patch/enroll/internal/plaintext"
)

// commandLine is what the agent was started with.
type commandLine struct {
	config      string
	configGiven bool
	stateDir    string
	token       string
	statusFile  string
	listen      string

	url         string
	insecure    bool
	caFile      string
	fingerprint string
	managerIP   string
	only        bool

	check   bool
	verbose bool
	version bool
}

const usage = `linux_patch_api is the reference agent: it listens with mutual TLS and answers health
checks. A host without certificates is enrolled first, in the same process.

Usage: linux_patch_api [options]

  --config FILE                 the configuration (%s); without this
                                option it may be missing
  --enroll URL                  enroll with this linux_patch_manager where no valid certificates
                                are installed, then listen; before enrollment.manager_url of the
                                configuration
  --enroll-ca FILE              trust the manager's HTTPS by this CA, in place of the system's roots
  --enroll-fingerprint SHA256   trust the manager's HTTPS by the fingerprint of its certificate or CA
  --enroll-insecure             do not verify the manager's HTTPS; anyone who intercepts the connection can
                                give this host keys of their own
  --enroll-manager-ip IP        the address that the manager calls from, for the whitelist, in place of
                                the one that it is reached at; needed through a proxy
  --enroll-only                 enroll, do not listen
  --listen ADDRESS:PORT         listen here, whatever the configuration says; several with commas
  --state-dir DIR               token, spool and journal (%s)
  --token-storage WHERE         config (the default): while the request waits, the token is in the
                                configuration too; state_dir: it is not
  --status-file FILE            what is served is written there (%s)
  --check-config                check configuration, files, permissions, certificates, whitelist,
                                address and what enrollment needs, print all that is found, and exit
  --verbose                     log at level debug
  --version, --help

SIGHUP reads certificates, CRL and whitelist again; changes are also detected automatically.
Logs go to standard error; logging.level of the configuration sets how much.

Examples:
  linux_patch_api --enroll https://manager.example.com --enroll-ca /root/manager-ca.pem
  linux_patch_api --check-config

Exit codes:
   0                           stopped by a signal, or done
   1                           cannot listen
%s`

func help() string {
	var codes strings.Builder
	for _, c := range contract.Codes {
		fmt.Fprintf(&codes, "%4d  %-24s %s\n", c.Exit, c.Code, c.Meaning)
	}
	return fmt.Sprintf(usage, contract.DefaultConfigPath, contract.DefaultStateDir, contract.DefaultStatusPath, codes.String())
}

// parseFlags reads the command line; flag.ErrHelp asks for the help.
func parseFlags(args []string) (commandLine, error) {
	var o commandLine
	f := flag.NewFlagSet("linux_patch_api", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.config, "config", contract.DefaultConfigPath, "")
	f.StringVar(&o.url, "enroll", "", "")
	f.StringVar(&o.caFile, "enroll-ca", "", "")
	f.StringVar(&o.fingerprint, "enroll-fingerprint", "", "")
	f.BoolVar(&o.insecure, "enroll-insecure", false, "")
	f.StringVar(&o.managerIP, "enroll-manager-ip", "", "")
	f.BoolVar(&o.only, "enroll-only", false, "")
	f.StringVar(&o.listen, "listen", "", "")
	f.StringVar(&o.stateDir, "state-dir", contract.DefaultStateDir, "")
	f.StringVar(&o.token, "token-storage", options.TokenInConfig, "")
	f.StringVar(&o.statusFile, "status-file", contract.DefaultStatusPath, "")
	f.BoolVar(&o.check, "check-config", false, "")
	f.BoolVar(&o.verbose, "verbose", false, "")
	f.BoolVar(&o.version, "version", false, "")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, usageError("%w", nearest.Parsed(err, namesOf(f)))
	}
	if f.NArg() > 0 {
		return o, unexpected(f)
	}
	empty := ""
	f.Visit(func(given *flag.Flag) {
		o.configGiven = o.configGiven || given.Name == "config"
		if given.Value.String() == "" {
			empty = given.Name
		}
	})
	if empty != "" {
		return o, usageError("--%s is empty", empty)
	}
	return o, o.settle()
}

// namesOf lists the flags that there are.
func namesOf(f *flag.FlagSet) []string {
	names := []string{"help"}
	f.VisitAll(func(known *flag.Flag) { names = append(names, known.Name) })
	return names
}

// unexpected is for words that are no flags: this program has no verbs.
func unexpected(f *flag.FlagSet) error {
	word := f.Arg(0)
	if word == "help" {
		return flag.ErrHelp
	}
	if near := nearest.Name(word, namesOf(f)); near != "" {
		return usageError("unexpected argument %q; did you mean --%s?", plaintext.Line(word, 64), near)
	}
	return usageError("unexpected argument %q", plaintext.Line(word, 64))
}

// settle checks what the words mean.
func (o *commandLine) settle() error {
	if o.insecure && (o.caFile != "" || o.fingerprint != "") {
		return usageError("--enroll-insecure contradicts --enroll-ca and --enroll-fingerprint")
	}
	if o.fingerprint != "" {
		if _, err := pki.NormalizeFingerprint(o.fingerprint); err != nil {
			return usageError("--enroll-fingerprint: %w", err)
		}
	}
	if o.managerIP != "" {
		if _, err := netip.ParseAddr(o.managerIP); err != nil {
			return usageError("--enroll-manager-ip %q is not an IP address", o.managerIP)
		}
	}
	if o.token != options.TokenInConfig && o.token != options.TokenInStateDir {
		return usageError("--token-storage must be %s or %s, not %q", options.TokenInConfig, options.TokenInStateDir, o.token)
	}
	if o.listen != "" {
		for address := range strings.SplitSeq(o.listen, ",") {
			host, port, err := net.SplitHostPort(address)
			if n, convErr := strconv.Atoi(port); err != nil || convErr != nil || n < 0 || n > 65535 || host == "" {
				return usageError("--listen %q is not ADDRESS:PORT", o.listen)
			}
		}
	}
	for _, path := range []*string{&o.config, &o.caFile, &o.stateDir, &o.statusFile} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return usageError("%s: %w", *path, err)
		}
		*path = absolute
	}
	return nil
}

func usageError(format string, args ...any) error {
	return contract.Errorf(contract.CodeInvalidArgument, format, args...).WithHint("see linux_patch_api --help")
}

func (d *daemon) listenAddresses(cfg *config.Config) []string {
	if d.opt.listen != "" {
		return strings.Split(d.opt.listen, ",")
	}
	bind, port := cfg.Listen()
	var addresses []string
	for _, ip := range distinct(bind) {
		addresses = append(addresses, net.JoinHostPort(ip, strconv.Itoa(port)))
	}
	return addresses
}

// distinct leaves out what another of the addresses brings: "::" takes IPv4
// connections too, 0.0.0.0 those to any IPv4 address.
func distinct(bind []string) []string {
	var ips []netip.Addr
	for _, text := range bind {
		// Judged with the rest of the configuration.
		if ip, err := netip.ParseAddr(text); err == nil {
			ips = append(ips, ip.Unmap())
		}
	}
	var kept []string
	for i, ip := range ips {
		covered := slices.Contains(ips[:i], ip) || ip != netip.IPv6Unspecified() && slices.Contains(ips, netip.IPv6Unspecified()) ||
			ip.Is4() && ip != netip.IPv4Unspecified() && slices.Contains(ips, netip.IPv4Unspecified())
		if !covered {
			kept = append(kept, ip.String())
		}
	}
	return kept
}
