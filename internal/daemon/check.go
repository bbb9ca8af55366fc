package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/linux-patch/enroll/internal/config"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/whitelist"
)

// findings are what --check-config has to say. The first error decides the
// exit code.
type findings struct {
	lines []string
	first error
	// enrolls says that a start would enroll first.
	enrolls bool
}

func (f *findings) ok(format string, args ...any) {
	f.lines = append(f.lines, "ok       "+fmt.Sprintf(format, args...))
}

func (f *findings) warn(format string, args ...any) {
	f.lines = append(f.lines, "warning  "+fmt.Sprintf(format, args...))
}

func (f *findings) fail(err error) {
	if f.first == nil {
		f.first = err
	}
	// What several looks find is said once.
	if line := fmt.Sprintf("error    %v (%s: %s)", err, contract.CodeOf(err), contract.HintOf(err)); !slices.Contains(f.lines, line) {
		f.lines = append(f.lines, line)
	}
}

// checkConfig is --check-config: it looks at everything and changes nothing.
func (d *daemon) checkConfig(ctx context.Context) int {
	var f findings
	if err := d.configure(); err != nil {
		f.fail(err)
		// The rest is judged by the contract's paths, as far as they are known.
		d.cfg = &config.Config{}
		d.paths = d.cfg.Paths()
	} else {
		f.ok("%s: listens on %s", d.opt.config, strings.Join(d.listen, ", "))
		d.checkListen(ctx, &f)
	}
	d.checkFiles(&f)
	d.checkCertificates(&f)
	d.checkWhitelist(&f)
	d.checkEnrollment(ctx, &f)
	for _, line := range f.lines {
		fmt.Fprintln(d.env.Stdout, line)
	}
	switch {
	case f.first == nil:
		return 0
	case errors.Is(f.first, errListener):
		return exitListener
	}
	return contract.CodeOf(f.first).Info().Exit
}

// checkListen listens for a moment. A running agent, which has a status file, has the port.
func (d *daemon) checkListen(ctx context.Context, f *findings) {
	all, err := listenOn(ctx, d.listen)
	for _, ln := range all {
		_ = ln.Close()
	}
	status, _ := d.enroller.Files.Stat(d.opt.statusFile)
	switch inUse := errors.Is(err, syscall.EADDRINUSE); {
	case inUse && !status.Exists:
		f.warn("%v: unless that ends, a start fails", err)
	case err != nil && !inUse:
		f.first, f.lines = err, append(f.lines, fmt.Sprintf("error    %v", err))
	}
}

// checkFiles holds each path to the rules that enrollment and daemon rely on:
// no one else can replace it.
func (d *daemon) checkFiles(f *findings) {
	files := d.enroller.Files
	for _, path := range []string{
		d.opt.config, d.paths.CACert, d.paths.ServerCert, d.paths.ServerKey, d.paths.CRL, d.paths.Whitelist,
		filepath.Join(d.opt.stateDir, "token"), d.opt.statusFile,
	} {
		if err := files.CheckPath(path); err != nil {
			f.fail(err)
		}
	}
	if err := files.CheckLog(d.paths.AuditLog); err != nil {
		f.fail(err)
	}
	key, err := files.Stat(d.paths.ServerKey)
	switch {
	case err != nil:
		// CheckPath has said it.
	case key.Exists && key.Mode.Perm()&0o037 != 0:
		f.fail(contract.Errorf(contract.CodeFilesystem, "%s has mode %04o, so that others than its owner may use the private key", key.Path, key.Mode.Perm()).
			WithHint("chmod 0600 %s", key.Path))
	case key.Exists:
		f.ok("%s has mode %04o", key.Path, key.Mode.Perm())
	}
	for _, w := range d.warnings {
		f.warn("%s", w)
	}
	cert, _ := files.Stat(d.paths.ServerCert)
	for _, file := range d.openFiles() {
		// One of the certificate's owner is what the option owner makes.
		if files.Access(file).Others == nil && file.UID == cert.UID {
			f.warn("%v", files.Foreign(file))
			continue
		}
		f.fail(files.Foreign(file))
	}
	cfg, err := files.Stat(d.opt.config)
	if err == nil && cfg.Exists && d.cfg.Enrollment.PollingToken != "" && cfg.Mode.Perm()&0o007 != 0 {
		f.warn("%s holds the polling token and others can read it (mode %04o); chmod it to 0640", cfg.Path, cfg.Mode.Perm())
	}
}

func (d *daemon) checkCertificates(f *findings) {
	on := newInstalled(d.enroller.Files, d.paths)
	contents, _, err := on.read()
	var set *served
	if err == nil {
		set, err = on.load(contents, d.now())
	}
	if errors.Is(err, errTaken) && d.wouldEnroll() {
		// The way of a new host: not ready yet, but nothing is wrong.
		f.enrolls = true
		f.warn("certificates: %v: enrollment comes first", err)
		return
	}
	if err != nil {
		f.fail(contract.Errorf(contract.CodeBundleInvalid, "certificates: %w", err).
			WithHint("enroll, or put a certificate, its key and the CA in place"))
		return
	}
	for _, w := range set.warnings {
		f.warn("certificates: %s", w)
	}
	f.ok("%s: %s, valid until %s, SHA-256 %s", d.paths.ServerCert, set.facts.Subject, set.facts.NotAfter.Format("2006-01-02 15:04 MST"), set.facts.Fingerprint)
}

func (d *daemon) checkWhitelist(f *findings) {
	file, err := d.enroller.Files.Read(d.paths.Whitelist)
	if err != nil {
		f.fail(err)
		return
	}
	list, err := whitelist.Parse(file.Content)
	if err != nil {
		f.fail(contract.Errorf(contract.CodeWhitelist, "%s: %w", d.paths.Whitelist, err))
		return
	}
	for _, e := range list.Invalid {
		f.fail(contract.Errorf(contract.CodeWhitelist, "%s: line %d: %q is no IP address, CIDR network or host name", d.paths.Whitelist, e.Line, e.Text))
	}
	switch good := len(list.Entries) - len(list.Invalid); {
	case !file.Exists:
		f.warn("%s does not exist: no one may connect", d.paths.Whitelist)
	case good == 0:
		f.warn("%s has no entries: no one may connect", d.paths.Whitelist)
	default:
		f.ok("%s: entries %d", d.paths.Whitelist, good)
	}
}

// wouldEnroll says whether a start without certificates asks for some.
func (d *daemon) wouldEnroll() bool {
	p := d.params()
	p.Check = true
	since, err := d.enroller.TakenOut(p)
	return err == nil && (since == nil && d.hasManager() || d.opt.url != "")
}

// checkEnrollment tells how the host stands, and what it would do at a start.
func (d *daemon) checkEnrollment(ctx context.Context, f *findings) {
	p := d.params()
	p.Check = true
	since, err := d.enroller.TakenOut(p)
	switch {
	case err != nil:
		f.fail(err)
	case since != nil && d.opt.url == "":
		f.warn("this host was taken out on %s: it does not enroll by itself", since.Format("2006-01-02"))
	case d.hasManager():
		url, err := d.enroller.CheckClient(p)
		if err != nil {
			f.fail(err)
			return
		}
		f.ok("enrolls with %s where it must", url)
		// Check mode asks no manager, and changes nothing.
		if p.Wait = false; f.enrolls {
			if res := d.enroller.Run(ctx, p); res.Failed {
				f.fail(res.Err)
			}
		}
	default:
		f.warn("no manager is set: neither enrollment nor renewal happens by itself")
	}
}
