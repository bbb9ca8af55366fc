package torture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Run runs cmd under attack and waits for its end.
func Run(ctx context.Context, cmd Command, attack Attack) (Ended, error) {
	type answer struct {
		ended Ended
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		// ptrace(2) is between two threads. This one is not given back: it may
		// have children that only it may wait for.
		runtime.LockOSThread()
		t := &tracer{attack: attack}
		err := t.run(ctx, cmd)
		done <- answer{t.ended, err}
	}()
	a := <-done
	return a.ended, a.err
}

type tracer struct {
	attack Attack
	pid    int
	known  map[int]bool
	// begun says that the shim has become the program.
	begun bool
	// open holds, by thread, the index into ended.Calls of the call under way.
	open map[int]int
	// clocks holds, by thread, where the kernel will write the time.
	clocks map[int]uint64
	count  int
	ended  Ended
}

func (t *tracer) run(ctx context.Context, cmd Command) error {
	files, err := outputs(cmd.Stdin)
	if err != nil {
		return err
	}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	shim := shimName
	if t.attack.Clock != 0 {
		shim = clockShimName
	}
	p, err := os.StartProcess(self, append([]string{shim, cmd.Path}, cmd.Args...), &os.ProcAttr{
		Env: cmd.Env, Files: files, Sys: &syscall.SysProcAttr{Ptrace: true, Setpgid: true},
	})
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if err != nil {
		return err
	}
	t.pid, t.known, t.open, t.clocks = p.Pid, map[int]bool{}, map[int]int{}, map[int]uint64{}
	stop := context.AfterFunc(ctx, func() { _ = unix.Kill(t.pid, unix.SIGKILL) })
	defer stop()
	if err := t.follow(); err != nil {
		_ = unix.Kill(t.pid, unix.SIGKILL)
		return fmt.Errorf("trace %s: %w", filepath.Base(cmd.Path), err)
	}
	_ = p.Release()
	t.ended.Stdout, t.ended.Stderr = text(files[1]), text(files[2])
	if !t.begun && ctx.Err() == nil {
		return fmt.Errorf("%w: %s", ErrUnsupported, t.ended.Stderr)
	}
	return ctx.Err()
}

// outputs makes stdin, stdout and stderr.
func outputs(stdin string) ([]*os.File, error) {
	var files []*os.File
	for i := range 3 {
		fd, err := unix.MemfdCreate("torture", unix.MFD_CLOEXEC)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(fd), "memfd")
		files = append(files, f)
		if i == 0 {
			if _, err := f.WriteString(stdin); err != nil {
				return nil, err
			}
			if _, err := f.Seek(0, 0); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

func text(f *os.File) string {
	raw := make([]byte, 4<<20)
	n, _ := f.ReadAt(raw, 0)
	return string(raw[:n])
}

// follow lets the process and its threads run from call to call.
func (t *tracer) follow() error {
	for {
		var status unix.WaitStatus
		// The process group holds our child and its threads, and no other
		// child of this test.
		tid, err := unix.Wait4(-t.pid, &status, unix.WALL, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ECHILD:
			return nil
		case err != nil:
			return err
		case status.Exited(), status.Signaled():
			if tid == t.pid {
				t.ended.Exit, t.ended.Killed = status.ExitStatus(), status.Signaled() && status.Signal() == unix.SIGKILL
			}
			delete(t.open, tid)
			continue
		}
		resume, deliver, err := t.stopped(tid, status)
		if err == nil {
			err = resume(tid, deliver)
		}
		// ESRCH: it was killed meanwhile, and wait will say so.
		if err != nil && err != unix.ESRCH {
			return err
		}
	}
}

// stopped deals with one stop. It returns how the thread goes on, to its next
// counted call or to the end of this one, and the signal to deliver.
func (t *tracer) stopped(tid int, status unix.WaitStatus) (resume func(int, int) error, deliver int, err error) {
	first := !t.known[tid]
	t.known[tid] = true
	signal, event := status.StopSignal(), int(status>>16)
	switch {
	case first && tid == t.pid && signal == unix.SIGTRAP && event == 0:
		// The shim, after execve. Threads are followed, and none outlives us.
		return unix.PtraceCont, 0, unix.PtraceSetOptions(tid, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_TRACECLONE|
			unix.PTRACE_O_TRACEFORK|unix.PTRACE_O_TRACEVFORK|unix.PTRACE_O_TRACEEXEC|unix.PTRACE_O_TRACESECCOMP|unix.PTRACE_O_EXITKILL)
	case event == unix.PTRACE_EVENT_EXEC:
		t.begun = true
		if t.attack.Clock != 0 {
			err = hideVDSO(tid)
		}
		return unix.PtraceCont, 0, err
	case event == unix.PTRACE_EVENT_SECCOMP && t.begun:
		resume, err = t.entered(tid)
		return resume, 0, err
	case signal == unix.SIGTRAP|0x80:
		return unix.PtraceCont, 0, t.left(tid)
	case signal == unix.SIGTRAP && event != 0, first && signal == unix.SIGSTOP: // a new thread
		return unix.PtraceCont, 0, nil
	default:
		return unix.PtraceCont, int(signal), nil
	}
}

// entered deals with a call that is about to happen.
func (t *tracer) entered(tid int) (resume func(int, int) error, err error) {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return nil, err
	}
	nr, args := regs.Orig_rax, [6]uint64{regs.Rdi, regs.Rsi, regs.Rdx, regs.R10, regs.R8, regs.R9}
	if nr == unix.SYS_PRCTL && args[0] == unix.PR_SET_DUMPABLE {
		// It would hide the paths from a tracer who is not root.
		return unix.PtraceCont, skip(tid, &regs, 0)
	}
	if nr == unix.SYS_CLOCK_GETTIME {
		t.clocks[tid] = args[1]
		return unix.PtraceSyscall, nil
	}
	c := t.describe(nr, args)
	if counts := t.attack.Counts; c.Kind == Inner || counts != nil && !counts(c) {
		return unix.PtraceCont, nil
	}
	if t.attack.AtCall != nil {
		t.attack.AtCall(t.pid, c)
	}
	n := t.count
	t.count++
	t.ended.Calls = append(t.ended.Calls, c)
	hit := t.attack.At >= 0 && (n == t.attack.At || n > t.attack.At && t.attack.Forever)
	if hit && t.ended.Hit == nil {
		t.ended.Hit = &c
	}
	switch {
	case hit && t.attack.Errno == 0:
		return unix.PtraceCont, unix.Kill(t.pid, unix.SIGKILL)
	case hit:
		t.ended.Calls[n].Result = -int64(t.attack.Errno)
		return unix.PtraceCont, skip(tid, &regs, t.attack.Errno)
	case t.attack.Results:
		t.open[tid] = n
		return unix.PtraceSyscall, nil
	}
	return unix.PtraceCont, nil
}

// skip lets the kernel not do the call, and report errno.
func skip(tid int, regs *unix.PtraceRegs, errno syscall.Errno) error {
	regs.Orig_rax, regs.Rax = ^uint64(0), uint64(-int64(errno))
	return unix.PtraceSetRegs(tid, regs)
}

// left notes the result of a call.
func (t *tracer) left(tid int) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	if at, ok := t.clocks[tid]; ok {
		delete(t.clocks, tid)
		return t.shift(tid, at)
	}
	if n, ok := t.open[tid]; ok {
		delete(t.open, tid)
		t.ended.Calls[n].Result = int64(regs.Rax)
	}
	return nil
}

