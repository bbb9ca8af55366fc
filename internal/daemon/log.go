package daemon

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/time/rate"

	"github.com/linux-patch/enroll/internal/outlet"
)

// newLogger makes the program's logger. For the journal each line begins with
// its priority (sd-daemon(3)) and has no time, which the journal adds itself.
func newLogger(out io.Writer, journal bool) *logrus.Logger {
	log := logrus.New()
	log.SetOutput(out)
	log.SetFormatter(newFormatter(journal))
	return log
}

func newFormatter(journal bool) logrus.Formatter {
	if journal {
		return journalFormatter{&logrus.TextFormatter{DisableColors: true, DisableTimestamp: true}}
	}
	return &logrus.TextFormatter{DisableColors: true, FullTimestamp: true, TimestampFormat: time.RFC3339}
}

// flushWithin is what the last lines get at the end of the program.
const flushWithin = 400 * time.Millisecond

// logOutlet is where log lines go: somewhere that may not take them.
type logOutlet struct {
	*outlet.Outlet
	// changed tells that lines were lost.
	changed chan struct{}
}

// newOutlet keeps what writes logs from waiting for who reads them.
func newOutlet(out io.Writer, journal bool) logOutlet {
	changed := make(chan struct{}, 1)
	format := newFormatter(journal)
	say := func(lost int64) []byte {
		line, _ := format.Format(&logrus.Entry{
			Logger: &logrus.Logger{}, Time: time.Now(), Level: logrus.WarnLevel,
			Message: "log lines were lost: they could not be written in time", Data: logrus.Fields{"lost": lost},
		})
		return line
	}
	return logOutlet{outlet.New(out, say, func() { poke(changed) }), changed}
}

type journalFormatter struct{ text *logrus.TextFormatter }

func (f journalFormatter) Format(e *logrus.Entry) ([]byte, error) {
	line, err := f.text.Format(e)
	return append(fmt.Appendf(nil, "<%d>", priority(e.Level)), line...), err
}

// priority is the level of syslog(3).
func priority(l logrus.Level) int {
	switch l {
	case logrus.PanicLevel, logrus.FatalLevel:
		return 2
	case logrus.ErrorLevel:
		return 3
	case logrus.WarnLevel:
		return 4
	case logrus.InfoLevel:
		return 6
	default:
		return 7
	}
}

// underJournal tells whether out is the journal: JOURNAL_STREAM names its
// device and inode, and is inherited by programs that write elsewhere
// (systemd.exec(5)).
func underJournal(getenv func(string) string, out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// sparse logs what strangers can cause, so that they cannot fill the disk: a
// few lines at once, then one every few seconds with the number left out.
type sparse struct {
	log     *logrus.Logger
	limit   *rate.Limiter
	omitted atomic.Int64
}

func newSparse(log *logrus.Logger) *sparse {
	return &sparse{log: log, limit: rate.NewLimiter(rate.Every(5*time.Second), 10)}
}

func (s *sparse) warn(fields logrus.Fields, message string) {
	if !s.limit.Allow() {
		s.omitted.Add(1)
		return
	}
	if n := s.omitted.Swap(0); n > 0 {
		fields["omitted_before"] = n
	}
	s.log.WithFields(fields).Warn(message)
}

// Write takes net/http's own messages, such as failed handshakes.
func (s *sparse) Write(p []byte) (int, error) {
	s.warn(logrus.Fields{}, strings.TrimSpace(strings.TrimPrefix(string(p), "http: ")))
	return len(p), nil
}
