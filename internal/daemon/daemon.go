// Package daemon is the program linux_patch_api, the reference agent: it
// enrolls the host where that is needed, and in the same process listens with
// mutual TLS.
//
// It promises that only TLS 1.3 connections from whitelisted addresses, with a
// client certificate that the installed CA signed and its CRL does not list,
// get an answer, each judged when it is made and again at each request; that
// new certificates, CRL and whitelist are loaded while it runs, with no
// handshake failing for it; and that a set which does not verify is never
// loaded. It does not manage patches: it answers health checks only.
package daemon

import (
	"context"
	"errors"
	"flag"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/linux-patch/enroll/internal/config"
	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/hostfs"
)

// Env is what one run of the program has around it.
type Env struct {
	// Args are the command line's words after the program's name.
	Args           []string
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Version        string
	// Hangup delivers SIGHUP, which asks to read everything again.
	Hangup <-chan os.Signal
	// Enroller makes the use case; secret is told each secret.
	Enroller func(secret func(string)) (*enroll.Enroller, error)
	// LookupIP is that of net.Resolver; network is "ip".
	LookupIP func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// exitListener is the exit code of a daemon that cannot listen, or no more:
// none of the contract's codes, which are about enrollment.
const exitListener = 1

// errListener marks such an end.
var errListener = errors.New("listener")

// daemon is one run of the program.
type daemon struct {
	env      Env
	opt      commandLine
	con      *console
	out      logOutlet
	log      *logrus.Logger
	enroller *enroll.Enroller
	notify   notifier

	cfg   *config.Config
	paths config.Paths
	// warnings name the links that were followed to the files.
	warnings []string
	// listen are the addresses to listen on.
	listen []string
}

// Run runs the program until ctx ends, and returns its exit code.
func Run(ctx context.Context, env Env) int {
	journal := underJournal(env.Getenv, env.Stderr)
	out := newOutlet(env.Stderr, journal)
	defer out.Flush(flushWithin)
	con := newConsole(out, env.Stderr)
	log := newLogger(con, journal)
	opt, err := parseFlags(env.Args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return say(log, env.Stdout, help())
	case err != nil:
		return fail(log, err)
	case opt.version:
		return say(log, env.Stdout, "linux_patch_api "+env.Version+"\n")
	}
	d := &daemon{env: env, opt: opt, con: con, out: out, log: log, notify: newNotifier(env.Getenv, os.Getpid())}
	if d.enroller, err = env.Enroller(con.Hide); err != nil {
		return fail(log, err)
	}
	if err := d.locate(); err != nil {
		return fail(log, err)
	}
	if opt.check {
		return d.checkConfig(ctx)
	}
	if err := d.configure(); err != nil {
		return fail(log, err)
	}
	if opt.only {
		return d.enrollOnly(ctx)
	}
	for _, w := range d.warnings {
		log.Warn(w)
	}
	for _, file := range d.openFiles() {
		log.Warn(d.enroller.Files.Foreign(file).Error())
	}
	return fail(log, d.run(ctx))
}

func say(log *logrus.Logger, out io.Writer, text string) int {
	_, err := io.WriteString(out, text)
	return fail(log, err)
}

// configure reads config.yaml. A missing one is none, unless it was named.
func (d *daemon) configure() error {
	cfg, err := d.readConfig()
	if err != nil {
		return err
	}
	if cfg.TLS.Enabled != nil && !*cfg.TLS.Enabled {
		return contract.Errorf(contract.CodeConfig, "%s: tls.enabled is false, and this agent listens with mutual TLS only", d.opt.config).
			WithHint("set tls.enabled to true or leave it out")
	}
	paths, warnings, err := d.enroller.Host().LocateAll(d.opt.config, cfg.Paths())
	if err != nil {
		return err
	}
	d.warnings = append(d.warnings, warnings...)
	d.cfg, d.paths = cfg, paths
	d.listen = d.listenAddresses(cfg)
	d.setLevel(cfg)
	return nil
}

func (d *daemon) readConfig() (*config.Config, error) {
	file, err := d.enroller.Files.Read(d.opt.config)
	if err != nil {
		return nil, &contract.Error{Code: contract.CodeConfig, Err: err}
	}
	if !file.Exists && d.opt.configGiven {
		return nil, contract.Errorf(contract.CodeConfig, "%s does not exist", d.opt.config)
	}
	if err := d.enroller.Host().TrustConfig(file); err != nil {
		return nil, err
	}
	cfg, err := config.Parse(file.Content)
	if err == nil {
		err = cfg.Validate()
	}
	if err != nil {
		return nil, contract.Errorf(contract.CodeConfig, "%s: %w", d.opt.config, err)
	}
	if token := cfg.Enrollment.PollingToken; token != "" {
		d.con.Hide(token)
	}
	return cfg, nil
}

// locate finds the real places of what the command line names.
func (d *daemon) locate() error {
	for _, path := range []*string{&d.opt.config, &d.opt.statusFile} {
		place, warnings, err := d.enroller.Host().Locate(*path)
		if err != nil {
			return err
		}
		*path, d.warnings = place, append(d.warnings, warnings...)
	}
	place, warnings, err := d.enroller.Host().LocateDir(d.opt.stateDir)
	d.opt.stateDir, d.warnings = place, append(d.warnings, warnings...)
	return err
}

// openFiles are those that someone else may write. What serves goes on serving:
// an agent that stops would help anyone who wants it to.
func (d *daemon) openFiles() []hostfs.File {
	var open []hostfs.File
	for _, path := range []string{d.paths.CACert, d.paths.ServerCert, d.paths.ServerKey, d.paths.CRL, d.paths.Whitelist} {
		// One that cannot be looked at is an error of the reading.
		if file, err := d.enroller.Files.Stat(path); err == nil && !d.enroller.Files.Access(file).Closed() {
			open = append(open, file)
		}
	}
	return open
}

func (d *daemon) setLevel(cfg *config.Config) {
	level := logrus.InfoLevel
	if parsed, err := logrus.ParseLevel(cfg.Logging.Level); err == nil {
		level = parsed
	}
	if d.opt.verbose {
		level = max(level, logrus.DebugLevel)
	}
	d.log.SetLevel(level)
}

// fail says in one line why the program ends, and returns its exit code.
func fail(log *logrus.Logger, err error) int {
	if err == nil {
		return 0
	}
	if errors.Is(err, errListener) {
		log.Error(err.Error())
		return exitListener
	}
	code := contract.CodeOf(err)
	log.WithFields(logrus.Fields{"code": code, "hint": contract.HintOf(err)}).Error(err.Error())
	return code.Info().Exit
}

// now is the clock of everything that judges certificates.
func (d *daemon) now() time.Time { return d.enroller.Now() }
