// Package admin is the administrator's side of enrollment: it logs in at a
// manager, decides which requests are those of the hosts of an inventory, and
// approves them. Arguments are one JSON object, and so is the answer.
//
// It promises that a request is approved only as package approval decides, that
// a login is tried once a run, that check mode only lists, and that no password,
// TOTP seed or token stands in its output, in its errors or in a file other than
// the run's own session file. The command reissue answers with a private key:
// that is what it is for, and its output goes to no one but the host.
package admin

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/nearest"
)

// Program is what one call of enrollment_admin has around it.
type Program struct {
	// Args are the command line's words after the program's name.
	Args    []string
	Stdin   io.Reader
	Stdout  io.Writer
	Version string
	Environment
}

const usage = `enrollment_admin approves the requests of hosts by proof, from the controller of an inventory.

  enrollment_admin [flags] approve FILE|-    decide on the requests of the hosts that the arguments list
  enrollment_admin [flags] requests [FILE|-] list the requests that wait; never changes anything
  enrollment_admin [flags] reissue FILE|-    make a new certificate set for one host; the output holds its key
  enrollment_admin [flags] logout FILE|-     end the session of session_path
  enrollment_admin --help | --version

  --check          log in and list, and say what would be done
  --output text    a table for people, in place of one JSON object

Arguments are one JSON object. Password, TOTP seed and tokens may stand in the environment too, as
LINUX_PATCH_MANAGER_URL, _USERNAME, _PASSWORD, _TOTP_SECRET and _TOKEN; give them on standard input,
never on a command line.

Example:
  echo '{"manager_url": "https://manager.example.com", "username": "robot", "password": "…"}' |
    enrollment_admin requests -

Arguments of approve and reissue:
  %s
Arguments of requests:
  %s

Exit codes:
   0  done
   1  done, and at least one host was refused: see its "reason"
%s`

// call is a parsed command line.
type call struct {
	command, file string
	check, text   bool
}

// Main runs the program and returns its exit code.
func (p Program) Main(ctx context.Context) int {
	c, err := p.parse()
	switch {
	case errors.Is(err, errHelp):
		return p.say(p.help())
	case errors.Is(err, errVersion):
		return p.say("enrollment_admin " + p.Version + "\n")
	}
	report, hide := newReport(), &secrets{}
	if err != nil {
		report.fail(err)
	} else {
		p.run(ctx, c, report, hide)
	}
	out := report.encode(hide)
	if c.text {
		out = hide.scrub(report.table())
	}
	if _, err := p.Stdout.Write(out); err != nil {
		return contract.CodeInternal.Info().Exit
	}
	return report.Exit()
}

func (p Program) say(text string) int {
	if _, err := io.WriteString(p.Stdout, text); err != nil {
		return contract.CodeInternal.Info().Exit
	}
	return 0
}

var errHelp, errVersion = errors.New("help"), errors.New("version")

func (p Program) parse() (call, error) {
	var c call
	var words []string
	for i := 0; i < len(p.Args); i++ {
		switch arg := p.Args[i]; {
		case arg == "--help" || arg == "-h":
			return c, errHelp
		case arg == "--version":
			return c, errVersion
		case arg == "--check":
			c.check = true
		case arg == "--output" || strings.HasPrefix(arg, "--output="):
			_, value, given := strings.Cut(arg, "=")
			if !given && i+1 < len(p.Args) {
				i++
				value = p.Args[i]
			}
			c.text = value == "text"
			if err := oneOf("--output", value, "json", "text"); err != nil {
				return c, err
			}
		case arg != "-" && strings.HasPrefix(arg, "-"):
			return c, usageError("%w", nearest.Flag(arg, []string{"check", "output", "help", "version"}))
		default:
			words = append(words, arg)
		}
	}
	if len(words) == 0 {
		return c, usageError("a command is missing: one of %s", strings.Join(commands, ", "))
	}
	if c.command = words[0]; c.command == "help" {
		return c, errHelp
	}
	if !slices.Contains(commands, c.command) {
		return c, usageError("unknown command %q: it must be one of %s%s", clip(c.command), strings.Join(commands, ", "), nearest.Meant(c.command, commands))
	}
	if len(words) > 2 || len(words) == 1 && c.command != commandRequests {
		return c, usageError("%s needs one arguments file; - reads standard input", c.command)
	}
	if len(words) == 2 {
		c.file = words[1]
	}
	return c, nil
}

