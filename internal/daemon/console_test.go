package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/converse"
)

func TestProgressLineStaysBelowTheLog(t *testing.T) {
	var out bytes.Buffer
	c := &console{out: &out, width: func() int { return 20 }}
	c.Line("waiting, 1s")
	fmt.Fprintln(c, "a log line")
	c.Line("waiting for approval, 12s, attempts 3")
	c.Line("")
	fmt.Fprintln(c, "the end")
	want := "waiting, 1s" + "\r\x1b[K" + "a log line\n" + "waiting, 1s" + "\r\x1b[K" + "waiting for approva" + "\r\x1b[K" + "the end\n"
	if out.String() != want {
		t.Errorf("%q\nwant\n%q", out.String(), want)
	}
}

// A line that a narrower terminal has broken stays, and the next one is as wide
// as the terminal is by then.
func TestProgressLineSurvivesResizing(t *testing.T) {
	var out bytes.Buffer
	width := 80
	c := &console{out: &out, width: func() int { return width }}
	c.Line("waiting for approval, 12s")
	width = 10
	c.Line("waiting for approval, 13s")
	width = 80
	c.Line("waiting for approval, 14s")
	want := "waiting for approval, 12s" + "\r\n" + "waiting f" + "\r\x1b[K" + "waiting for approval, 14s"
	if out.String() != want {
		t.Errorf("%q\nwant\n%q", out.String(), want)
	}
	for _, width = range []int{0, 1, 2} {
		c.Line("waiting")
	}
}

func TestWithoutTerminalThereIsNoProgressLine(t *testing.T) {
	var out bytes.Buffer
	c := newConsole(&out, &out)
	c.Line("waiting")
	if c.terminal() || out.Len() > 0 {
		t.Errorf("%q", out.String())
	}
}

func TestSecretsDoNotPass(t *testing.T) {
	var out bytes.Buffer
	c := newConsole(&out, &out)
	c.Hide("TokenCanary0123456789")
	c.Hide("short")
	fmt.Fprintln(c, "GET /status/TokenCanary0123456789 failed in short")
	if got := out.String(); got != "GET /status/(hidden) failed in short\n" {
		t.Error(got)
	}
}

// A real terminal, as far as the kernel goes.
func TestProgressOnATerminal(t *testing.T) {
	master, slave := openTerminal(t)
	text := make(chan string, 1)
	go func() {
		raw, err := io.ReadAll(master)
		// EIO is how a terminal ends whose other side is closed.
		if err != nil && !errors.Is(err, unix.EIO) {
			t.Error(err)
		}
		text <- string(raw)
	}()
	c := newConsole(slave, slave)
	if !c.terminal() || c.width() != 40 {
		t.Fatalf("terminal %v", c.terminal())
	}
	now := time.Now()
	p := newProgress(c, newLogger(c, false), notifier{}, func() time.Time { return now })
	p.report(converse.Progress{Phase: converse.PhaseWait, Attempts: 7, Next: now.Add(42 * time.Second)})
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 100}); err != nil {
		t.Fatal(err)
	}
	p.report(converse.Progress{Phase: converse.PhaseWait, Attempts: 8, Next: now.Add(42 * time.Second)})
	c.Line("")
	if err := slave.Close(); err != nil {
		t.Fatal(err)
	}
	got := <-text
	for _, want := range []string{"waiting for approval, 0s, next poll in 4", "waiting for approval, 0s, next poll in 42s, attempts 8\r\x1b[K"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
}

// openTerminal opens a pseudo-terminal of 40 columns.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatalf("a terminal is needed: got %v, want no error", err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 40}); err != nil {
		t.Fatal(err)
	}
	return master, slave
}

func TestJournalLinesHaveTheirPriority(t *testing.T) {
	var out bytes.Buffer
	log := newLogger(&out, true)
	log.SetLevel(logrus.DebugLevel)
	log.WithField("code", "X").Error("it\nfailed")
	log.Warn("careful")
	log.Info("done")
	log.Debug("detail")
	want := "<3>level=error msg=\"it\\nfailed\" code=X\n<4>level=warning msg=careful\n<6>level=info msg=done\n<7>level=debug msg=detail\n"
	if out.String() != want {
		t.Errorf("%q\nwant\n%q", out.String(), want)
	}
}

func TestStrangersCannotFloodTheLog(t *testing.T) {
	var out bytes.Buffer
	s := newSparse(newLogger(&out, true))
	for range 1000 {
		s.warn(logrus.Fields{"source": "192.0.2.1"}, "dropped")
	}
	if n := strings.Count(out.String(), "\n"); n < 1 || n > 20 {
		t.Errorf("%d lines", n)
	}
	if s.omitted.Load() < 980 {
		t.Errorf("got %d left out, want 980 at least", s.omitted.Load())
	}
}
