// Package audit writes who did what to this host's enrollment: one JSON line
// an event, appended with one write, to a file that its caller opens.
//
// It promises that no value of a field whose name speaks of a secret is
// written, and that what is written is one printable line, whatever text of a
// manager is in it. It does not rotate the file, and it never fails a run: a
// log that cannot be written is an error for the caller to warn about.
package audit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/plaintext"
)

// maxValue bounds one field, in bytes.
const maxValue = 512

// Actor is who an event is written for.
type Actor struct {
	// Program is the name and version of the program.
	Program string
	UID     int
	// User is who became UID, where sudo tells.
	User string
	PID  int
}

// Recorder records events. *Log is the real one.
type Recorder interface {
	Record(event contract.Event, fields map[string]string) error
}

// Log appends to one audit log. Its file is opened for each event and not
// before: a converged run has none.
type Log struct {
	open  Open
	path  string
	actor Actor
	now   func() time.Time
}

// Open opens the log for appending, whole lines at a time.
type Open func(path string) (afero.File, error)

// New makes a Log over the file at path.
func New(open Open, path string, actor Actor, now func() time.Time) *Log {
	return &Log{open: open, path: path, actor: actor, now: now}
}

// Record appends one event.
func (l *Log) Record(event contract.Event, fields map[string]string) error {
	line, err := l.line(event, fields)
	if err != nil {
		return fmt.Errorf("%s: %w", l.path, err)
	}
	f, err := l.open(l.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(line); err != nil {
		return err
	}
	return f.Close()
}

func (l *Log) line(event contract.Event, fields map[string]string) ([]byte, error) {
	data := logrus.Fields{}
	for name, value := range fields {
		if value != "" && !speaksOfSecret(name) {
			data[plaintext.Line(name, maxValue)] = plaintext.Line(value, maxValue)
		}
	}
	// Last, so that no field takes the place of who did it.
	data["event"] = string(event)
	data["program"] = plaintext.Line(l.actor.Program, maxValue)
	data["uid"] = strconv.Itoa(l.actor.UID)
	data["pid"] = strconv.Itoa(l.actor.PID)
	delete(data, "user")
	if l.actor.User != "" {
		data["user"] = plaintext.Line(l.actor.User, maxValue)
	}
	// The formatter alone: a logrus.Logger reports its own failures on stderr,
	// where one line breaks a module's result.
	entry := &logrus.Entry{Logger: &logrus.Logger{}, Data: data, Time: l.now().UTC(), Level: logrus.InfoLevel, Message: string(event)}
	return (&logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano, DisableHTMLEscape: true}).Format(entry)
}

// speaksOfSecret is a net beneath callers that know better than to pass one.
func speaksOfSecret(field string) bool {
	field = strings.ToLower(field)
	words := []string{"token", "key", "secret", "passw", "passphrase", "proxy", "credential", "pem"}
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(field, word) })
}
