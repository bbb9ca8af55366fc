package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/linux-patch/enroll/internal/converse"
)

// remindEvery is how often a log is told that the wait goes on.
const remindEvery = 15 * time.Minute

// progress shows how a run goes: on a terminal as one line, drawn every
// second, else as log lines, and to systemd as the status of the service.
type progress struct {
	con     *console
	log     *logrus.Logger
	notify  notifier
	now     func() time.Time
	started time.Time

	mu       sync.Mutex
	last     converse.Progress
	said     map[converse.Phase]bool
	reminded time.Time
}

func newProgress(con *console, log *logrus.Logger, notify notifier, now func() time.Time) *progress {
	return &progress{con: con, log: log, notify: notify, now: now, started: now(), said: map[converse.Phase]bool{}}
}

// report takes a moment of the run.
func (p *progress) report(moment converse.Progress) {
	p.mu.Lock()
	p.last = moment
	now := p.now()
	// Waiting and asking take turns for as long as no one approves, and so does
	// registering while the manager's rate limit is reached.
	say := !p.said[moment.Phase] && moment.Phase != converse.PhaseWait && moment.Phase != converse.PhasePoll
	p.said[moment.Phase] = true
	if moment.Phase == converse.PhaseWait && now.Sub(p.reminded) >= remindEvery {
		say, p.reminded = true, now
	}
	p.mu.Unlock()
	switch {
	case p.con.terminal():
		p.draw()
	case say:
		p.log.WithFields(logrus.Fields{"attempts": moment.Attempts, "elapsed": now.Sub(p.started).Round(time.Second)}).Info(string(moment.Phase))
	default:
		p.log.Debug(progressText(moment, now.Sub(p.started), now))
	}
	if !moment.Next.IsZero() {
		_ = p.notify.send(statusLine("%s, attempts %d, next poll at %s", moment.Phase, moment.Attempts, moment.Next.Format(time.TimeOnly)))
		return
	}
	_ = p.notify.send(statusLine("%s", moment.Phase))
}

// run keeps the line of a terminal current until ctx ends, and takes it away.
func (p *progress) run(ctx context.Context) {
	if !p.con.terminal() {
		return
	}
	defer p.con.Line("")
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.draw()
		}
	}
}

func (p *progress) draw() {
	p.mu.Lock()
	moment := p.last
	p.mu.Unlock()
	if moment.Phase == "" {
		return
	}
	now := p.now()
	p.con.Line(progressText(moment, now.Sub(p.started), now))
}
