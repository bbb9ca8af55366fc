package manager

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/linux-patch/enroll/internal/nearest"
)

// The exit codes of the command line.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 64 // as of the other programs
	exitNotFound    = 3
	exitConflict    = 4
	exitUnreachable = 5
)

const usage = `linux_patch_manager is ` + notProduction + `.

Usage: linux_patch_manager VERB [options]

  serve          run the manager
  list           list the requests that wait
  approve        approve requests: --all, --fqdn X, --machine-id X, or ids
  deny           deny requests, chosen in the same way
  hosts          list the approved hosts
  remove-host    remove a host (FQDN or machine-id) and revoke its certificate
  issue-client   issue a clientAuth certificate to call hosts with
  revoke         revoke a certificate (serial number, or a host's FQDN)
  accounts       list the accounts of the admin API
  add-account    make an account: password, role, TOTP seed
  set-account    change an account, or unlock it
  remove-account remove an account

"linux_patch_manager VERB --help" shows the options of a verb. Every verb takes
--data DIR (else LINUX_PATCH_MANAGER_DATA). The verbs other than serve talk to
the manager that runs on that directory; its admin token is read from there.

Exit codes: 0 done, 1 failed, 3 nothing of that name, 4 refused because the host
exists, 5 no manager can be reached, 64 wrong usage.
`

// cli is one run of the program.
type cli struct {
	version        string
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) string
}

// exitError carries an exit code other than exitFailed.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func exitf(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

// Run is the program linux_patch_manager; args are without its name. Only an
// option that says so reads standard input. It returns the exit code.
func Run(ctx context.Context, version string, args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) string) int {
	c := &cli{version, stdin, stdout, stderr, env}
	err := c.run(ctx, args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	fmt.Fprintf(stderr, "linux_patch_manager: %v\n", err)
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return exitFailed
}

func (c *cli) run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		_, _ = io.WriteString(c.stderr, usage)
		return exitf(exitUsage, "a verb is missing")
	}
	verb, args := args[0], args[1:]
	switch verb {
	case "-h", "-help", "--help", "help":
		_, err := io.WriteString(c.stdout, usage)
		return err
	case "-version", "--version", "version":
		_, err := fmt.Fprintf(c.stdout, "linux_patch_manager (reference) %s\n", c.version)
		return err
	case "serve":
		return c.serve(ctx, args)
	}
	run, ok := verbs[verb]
	if !ok {
		return unknownVerb(verb)
	}
	return run(c, ctx, args)
}

func unknownVerb(verb string) error {
	if strings.HasPrefix(verb, "-") {
		return exitf(exitUsage, "%w (a verb comes first; see linux_patch_manager --help)", nearest.Flag(verb, []string{"help", "version"}))
	}
	known := append(slices.Sorted(maps.Keys(verbs)), "serve", "help", "version")
	return exitf(exitUsage, "unknown verb %q%s (see linux_patch_manager --help)", verb, nearest.Meant(verb, known))
}

// flags makes a verb's flag set with the options that all have.
func (c *cli) flags(verb, synopsis string) (*flag.FlagSet, *string) {
	f := flag.NewFlagSet(verb, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	data := f.String("data", c.env("LINUX_PATCH_MANAGER_DATA"), "data directory of the manager")
	// Package flag calls Usage, with its output set to nowhere, also when an
	// option is wrong: then only the error is shown.
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "linux_patch_manager %s %s\n\nThis is %s.\n\n", verb, synopsis, notProduction)
		f.PrintDefaults()
	}
	return f, data
}

// parse lets options stand before and after the other words, and returns
// those words.
func (c *cli) parse(f *flag.FlagSet, data *string, args []string) ([]string, error) {
	var words []string
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				f.SetOutput(c.stdout)
				f.Usage()
				return nil, err
			}
			return nil, exitf(exitUsage, "%s: %w (see linux_patch_manager %s --help)", f.Name(), nearest.Parsed(err, namesOf(f)), f.Name())
		}
		args = f.Args()
		if len(args) == 0 {
			break
		}
		words, args = append(words, args[0]), args[1:]
	}
	if *data == "" {
		return nil, exitf(exitUsage, "%s: --data DIR is missing", f.Name())
	}
	return words, nil
}

func namesOf(f *flag.FlagSet) []string {
	names := []string{"help"}
	f.VisitAll(func(known *flag.Flag) { names = append(names, known.Name) })
	return names
}

// list splits a comma list, leaving out what is empty.
func list(text string) []string {
	var out []string
	for p := range strings.SplitSeq(text, ",") {
		if p = strings.TrimSpace(p); p != "" {
			out = append(out, p)
		}
	}
	return out
}
