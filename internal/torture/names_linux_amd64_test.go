package torture

import "golang.org/x/sys/unix"

// shape says where a call's file is among its arguments.
type shape int

const (
	bare      shape = iota
	fd              // fd, …
	path            // path, …
	at              // dirfd, path, …
	twoPaths        // path, path
	twoAts          // dirfd, path, dirfd, path
	streaming       // fd, …: a socket, pipe or file
)

type known struct {
	name  string
	shape shape
	kind  Kind
}

// calls are those that programs like ours make. One that is not here counts as
// Changing, so that nothing is missed for want of a line.
var calls = map[uint64]known{
	unix.SYS_READ: {"read", streaming, Looking}, unix.SYS_PREAD64: {"pread64", streaming, Looking},
	unix.SYS_READV: {"readv", streaming, Looking}, unix.SYS_RECVFROM: {"recvfrom", fd, Receiving},
	unix.SYS_RECVMSG: {"recvmsg", fd, Receiving},
	unix.SYS_WRITE:   {"write", streaming, Changing}, unix.SYS_PWRITE64: {"pwrite64", streaming, Changing},
	unix.SYS_WRITEV: {"writev", streaming, Changing}, unix.SYS_SENDTO: {"sendto", fd, Sending},
	unix.SYS_SENDMSG: {"sendmsg", fd, Sending}, unix.SYS_CONNECT: {"connect", fd, Sending},
	unix.SYS_SHUTDOWN: {"shutdown", fd, Sending}, unix.SYS_SENDFILE: {"sendfile", fd, Sending},

	unix.SYS_OPEN: {"open", path, Looking}, unix.SYS_OPENAT: {"openat", at, Looking}, unix.SYS_OPENAT2: {"openat2", at, Looking},
	unix.SYS_CREAT: {"creat", path, Changing}, unix.SYS_CLOSE: {"close", fd, Looking},
	unix.SYS_STAT: {"stat", path, Looking}, unix.SYS_LSTAT: {"lstat", path, Looking}, unix.SYS_FSTAT: {"fstat", fd, Looking},
	unix.SYS_NEWFSTATAT: {"newfstatat", at, Looking}, unix.SYS_STATX: {"statx", at, Looking},
	unix.SYS_STATFS: {"statfs", path, Looking}, unix.SYS_FSTATFS: {"fstatfs", fd, Looking},
	unix.SYS_ACCESS: {"access", path, Looking}, unix.SYS_FACCESSAT: {"faccessat", at, Looking}, unix.SYS_FACCESSAT2: {"faccessat2", at, Looking},
	unix.SYS_READLINK: {"readlink", path, Looking}, unix.SYS_READLINKAT: {"readlinkat", at, Looking},
	unix.SYS_GETDENTS64: {"getdents64", fd, Looking}, unix.SYS_LSEEK: {"lseek", fd, Looking}, unix.SYS_UNAME: {"uname", bare, Looking},
	unix.SYS_GETCWD: {"getcwd", bare, Looking},

	unix.SYS_RENAME: {"rename", twoPaths, Changing}, unix.SYS_RENAMEAT: {"renameat", twoAts, Changing}, unix.SYS_RENAMEAT2: {"renameat2", twoAts, Changing},
	unix.SYS_LINK: {"link", twoPaths, Changing}, unix.SYS_LINKAT: {"linkat", twoAts, Changing}, unix.SYS_SYMLINKAT: {"symlinkat", bare, Changing},
	unix.SYS_UNLINK: {"unlink", path, Changing}, unix.SYS_UNLINKAT: {"unlinkat", at, Changing}, unix.SYS_RMDIR: {"rmdir", path, Changing},
	unix.SYS_MKDIR: {"mkdir", path, Changing}, unix.SYS_MKDIRAT: {"mkdirat", at, Changing},
	unix.SYS_CHMOD: {"chmod", path, Changing}, unix.SYS_FCHMOD: {"fchmod", fd, Changing}, unix.SYS_FCHMODAT: {"fchmodat", at, Changing},
	unix.SYS_FCHMODAT2: {"fchmodat2", at, Changing}, unix.SYS_CHOWN: {"chown", path, Changing}, unix.SYS_LCHOWN: {"lchown", path, Changing},
	unix.SYS_FCHOWN: {"fchown", fd, Changing}, unix.SYS_FCHOWNAT: {"fchownat", at, Changing},
	unix.SYS_FSYNC: {"fsync", fd, Changing}, unix.SYS_FDATASYNC: {"fdatasync", fd, Changing}, unix.SYS_FALLOCATE: {"fallocate", fd, Changing},
	unix.SYS_FTRUNCATE: {"ftruncate", fd, Changing}, unix.SYS_FLOCK: {"flock", fd, Changing}, unix.SYS_UTIMENSAT: {"utimensat", at, Changing},
	// Reading an attribute too: a file whose ACL can't be read must not be replaced.
	unix.SYS_FSETXATTR: {"fsetxattr", fd, Changing}, unix.SYS_FREMOVEXATTR: {"fremovexattr", fd, Changing},
	unix.SYS_FGETXATTR: {"fgetxattr", fd, Changing}, unix.SYS_FLISTXATTR: {"flistxattr", fd, Changing},
	unix.SYS_EXIT_GROUP: {"exit_group", bare, Changing},

	unix.SYS_FUTEX: {"futex", bare, Inner}, unix.SYS_MMAP: {"mmap", bare, Inner}, unix.SYS_MUNMAP: {"munmap", bare, Inner},
	unix.SYS_MPROTECT: {"mprotect", bare, Inner}, unix.SYS_MADVISE: {"madvise", bare, Inner}, unix.SYS_BRK: {"brk", bare, Inner},
	unix.SYS_MINCORE: {"mincore", bare, Inner}, unix.SYS_CLONE: {"clone", bare, Inner}, unix.SYS_CLONE3: {"clone3", bare, Inner},
	unix.SYS_EXIT: {"exit", bare, Inner}, unix.SYS_RT_SIGACTION: {"rt_sigaction", bare, Inner}, unix.SYS_RT_SIGPROCMASK: {"rt_sigprocmask", bare, Inner},
	unix.SYS_RT_SIGRETURN: {"rt_sigreturn", bare, Inner}, unix.SYS_SIGALTSTACK: {"sigaltstack", bare, Inner}, unix.SYS_TGKILL: {"tgkill", bare, Inner},
	unix.SYS_GETTID: {"gettid", bare, Inner}, unix.SYS_GETPID: {"getpid", bare, Inner}, unix.SYS_GETUID: {"getuid", bare, Inner},
	unix.SYS_GETEUID: {"geteuid", bare, Inner}, unix.SYS_GETGID: {"getgid", bare, Inner}, unix.SYS_GETEGID: {"getegid", bare, Inner},
	unix.SYS_GETGROUPS: {"getgroups", bare, Inner}, unix.SYS_SCHED_YIELD: {"sched_yield", bare, Inner}, unix.SYS_SCHED_GETAFFINITY: {"sched_getaffinity", bare, Inner},
	unix.SYS_NANOSLEEP: {"nanosleep", bare, Inner}, unix.SYS_CLOCK_GETTIME: {"clock_gettime", bare, Inner}, unix.SYS_CLOCK_NANOSLEEP: {"clock_nanosleep", bare, Inner},
	unix.SYS_EPOLL_CREATE1: {"epoll_create1", bare, Inner}, unix.SYS_EPOLL_CTL: {"epoll_ctl", bare, Inner}, unix.SYS_EPOLL_PWAIT: {"epoll_pwait", bare, Inner},
	unix.SYS_EVENTFD2: {"eventfd2", bare, Inner}, unix.SYS_PIPE2: {"pipe2", bare, Inner}, unix.SYS_GETRANDOM: {"getrandom", bare, Inner},
	unix.SYS_PRCTL: {"prctl", bare, Inner}, unix.SYS_ARCH_PRCTL: {"arch_prctl", bare, Inner}, unix.SYS_PRLIMIT64: {"prlimit64", bare, Inner},
	unix.SYS_SETRLIMIT: {"setrlimit", bare, Inner}, unix.SYS_GETRLIMIT: {"getrlimit", bare, Inner}, unix.SYS_SET_TID_ADDRESS: {"set_tid_address", bare, Inner},
	unix.SYS_UMASK: {"umask", bare, Inner}, unix.SYS_FCNTL: {"fcntl", bare, Inner}, unix.SYS_DUP: {"dup", bare, Inner}, unix.SYS_DUP3: {"dup3", bare, Inner},
	unix.SYS_RESTART_SYSCALL: {"restart_syscall", bare, Inner}, unix.SYS_RSEQ: {"rseq", bare, Inner}, unix.SYS_SET_ROBUST_LIST: {"set_robust_list", bare, Inner},
	unix.SYS_TIMER_CREATE: {"timer_create", bare, Inner}, unix.SYS_TIMER_SETTIME: {"timer_settime", bare, Inner}, unix.SYS_TIMER_DELETE: {"timer_delete", bare, Inner},
	unix.SYS_SETITIMER: {"setitimer", bare, Inner}, unix.SYS_EXECVE: {"execve", bare, Inner},

	unix.SYS_SOCKET: {"socket", bare, Looking}, unix.SYS_BIND: {"bind", bare, Looking}, unix.SYS_GETSOCKNAME: {"getsockname", bare, Looking},
	unix.SYS_GETPEERNAME: {"getpeername", bare, Looking}, unix.SYS_GETSOCKOPT: {"getsockopt", bare, Looking}, unix.SYS_SETSOCKOPT: {"setsockopt", bare, Looking},
	unix.SYS_LISTEN: {"listen", bare, Looking}, unix.SYS_ACCEPT4: {"accept4", bare, Looking},
	unix.SYS_INOTIFY_INIT1: {"inotify_init1", bare, Looking}, unix.SYS_INOTIFY_ADD_WATCH: {"inotify_add_watch", bare, Looking},
	unix.SYS_INOTIFY_RM_WATCH: {"inotify_rm_watch", bare, Looking},
	unix.SYS_PIDFD_OPEN:       {"pidfd_open", bare, Inner}, unix.SYS_PIDFD_SEND_SIGNAL: {"pidfd_send_signal", bare, Inner}, unix.SYS_WAITID: {"waitid", bare, Inner},
	unix.SYS_IOCTL: {"ioctl", bare, Looking},
}
