// Package torture runs a program under ptrace(2) and kills it, or makes it
// fail, at a chosen system call. It is for tests alone.
//
// System calls are counted over the whole process, in the order in which its
// threads enter them: a Go program moves between threads, so that a count per
// thread, as strace --inject has it, misses points and does not repeat. The
// order of two threads may differ between runs: what was hit is in the trace.
//
// A call that is hit does not happen: the process is killed, or told an error,
// on its way into the kernel. So a kill at call N leaves exactly the effects of
// the N calls before it.
package torture

import (
	"errors"
	"syscall"
	"time"
)

// ErrUnsupported says that this machine can't be traced.
var ErrUnsupported = errors.New("tracing needs Linux on amd64 and ptrace(2)")

// Kind sorts system calls by what they do outside of the process.
type Kind int

const (
	// Inner calls have no effect outside: memory, threads, clocks, waiting. To
	// be killed at one is to be killed at the next call of another kind.
	Inner Kind = iota
	// Looking calls read files, directories and the system.
	Looking
	// Receiving calls read a socket.
	Receiving
	// Sending calls write to a socket or connect one.
	Sending
	// Changing calls change files, locks or what stdout shows.
	Changing
)

func (k Kind) String() string {
	return [...]string{"inner", "looking", "receiving", "sending", "changing"}[k]
}

// Call is one system call as a program entered it.
type Call struct {
	Name string
	Kind Kind
	// Path is the file or directory that the call is about, where there is
	// one, and To the new name of a rename or link.
	Path, To string
	// Result is what the kernel answered, where Attack.Results asks for it.
	Result int64
	// Create says that an open may make the file.
	Create bool
}

// String shows a call as a trace has it.
func (c Call) String() string {
	s := c.Name
	if c.Path != "" {
		s += " " + c.Path
	}
	if c.To != "" {
		s += " -> " + c.To
	}
	return s
}

// Command is a program, its whole environment, and its input and output.
type Command struct {
	Path  string
	Args  []string
	Env   []string
	Stdin string
}

// Attack says what to do to a program at which call.
type Attack struct {
	// Counts says which calls count; nil counts all but Inner ones.
	Counts func(Call) bool
	// At is the number, from 0, of the call that is hit; negative hits none.
	At int
	// Errno is what the call reports; 0 kills the process instead.
	Errno syscall.Errno
	// Forever lets all later calls that count fail too.
	Forever bool
	// Results lets Ended tell what the kernel answered to each call.
	Results bool
	// Clock is how far the wall clock that the program sees is ahead of the
	// real one; negative is behind.
	Clock time.Duration
	// AtCall, where set, is called with the process stopped before each call
	// that counts.
	AtCall func(pid int, c Call)
}

// Ended is what became of a program.
type Ended struct {
	// Calls are those that counted, the one that was hit included.
	Calls []Call
	// Hit is the call that was killed or failed; nil where none was reached.
	Hit            *Call
	Exit           int
	Killed         bool
	Stdout, Stderr string
}