func (t *tracer) describe(nr uint64, a [6]uint64) Call {
	k, ok := calls[nr]
	if !ok {
		return Call{Name: fmt.Sprintf("syscall %d", nr), Kind: Changing}
	}
	c := Call{Name: k.name, Kind: k.kind}
	if k.kind == Inner {
		return c
	}
	switch k.shape {
	case bare:
	case fd:
		c.Path = t.link(a[0])
	case streaming:
		c.Path = t.link(a[0])
		switch {
		case strings.HasPrefix(c.Path, "socket:") && k.kind == Changing:
			c.Kind = Sending
		case strings.HasPrefix(c.Path, "socket:"):
			c.Kind = Receiving
		case strings.HasPrefix(c.Path, "anon_inode:"), strings.HasPrefix(c.Path, "pipe:"):
			c.Kind = Inner // the runtime wakes itself
		}
	case path:
		c.Path = t.string(a[0])
	case at:
		c.Path = t.at(a[0], a[1])
	case twoPaths:
		c.Path, c.To = t.string(a[0]), t.string(a[1])
	case twoAts:
		c.Path, c.To = t.at(a[0], a[1]), t.at(a[2], a[3])
	}
	if c.Name == "openat" && a[2]&(unix.O_CREAT|unix.O_TRUNC) != 0 {
		c.Kind, c.Create = Changing, true
	}
	return c
}

// link names the file behind a descriptor of the process.
func (t *tracer) link(fd uint64) string {
	name, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", t.pid, int32(fd)))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(name, "/memfd:"), " (deleted)")
}

func (t *tracer) at(dir, name uint64) string {
	s := t.string(name)
	if int32(dir) == unix.AT_FDCWD || filepath.IsAbs(s) {
		return s
	}
	return filepath.Join(t.link(dir), s)
}

// string reads a path out of the process. Containers that let a process be
// traced may forbid process_vm_readv(2), but not this file.
func (t *tracer) string(addr uint64) string {
	var b strings.Builder
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", t.pid))
	if err != nil {
		return ""
	}
	defer memory.Close()
	for b.Len() < 4096 {
		// Not across a page: the next one may not be there.
		chunk := make([]byte, min(256, 4096-addr%4096))
		n, err := memory.ReadAt(chunk, int64(addr))
		if n == 0 && err != nil {
			return b.String()
		}
		s, _, found := strings.Cut(string(chunk[:n]), "\x00")
		b.WriteString(s)
		if found {
			return b.String()
		}
		addr += uint64(n)
	}
	return b.String()
}
