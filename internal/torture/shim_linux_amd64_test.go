package torture

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// shimName is the name under which a test program is its own shim, and
// clockShimName that of one that lets the wall clock be traced too.
const shimName, clockShimName = "torture-shim", "torture-shim-clock"

// Shim is called first in TestMain. It returns at once, unless this process
// was started by Run: then it lets the kernel report all calls but Inner ones
// to the tracer, by a seccomp(2) filter, and becomes the program to be traced.
// A stop at each of the many calls of the Go runtime would cost most of the
// time.
func Shim() {
	if os.Args[0] != shimName && os.Args[0] != clockShimName {
		return
	}
	runtime.LockOSThread() // filters are per thread; execve(2) keeps this one
	err := filter(os.Args[0] == clockShimName)
	if err == nil {
		err = syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", shimName, err)
	os.Exit(125)
}

// filter installs the seccomp program.
func filter(clock bool) error {
	var quiet []uint32
	for nr, k := range calls {
		if k.kind == Inner && (nr != unix.SYS_PRCTL || os.Geteuid() == 0) {
			quiet = append(quiet, uint32(nr))
		}
	}
	slices.Sort(quiet)
	const load, equal, answer = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	program := []unix.SockFilter{{Code: load, K: 0}} // seccomp_data.nr
	if clock {
		program = append(program,
			unix.SockFilter{Code: equal, K: unix.SYS_CLOCK_GETTIME, Jf: 4},
			unix.SockFilter{Code: load, K: 16}, // seccomp_data.args[0]
			unix.SockFilter{Code: equal, K: unix.CLOCK_REALTIME, Jf: 1},
			unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_TRACE},
			unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW})
	}
	for i, nr := range quiet {
		program = append(program, unix.SockFilter{Code: equal, K: nr, Jt: uint8(len(quiet) - i)})
	}
	program = append(program,
		unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_TRACE},
		unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog))); errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
