package ansible

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/enroll"
)

// Program is what one call of the program has around it.
type Program struct {
	// Args are the command line's words after the program's name.
	Args   []string
	Stdin  io.Reader
	Stdout io.Writer
	// Terminal says that a person reads Stdout.
	Terminal bool
	// Files is where the arguments file is read from.
	Files   afero.Fs
	Version string
	Reader  Reader
	// Enroller makes the use case; it is made only once arguments are good.
	Enroller func(secret func(string)) (*enroll.Enroller, error)
}

const usage = `enrollment enrolls this host with a linux_patch_manager: it registers, waits until an
administrator approves, and puts the certificates, key and whitelist entry in place.

It is the Ansible module linux_patch.api.enrollment and runs without Ansible too:
JSON arguments in, one JSON result out.

  enrollment [--check] [--diff] FILE|-         enroll; the arguments from FILE or standard input
  enrollment info [--exit-code] [FILE|-]       report the enrollment, change nothing
  enrollment --help | --version

  --check   ask nothing, write nothing; say what would be done
  --diff    with the differences of each file
  --exit-code
            of info: 0 enrolled without a problem; 30 enrolled with problems; 31 absent;
            32 pending; 33 foreign; 34 denied; 35 request_expired

Example:
  echo '{"manager_url": "https://manager.example.com", "wait": false}' | enrollment -

Options of enrollment:
  %s
Options of enrollment info:
  %s

Exit codes:
   0  done, or pending without wait: see "state" in the result
%s`

// Main runs the program and returns its exit code. It writes to Stdout once.
func (p Program) Main(ctx context.Context) int {
	call, err := parseCommandLine(p.Args)
	if err != nil {
		return p.write(failure(err), &Secrets{})
	}
	switch {
	case call.help:
		fmt.Fprint(p.Stdout, p.help())
		return 0
	case call.version:
		fmt.Fprintln(p.Stdout, "enrollment", p.Version)
		return 0
	}
	return p.run(ctx, call)
}

// run makes a failed result of a panic, so that Ansible still reads JSON.
func (p Program) run(ctx context.Context, call call) (exit int) {
	secrets := &Secrets{}
	defer func() {
		if value := recover(); value != nil {
			exit = p.write(panicked(value), secrets)
		}
	}()
	raw, err := p.read(call.file)
	if err != nil {
		return p.write(failure(err), secrets)
	}
	a, err := split(raw, call.module)
	if err != nil {
		return p.write(failure(err), secrets)
	}
	a.control.Check = a.control.Check || call.check
	a.control.Diff = a.control.Diff || call.diff
	if a.control.Bundle != nil {
		if call.file != "-" {
			return p.write(failure(contract.Errorf(contract.CodeInvalidArgument, "a re-issued set is taken from standard input alone")), secrets)
		}
		secrets.addKeys(a.control.Bundle)
	}
	if a.control.Module == ModuleInfo {
		return p.info(ctx, a, secrets, call.exitCode)
	}
	return p.enroll(ctx, a, secrets)
}

func (p Program) enroll(ctx context.Context, a arguments, secrets *Secrets) int {
	params, err := p.Reader.Params(a)
	if err != nil {
		return p.write(failure(err), secrets)
	}
	e, err := p.Enroller(secrets.Add)
	if err != nil {
		return p.write(failure(err), secrets)
	}
	if p.Terminal && !a.control.Ansible && params.Wait {
		e.Progress = p.tellApprover()
	}
	result := e.Run(ctx, params)
	if !a.control.Diff {
		result.Diff = nil
	}
	return p.write(result, secrets)
}

// tellApprover shows, once and before the approval, what an administrator
// compares.
func (p Program) tellApprover() func(enroll.Progress) {
	told := false
	return func(m enroll.Progress) {
		if !told && m.FQDN != "" {
			fmt.Fprintf(p.Stdout, "waiting for approval: fqdn %s, machine_id %s\n", m.FQDN, m.MachineID)
			told = true
		}
	}
}

func (p Program) info(ctx context.Context, a arguments, secrets *Secrets, byState bool) int {
	params, err := p.Reader.InfoParams(a)
	if err != nil {
		return p.write(failure(err), secrets)
	}
	e, err := p.Enroller(secrets.Add)
	if err != nil {
		return p.write(failure(err), secrets)
	}
	info := e.Info(ctx, params)
	if exit := p.write(info, secrets); exit != 0 || !byState {
		return exit
	}
	return info.StateExit()
}

func (p Program) write(result interface{ Exit() int }, secrets *Secrets) int {
	if _, err := p.Stdout.Write(encode(result, secrets)); err != nil {
		// Nobody reads: there is no other place to say it.
		return contract.CodeInternal.Info().Exit
	}
	return result.Exit()
}

func (p Program) read(file string) ([]byte, error) {
	switch file {
	case "":
		return []byte("{}"), nil
	case "-":
		return limited(p.Stdin, "standard input")
	}
	f, err := p.Files.Open(file)
	if err != nil {
		return nil, contract.Errorf(contract.CodeInvalidArgument, "the arguments file cannot be read: %w", err)
	}
	defer f.Close()
	return limited(f, file)
}

func limited(r io.Reader, name string) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxArguments+1))
	switch {
	case err != nil:
		return nil, contract.Errorf(contract.CodeInvalidArgument, "the arguments cannot be read: %w", err)
	case len(bytes.TrimSpace(raw)) == 0:
		return nil, contract.Errorf(contract.CodeInvalidArgument, "%s is empty: one JSON object of arguments is needed, {} at least", name)
	case len(raw) > maxArguments:
		return nil, contract.Errorf(contract.CodeInvalidArgument, "%s holds more than %d bytes of arguments", name, maxArguments)
	}
	return raw, nil
}

// call is a parsed command line.
type call struct {
	module        string
	file          string
	check, diff   bool
	exitCode      bool
	help, version bool
}

func parseCommandLine(args []string) (call, error) {
	c := call{module: ModuleEnrollment}
	var files []string
	for i, arg := range args {
		switch {
		case arg == "--help" || arg == "-h":
			c.help = true
		case arg == "--version":
			c.version = true
		case arg == "--check":
			c.check = true
		case arg == "--diff":
			c.diff = true
		case arg == "--exit-code":
			c.exitCode = true
		case arg == "info" && i == 0:
			c.module = ModuleInfo
		case arg != "-" && strings.HasPrefix(arg, "-"):
			return c, usageError(fmt.Sprintf("unknown flag %q", clip(arg)))
		default:
			files = append(files, arg)
		}
	}
	if c.help || c.version {
		return c, nil
	}
	switch {
	case c.exitCode && c.module != ModuleInfo:
		return c, usageError("--exit-code is for info only")
	case len(files) > 1:
		return c, usageError("more than one arguments file")
	case len(files) == 1:
		c.file = files[0]
	case c.module == ModuleEnrollment:
		return c, usageError("no arguments file; - reads standard input")
	}
	return c, nil
}

func usageError(what string) error {
	return (&contract.Error{Code: contract.CodeInvalidArgument, Err: errors.New(what)}).WithHint("see enrollment --help")
}

func (p Program) help() string {
	var codes strings.Builder
	for _, c := range contract.Codes {
		fmt.Fprintf(&codes, "%4d  %-24s %s\n", c.Exit, c.Code, c.Meaning)
	}
	return fmt.Sprintf(usage,
		strings.Join(Options(enroll.Params{}), ", "), strings.Join(Options(enroll.InfoParams{}), ", "), codes.String())
}
