package daemon

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// notifier tells systemd how the service is, see sd_notify(3) and
// sd_watchdog_enabled(3). The zero value tells no one.
type notifier struct {
	tell func(datagram string) error
	// watchdog is the time within which systemd wants a sign of life; 0 is none.
	watchdog time.Duration
}

func newNotifier(getenv func(string) string, pid int) notifier {
	// A path, or a name of the abstract namespace after an @.
	socket := getenv("NOTIFY_SOCKET")
	if !strings.HasPrefix(socket, "/") && !strings.HasPrefix(socket, "@") {
		return notifier{}
	}
	n := notifier{tell: func(datagram string) error { return tellSocket(socket, datagram) }}
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	whom := getenv("WATCHDOG_PID")
	if err == nil && usec > 0 && (whom == "" || whom == strconv.Itoa(pid)) {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	return n
}

func tellSocket(socket, datagram string) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	// A systemd that does not read holds nothing up.
	if err = conn.SetWriteDeadline(time.Now().Add(time.Second)); err == nil {
		_, err = conn.Write([]byte(datagram))
	}
	return errors.Join(err, conn.Close())
}

// send tells systemd; a service that cannot be told of runs on.
func (n notifier) send(lines ...string) error {
	if n.tell == nil {
		return nil
	}
	return n.tell(strings.Join(lines, "\n"))
}

func statusLine(format string, args ...any) string {
	return "STATUS=" + strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
}

// reloading begins a reload; READY=1 ends it.
func reloading() []string {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return []string{"RELOADING=1"}
	}
	return []string{"RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000)}
}