func usageError(format string, args ...any) error {
	return contract.Errorf(contract.CodeInvalidArgument, format, args...).WithHint("see enrollment_admin --help")
}

// The commands.
const (
	commandApprove  = "approve"
	commandRequests = "requests"
	commandReissue  = "reissue"
	commandLogout   = "logout"
)

var commands = []string{commandApprove, commandRequests, commandReissue, commandLogout}

// run makes a failed report of a panic, so that one JSON object comes out. The
// value of a panic may hold anything, so only its type is told.
func (p Program) run(ctx context.Context, c call, report *Report, hide *secrets) {
	defer func() {
		if value := recover(); value != nil {
			report.fail(contract.Errorf(contract.CodeInternal, "the program met a fault of its own: %T", value))
		}
	}()
	raw, err := p.read(c.file)
	if err == nil {
		err = p.command(ctx, c, raw, report, hide)
	}
	if report.Results != nil {
		report.summary()
	}
	if err != nil {
		report.fail(interrupted(ctx, err))
	}
}

func interrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil || contract.CodeOf(err) == contract.CodeInterrupted || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	return contract.Errorf(contract.CodeInterrupted, "stopped by a signal: %w", err)
}

// command runs one command over its arguments.
func (p Program) command(ctx context.Context, c call, raw []byte, report *Report, hide *secrets) (err error) {
	var approve ApproveParams
	var list RequestsParams
	params, connection, settle := any(&approve), &approve.Connection, approve.settle
	if c.command == commandRequests {
		params, connection, settle = &list, &list.Connection, list.settle
	}
	check, err := decode(raw, params)
	if err != nil {
		return err
	}
	connection.fromEnvironment(p.Getenv)
	hide.add(connection.secrets()...)
	if err := settle(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(connection.Timeout)*time.Second)
	defer cancel()
	r := &run{env: p.Environment, c: connection, check: check || c.check, secrets: hide, report: report}
	marked := func(h HostEntry) bool { return h.marked }
	defer func() { r.leave(ctx, err, c.command == commandReissue, slices.ContainsFunc(approve.Hosts, marked)) }()
	a := &approving{run: r, p: &approve}
	if c.command == commandReissue || approve.State == StateWithdrawn || approve.State == StateClosed {
		approve.Hosts = slices.DeleteFunc(approve.Hosts, HostEntry.onlyKnown)
	}
	switch {
	case c.command == commandRequests:
		return r.requests(ctx, &list)
	case c.command == commandLogout:
		return r.logout(ctx)
	case c.command == commandReissue:
		return a.reissue(ctx)
	case approve.State == StateWithdrawn:
		return a.withdraw(ctx)
	case approve.State == StateClosed:
		return a.closeRun(ctx)
	}
	return a.approve(ctx)
}

func (p Program) read(file string) ([]byte, error) {
	from := p.Stdin
	switch file {
	case "":
		return []byte("{}"), nil
	case "-":
	default:
		f, err := os.Open(file)
		if err != nil {
			return nil, contract.Errorf(contract.CodeInvalidArgument, "the arguments file cannot be read: %w", err)
		}
		defer f.Close()
		from = f
	}
	raw, err := io.ReadAll(io.LimitReader(from, maxArguments+1))
	if err != nil {
		return nil, contract.Errorf(contract.CodeInvalidArgument, "the arguments cannot be read: %w", err)
	}
	if len(raw) > maxArguments {
		return nil, contract.Errorf(contract.CodeInvalidArgument, "the arguments are longer than %d bytes; approve in waves", maxArguments)
	}
	return raw, nil
}
