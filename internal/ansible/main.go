package ansible

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/nearest"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/report"
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
  enrollment info [OPTION…] [FILE|-]           report the enrollment, change nothing
  enrollment --help | --version

  --check             ask nothing, write nothing; say what would be done
  --diff              with the differences of each file
  --exit-code         of info: 0 enrolled without a problem; 30 enrolled with problems; 31 absent;
                      32 pending; 33 foreign; 34 denied; 35 request_expired
  --output FORMAT     of info: json; text for a person, in colour on a terminal unless NO_COLOR
                      is set; prometheus for the textfile collector of node_exporter
  --output-file FILE  of info: write the report to FILE, replaced at once, mode 0644

Example:
  echo '{"manager_url": "https://manager.example.com", "wait": false}' | enrollment -

Options of enrollment:
  %s
Options of enrollment info; those of enrollment alone are checked and of no effect:
  %s

Exit codes:
   0  done, or pending without wait: see "state" in the result
%s`

// Main runs the program and returns its exit code. It writes to Stdout once.
func (p Program) Main(ctx context.Context) int {
	call, err := parseCommandLine(p.Args)
	if err != nil {
		return p.write(report.Failed(err), &Secrets{})
	}
	switch {
	case call.help:
		return p.print(p.help())
	case call.version:
		return p.print("enrollment " + p.Version + "\n")
	}
	return p.run(ctx, call)
}

func (p Program) print(text string) int {
	if _, err := io.WriteString(p.Stdout, text); err != nil {
		return contract.CodeInternal.Info().Exit
	}
	return 0
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
		return p.failed(err, secrets, call)
	}
	a, err := split(raw, call.module)
	if err != nil {
		return p.failed(err, secrets, call)
	}
	a.control.Check = a.control.Check || call.check
	a.control.Diff = a.control.Diff || call.diff
	if a.control.Bundle != nil {
		if call.file != "-" {
			return p.write(report.Failed(contract.Errorf(contract.CodeInvalidArgument, "a re-issued set is taken from standard input alone")), secrets)
		}
		secrets.addKeys(a.control.Bundle)
	}
	if a.control.Module == ModuleInfo {
		return p.info(ctx, a, secrets, call)
	}
	return p.enroll(ctx, a, secrets)
}

func (p Program) enroll(ctx context.Context, a arguments, secrets *Secrets) int {
	params, err := p.Reader.Params(a)
	if err != nil {
		return p.write(report.Failed(err), secrets)
	}
	e, err := p.Enroller(secrets.Add)
	if err != nil {
		return p.write(report.Failed(err), secrets)
	}
	if p.Terminal && !a.control.Ansible && params.Wait {
		e.Progress = p.progress()
	}
	result := e.Run(ctx, params)
	if !a.control.Diff {
		result.Diff = nil
	}
	if info := p.lookAgain(ctx, e, a.control, result); info != nil {
		return p.write(withReport{result, info}, secrets)
	}
	// Not with a report that is nil: encoding/json looks at all fields of a type
	// that it meets, which would be half of the encoding.
	return p.write(result, secrets)
}

// withReport is a result with the report of enrollment_info, where one was asked
// for: the controller takes it out again.
type withReport struct {
	*report.Result
	Info *enroll.Info `json:"info"`
}

// lookAgain makes that report after a run that changed nothing. After a change
// the agent has to load the files first, so that a report now would be too early.
func (p Program) lookAgain(ctx context.Context, e *enroll.Enroller, control Control, result *report.Result) *enroll.Info {
	if control.Info == nil || result.Failed || result.Changed {
		return nil
	}
	params, err := p.Reader.InfoParams(arguments{control: Control{Module: ModuleInfo}, options: control.Info})
	if err != nil {
		// The task that verifies says it.
		return nil
	}
	return e.Info(ctx, params)
}

func (p Program) info(ctx context.Context, a arguments, secrets *Secrets, call call) int {
	params, err := p.Reader.InfoParams(a)
	if err != nil {
		return p.failed(err, secrets, call)
	}
	e, err := p.Enroller(secrets.Add)
	if err != nil {
		return p.failed(err, secrets, call)
	}
	return p.report(e.Info(ctx, params), secrets, call)
}

// failed ends a run before its use case.
func (p Program) failed(err error, secrets *Secrets, call call) int {
	if call.format == "" && call.outputFile == "" {
		return p.write(report.Failed(err), secrets)
	}
	return p.report(unreported(err), secrets, call)
}

func (p Program) write(result interface{ Exit() int }, secrets *Secrets) int {
	if _, err := p.Stdout.Write(encode(result, secrets)); err != nil {
		// No one reads: there is no other place to say it.
		return contract.CodeInternal.Info().Exit
	}
	return result.Exit()
}

// words are those that may stand where a file may.
var words = []string{"info", "help"}

func (p Program) read(file string) ([]byte, error) {
	switch file {
	case "":
		return []byte("{}"), nil
	case "-":
		return limited(p.Stdin, "standard input")
	}
	f, err := p.Files.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usageError(fmt.Sprintf("the arguments file cannot be read: %v%s", err, nearest.Meant(file, words)))
	}
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
	module      string
	file        string
	check, diff bool
	exitCode    bool
	// format and outputFile are of info; empty is JSON on standard output.
	format, outputFile string
	help, version      bool
}

// flags are those of the command line.
var flags = []string{"check", "diff", "exit-code", "output", "output-file", "help", "version"}

func parseCommandLine(args []string) (call, error) {
	c := call{module: ModuleEnrollment}
	var files []string
	for i := 0; i < len(args); i++ {
		name, value, given := strings.Cut(args[i], "=")
		switch {
		case args[i] == "info" && i == 0:
			c.module = ModuleInfo
		case args[i] == "help" && i == 0:
			c.help = true
		case args[i] == "-" || !strings.HasPrefix(args[i], "-"):
			files = append(files, args[i])
		case c.valued(name) != nil:
			if !given {
				rest := args[i+1:]
				if len(rest) == 0 {
					return c, usageError(name + " needs a value")
				}
				value = rest[0]
				i++
			}
			if *c.valued(name) = value; value == "" {
				return c, usageError(name + " needs a value")
			}
		case c.switched(args[i]) != nil:
			*c.switched(args[i]) = true
		default:
			return c, usageError(nearest.Flag(args[i], flags).Error())
		}
	}
	if c.help || c.version {
		return c, nil
	}
	return c.complete(files)
}

// valued is where the value of an option goes; nil where it takes none.
func (c *call) valued(option string) *string {
	return map[string]*string{"--output": &c.format, "--output-file": &c.outputFile}[option]
}

// switched is what an option without a value switches on; nil where there is no
// such option.
func (c *call) switched(option string) *bool {
	return map[string]*bool{
		"--help": &c.help, "-h": &c.help, "--version": &c.version,
		"--check": &c.check, "--diff": &c.diff, "--exit-code": &c.exitCode,
	}[option]
}

func (c call) complete(files []string) (call, error) {
	switch {
	case len(files) > 1:
		return c, usageError("more than one arguments file")
	case len(files) == 1:
		c.file = files[0]
	case c.module == ModuleEnrollment:
		return c, usageError("no arguments file; - reads standard input")
	}
	return c, c.checkFormat()
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
		strings.Join(Options(options.Params{}), ", "), strings.Join(Options(options.InfoParams{}), ", "), codes.String())
}
