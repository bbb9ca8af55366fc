package manager

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/afero"
)

type serveFlags struct {
	listen, advertise, urlFile, accessLog string
	tls, rateLimit                        string
	approve, approveFQDN, allowFrom       string
	conflict, denyStyle, notFound         string
	handout, certDays, purge              int
	access, refresh                       int
	pendingHours                          float64
	lab                                   bool
	opt                                   Options
}

func (v *serveFlags) define(f *flag.FlagSet) {
	f.StringVar(&v.listen, "listen", "127.0.0.1:0", "address and port to listen on; port 0 picks one")
	f.StringVar(&v.advertise, "advertise", "", "names and addresses, comma separated, for the HTTPS certificate;\nthe first stands in --url-file")
	f.StringVar(&v.urlFile, "url-file", "", "write the URL for hosts to this file once listening")
	f.StringVar(&v.accessLog, "access-log", "", "file for one JSON line per request, or \"stderr\" (default DIR/access.log)")
	f.StringVar(&v.tls, "tls", "on", "on, or off for plain HTTP on a loopback address")
	f.IntVar(&v.opt.Dialect, "dialect", 2, "1: the HTTP code tells the state; 2: the body's status does")
	f.StringVar(&v.rateLimit, "rate-limit", "on", "on, or off for labs. Per address, X-Forwarded-For before the connection's:\nenrollment 3, then 1 per 12 s; login 10, then 1 per 3 s; admin API 30,\nthen 1 per 0.5 s")
	f.IntVar(&v.handout, "handout-seconds", int(DefaultHandout.Seconds()), "how long an approved bundle can be fetched")
	f.Float64Var(&v.pendingHours, "pending-hours", DefaultPendingFor.Hours(), "how long a request waits; a lab may take a fraction")
	f.IntVar(&v.certDays, "cert-days", int(DefaultCertFor.Hours()/24), "lifetime of issued certificates")
	f.StringVar(&v.approve, "auto-approve", "", "networks, comma separated: approve requests whose connection comes\nfrom there, whatever address they claim")
	f.StringVar(&v.approveFQDN, "auto-approve-fqdn", "", "approve requests that claim an FQDN of this pattern, which anyone\ncan; needs --lab")
	f.BoolVar(&v.lab, "lab", false, "this is a lab: nothing of value trusts this manager")
	f.StringVar(&v.conflict, "conflict", "500", "answer to a machine that is known: 500 as deployed (pending ones only), or 409")
	f.StringVar(&v.denyStyle, "deny-style", "notfound", "what a denied host is told: notfound as deployed, or denied")
	f.StringVar(&v.notFound, "not-found", "notfound", "spelling of that state in dialect 2: notfound or not_found")
	f.StringVar(&v.opt.NewerBundle, "newer-bundle", "auto", "ca_chain, crl_pem and repo_config in the bundle: on, off, or auto for dialect 2 only")
	f.IntVar(&v.purge, "purge-seconds", int(DefaultPurgeEvery.Seconds()), "how often expired requests are deleted; until then their machine-id\nstays taken and an administrator can approve them")
	f.IntVar(&v.access, "access-seconds", int(DefaultAccessFor.Seconds()), "lifetime of an access token of the admin API")
	f.IntVar(&v.refresh, "refresh-seconds", int(DefaultRefreshFor.Seconds()), "lifetime of a refresh token; refreshing makes a new one")
	f.StringVar(&v.allowFrom, "allow-from", "", "networks, comma separated, from which the admin API may be called:\nall others get 403 forbidden_ip (default: anywhere)")
	f.BoolVar(&v.opt.HideTokenHash, "hide-token-hash", false, "leave polling_token, the hash of a host's token, out of the list")
	f.StringVar(&v.opt.RepoConfig, "repo-config", "", "JSON file: a list of objects with gpg_public_key, sources_config,\ndistro_id, keyring_path, and codename unless for all releases")
	f.BoolVar(&v.opt.LegacyCerts, "legacy-certs", false, "issue as managers before 2.0 do: clientAuth only and no SAN")
}

// oneOf says whether value is the second of two words.
func oneOf(name, value, first, second string) (bool, error) {
	if value != first && value != second {
		return false, exitf(exitUsage, "--%s must be %s or %s, not %q", name, first, second, value)
	}
	return value == second, nil
}

