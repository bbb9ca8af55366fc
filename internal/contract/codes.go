package contract

import (
	"errors"
	"fmt"
)

// Code is a stable name for one kind of failure. Playbooks and scripts match
// on it; messages may change, codes do not.
type Code string

// The error codes. What each means, its exit code and whether trying again
// can help is in Codes.
const (
	CodeInvalidArgument Code = "ENROLL_INVALID_ARGUMENT"
	CodeConfig          Code = "ENROLL_CONFIG"
	CodeIdentity        Code = "ENROLL_IDENTITY"
	CodeFilesystem      Code = "ENROLL_FILESYSTEM"
	CodeWhitelist       Code = "ENROLL_WHITELIST"
	CodeLocked          Code = "ENROLL_LOCKED"
	CodeUnsupported     Code = "ENROLL_UNSUPPORTED"
	CodeUnreachable     Code = "ENROLL_UNREACHABLE"
	CodeTLSUntrusted    Code = "ENROLL_TLS_UNTRUSTED"
	CodeRejected        Code = "ENROLL_REJECTED"
	CodeConflict        Code = "ENROLL_CONFLICT"
	CodeRateLimited     Code = "ENROLL_RATE_LIMITED"
	CodeManagerError    Code = "ENROLL_MANAGER_ERROR"
	CodeBadAnswer       Code = "ENROLL_BAD_ANSWER"
	CodeDenied          Code = "ENROLL_DENIED"
	CodeTokenUnknown    Code = "ENROLL_TOKEN_UNKNOWN"
	CodeTimeout         Code = "ENROLL_TIMEOUT"
	CodeBundleInvalid   Code = "ENROLL_BUNDLE_INVALID"
	CodeBundleLost      Code = "ENROLL_BUNDLE_LOST"
	CodeLogin           Code = "ENROLL_LOGIN"
	CodeInternal        Code = "ENROLL_INTERNAL"
	CodeInterrupted     Code = "ENROLL_INTERRUPTED"
)

// CodeInfo is what a user needs to know of a Code.
type CodeInfo struct {
	Code Code
	// Exit is the exit code of the programs.
	Exit int
	// Retryable says that the same run, later and unchanged, may succeed
	// without anyone doing anything.
	Retryable bool
	// Meaning says in one line what happened.
	Meaning string
	// Hint says what to do next.
	Hint string
}

// Codes lists every error code, by exit code; wrong use comes first, with EX_USAGE
// of sysexits.h. Exit code 0 is success; a pending enrollment is a success too,
// told by the result's state. 2 is none of them: a Go program that crashed, or was
// aborted by a watchdog, ends with it, and must be started again.
var Codes = []CodeInfo{
	{CodeInvalidArgument, 64, false, "an option is unknown, missing, or has a value that it cannot have",
		"correct the option that the message names"},
	{CodeConfig, 3, false, "config.yaml cannot be read or edited, or an option contradicts it",
		"correct config.yaml, or leave the option out so that config.yaml decides"},
	{CodeIdentity, 4, false, "the host cannot say who it is (machine-id, name or address), or its clock is wrong",
		"fix what the message names, or set fqdn, report_ip or report_interface"},
	{CodeFilesystem, 5, false, "a file or directory cannot be read, written or trusted",
		"fix the path that the message names and run again; nothing that was stored is lost"},
	{CodeWhitelist, 6, false, "the whitelist is not one, or is written in a form that cannot be edited safely",
		"add the line that the message names by hand, or correct the file"},
	{CodeLocked, 7, true, "another run holds the lock",
		"wait for the other run, or raise lock_timeout; if it is an agent that waits for approval, stop it, or approve or deny its request on the manager"},
	{CodeUnsupported, 8, false, "this system is not Linux",
		"enroll Linux hosts only"},
	{CodeUnreachable, 10, true, "the manager cannot be reached",
		"check the URL, name resolution, the route, firewalls and the proxy"},
	{CodeTLSUntrusted, 11, false, "the manager's HTTPS certificate is not trusted",
		"set manager_ca_path, manager_ca_pem or manager_ca_fingerprint to the manager's CA; do not reach for insecure"},
	{CodeRejected, 12, false, "the manager refuses this host's identity (400)",
		"compare machine_id, fqdn and address in the result with what the manager accepts"},
	{CodeConflict, 13, false, "the manager already knows this machine and this host has no token for it (409)",
		"on the manager, deny the pending request; if it lists this host, re-issue its certificates there (its groups and history stay; install the answer with bundle_path), or remove the host; then run again"},
	{CodeRateLimited, 14, true, "the manager's rate limit is reached (429)",
		"run again later; behind one NAT address all hosts share one limit"},
	{CodeManagerError, 15, true, "the manager reports an error of its own (5xx)",
		"look at the manager's log; a machine_id that is already pending is answered with 500 by deployed managers"},
	{CodeBadAnswer, 16, false, "the manager's answer is not what the contract says",
		"check that manager_url is that of a linux_patch_manager, and that no proxy or login page answers in its place"},
	{CodeDenied, 17, false, "an administrator denied the request",
		"ask the manager's administrators; the next run makes a new request"},
	{CodeTokenUnknown, 18, false, "the manager does not know the polling token: expired after 24 h, denied, purged, or approved and not fetched in time",
		"run again to make a new request; if the manager lists this host, it was approved and not fetched in time: " + KnownHost + ", then run again"},
	{CodeTimeout, 19, true, "no one approved within wait_timeout or max_poll_attempts",
		"the request stays; run again after an administrator has approved it"},
	{CodeBundleInvalid, 20, false, "the PKI bundle does not verify",
		"look at the reason in the message; what a manager sent is kept in state_dir as rejected.*"},
	{CodeBundleLost, 21, false, "an answer that may have held the bundle was lost on its way",
		"if the manager lists this host, " + KnownHost + ", then run again"},
	{CodeLogin, 22, false, "the manager refuses the administrator's login, or that account may not do this",
		"check the account, its role and the second factor; a failed login is never repeated by itself"},
	{CodeInternal, 70, false, "the program met a state that it does not know",
		"report it with the result; token and bundle are kept"},
	{CodeInterrupted, 130, true, "a signal ended the run",
		"run again; token and bundle are kept"},
}

// KnownHost says what to do where the manager holds the host already: it refuses
// to approve another request (contract, admin API). Re-issuing comes first, since
// removing a host loses its groups and history.
const KnownHost = "its certificates can be re-issued there (its groups and history stay; install the answer with bundle_path), or an administrator removes the host there first"

// Info returns what is known of c; an unknown code is CodeInternal.
func (c Code) Info() CodeInfo {
	for _, i := range Codes {
		if i.Code == c {
			return i
		}
	}
	return CodeInternal.Info()
}

// Error is a failure with a code: what every package returns when it knows
// which kind of failure a user has before them.
type Error struct {
	Code Code
	// Err says what happened, to which file or URL. It holds no secret.
	Err error
	// Hint, where not empty, replaces the code's hint.
	Hint string
}

// Errorf makes an Error from a format with at most one %w.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// WithHint sets what to do next, in place of the code's own hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the code of the outermost Error in err's chain, and
// CodeInternal where there is none.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// HintOf returns what to do about err.
func HintOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok && e.Hint != "" {
		return e.Hint
	}
	return CodeOf(err).Info().Hint
}