func (v *serveFlags) options() (opt Options, plain bool, err error) {
	opt = v.opt
	for _, w := range []struct {
		name, value, first, second string
		into                       *bool
	}{
		{"tls", v.tls, "on", "off", &plain},
		{"rate-limit", v.rateLimit, "on", "off", &opt.NoRateLimit},
		{"conflict", v.conflict, "500", "409", &opt.Conflict409},
		{"deny-style", v.denyStyle, "notfound", "denied", &opt.RememberDenied},
		{"not-found", v.notFound, "notfound", "not_found", &opt.NotFoundAlt},
	} {
		if *w.into, err = oneOf(w.name, w.value, w.first, w.second); err != nil {
			return opt, false, err
		}
	}
	switch opt.NewerBundle {
	case "auto", "on", "off":
	default:
		return opt, false, exitf(exitUsage, "serve: --newer-bundle must be auto, on or off, not %q", opt.NewerBundle)
	}
	if opt.Dialect != 1 && opt.Dialect != 2 {
		return opt, false, exitf(exitUsage, "serve: --dialect must be 1 or 2")
	}
	for _, n := range []struct {
		name        string
		value, most int
	}{
		{"handout-seconds", v.handout, 86_400},
		{"cert-days", v.certDays, 3_650},
		{"purge-seconds", v.purge, 86_400},
		{"access-seconds", v.access, 86_400},
		{"refresh-seconds", v.refresh, 86_400},
	} {
		if n.value < 1 || n.value > n.most {
			return opt, false, exitf(exitUsage, "serve: --%s must be 1 to %d", n.name, n.most)
		}
	}
	if !(v.pendingHours > 0 && v.pendingHours <= 8_760) {
		return opt, false, exitf(exitUsage, "serve: --pending-hours must be more than 0, and 8760 at most")
	}
	opt.Handout = time.Duration(v.handout) * time.Second
	opt.PendingFor = time.Duration(v.pendingHours * float64(time.Hour))
	opt.CertFor = time.Duration(v.certDays) * 24 * time.Hour
	opt.PurgeEvery = time.Duration(v.purge) * time.Second
	opt.AccessFor, opt.RefreshFor = time.Duration(v.access)*time.Second, time.Duration(v.refresh)*time.Second
	if opt.AutoApprove, err = networks("auto-approve", v.approve); err != nil {
		return opt, false, err
	}
	if opt.AllowFrom, err = networks("allow-from", v.allowFrom); err != nil {
		return opt, false, err
	}
	for _, name := range list(v.advertise) {
		if _, err := netip.ParseAddr(name); err != nil && checkFQDN(name) != nil {
			return opt, false, exitf(exitUsage, "serve: --advertise %q is neither a host name nor an IP address", name)
		}
	}
	if v.approveFQDN != "" && !v.lab {
		return opt, false, exitf(exitUsage, "serve: --auto-approve-fqdn believes what hosts claim, so it needs --lab")
	}
	opt.AutoApproveFQDN = v.approveFQDN
	return opt, plain, nil
}

func networks(name, text string) (out []netip.Prefix, err error) {
	for _, one := range list(text) {
		p, err := parseNetwork(one)
		if err != nil {
			return nil, exitf(exitUsage, "serve: --%s %q is not a network", name, one)
		}
		out = append(out, p)
	}
	return out, nil
}

// parseNetwork takes a CIDR, or an address as the network of itself.
func parseNetwork(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		ip = ip.Unmap().WithZone("")
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	return p.Masked(), err
}

func (c *cli) serve(ctx context.Context, args []string) (err error) {
	f, data := c.flags("serve", "--data DIR [options]: run the manager until SIGTERM or SIGINT.")
	var v serveFlags
	v.define(f)
	words, err := c.parse(f, data, args)
	if err != nil {
		return err
	}
	if len(words) > 0 {
		return exitf(exitUsage, "serve: unexpected argument %q", words[0])
	}
	opt, plain, err := v.options()
	if err != nil {
		return err
	}
	opt.Dir = *data
	opt.Fs = afero.NewOsFs()
	opt.Log = logrus.New()
	opt.Log.SetOutput(c.stderr)
	opt.AccessLog = c.stderr
	if v.accessLog != "stderr" {
		access, err := openAccessLog(opt.Fs, opt.Dir, v.accessLog)
		if err != nil {
			return err
		}
		defer access.Close()
		opt.AccessLog = access
	}
	s, err := New(opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return c.listen(ctx, s, v, plain)
}

func openAccessLog(f afero.Fs, dir, path string) (afero.File, error) {
	if path == "" {
		path = filepath.Join(dir, "access.log")
	}
	if err := f.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	return f.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
}

func (c *cli) listen(ctx context.Context, s *Server, v serveFlags, plain bool) (err error) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", v.listen)
	if err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(ln.Addr().String())
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	if plain && !at.Addr().Unmap().IsLoopback() {
		_ = ln.Close()
		return exitf(exitUsage, "serve: --tls=off is for loopback addresses, not for %s", at.Addr())
	}
	own, forHosts := urls(at, list(v.advertise), plain)
	conf, err := s.TLSConfig(certNames(list(v.advertise), at.Addr()))
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	if plain {
		conf = nil
	}
	// The file for hosts comes last: who waits for it may use the other verbs.
	err = s.writeFile(s.path(fileURL), []byte(own+"\n"), 0o644)
	if err == nil && v.urlFile != "" {
		err = s.writeFile(v.urlFile, []byte(forHosts+"\n"), 0o644)
	}
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	// Without it the other verbs say that no manager runs here.
	defer func() {
		if gone := s.fs.Remove(s.path(fileURL)); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}()
	fmt.Fprintf(c.stdout, "listening on %s, CA at %s, SHA-256 %s\n", forHosts, s.path(fileCA), fingerprint(s.ca.cert))
	return s.Serve(ctx, ln, conf)
}

// urls returns the URL for the command line, which runs on this machine, and
// the one for hosts.
func urls(at netip.AddrPort, advertise []string, plain bool) (own, forHosts string) {
	scheme := "https://"
	if plain {
		scheme = "http://"
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.IsUnspecified() {
		ip = netip.MustParseAddr("127.0.0.1")
	}
	port := fmt.Sprint(at.Port())
	own = scheme + net.JoinHostPort(ip.String(), port)
	if len(advertise) == 0 {
		return own, own
	}
	return own, scheme + net.JoinHostPort(advertise[0], port)
}
