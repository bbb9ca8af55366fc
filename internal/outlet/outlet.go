// Package outlet writes a program's log lines to where they may not go away: a
// pipe that no one reads, a full disk, a journal that was stopped.
//
// It promises that a write never blocks and never fails: lines wait in bounded
// memory, and those that find no room or cannot be written are dropped and
// counted. When writing works again, a line says how many were lost.
package outlet

import (
	"io"
	"sync"
	"time"
)

const (
	maxLines = 1024
	maxBytes = 1 << 20
)

// Outlet is an io.Writer that takes whole lines. It lives as long as the
// program.
type Outlet struct {
	out io.Writer
	// say makes a line of the number of lost ones.
	say func(lost int64) []byte

	mu sync.Mutex
	// more is told that there are lines, idle that there are none any more.
	more, idle *sync.Cond
	lines      [][]byte
	bytes      int
	writing    bool
	// lost are all lines that were dropped, told those that a line has told of.
	lost, told int64
	changed    func()
}

// New makes an Outlet over out. changed is called, and must not block, where
// the number of lost lines has changed.
func New(out io.Writer, say func(lost int64) []byte, changed func()) *Outlet {
	o := &Outlet{out: out, say: say, changed: changed}
	o.more, o.idle = sync.NewCond(&o.mu), sync.NewCond(&o.mu)
	go o.run()
	return o
}

// Write takes lines; it keeps no reference to them.
func (o *Outlet) Write(lines []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.lines) >= maxLines || o.bytes+len(lines) > maxBytes {
		o.drop()
		return len(lines), nil
	}
	o.lines = append(o.lines, append([]byte(nil), lines...))
	o.bytes += len(lines)
	o.more.Signal()
	return len(lines), nil
}

// drop counts a lost line; o.mu is held.
func (o *Outlet) drop() {
	o.lost++
	if o.changed != nil {
		o.changed()
	}
}

// Lost is how many lines were dropped.
func (o *Outlet) Lost() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lost
}

// Flush waits until all is written, or for as long as that may take.
func (o *Outlet) Flush(within time.Duration) {
	late := false
	timer := time.AfterFunc(within, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		late = true
		o.idle.Broadcast()
	})
	defer timer.Stop()
	o.mu.Lock()
	defer o.mu.Unlock()
	for !late && (len(o.lines) > 0 || o.writing) {
		o.idle.Wait()
	}
}

func (o *Outlet) run() {
	torn := false
	for {
		line, lost := o.next()
		if lost > 0 && o.say != nil {
			line = append(o.say(lost), line...)
		}
		if torn {
			line = append([]byte("\n"), line...)
		}
		n, err := o.out.Write(line)
		torn = err != nil && (n > 0 || torn)
		o.wrote(lost, err)
	}
}

// next waits for a line, and tells how many were lost before it.
func (o *Outlet) next() (line []byte, lost int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.lines) == 0 {
		o.writing = false
		o.idle.Broadcast()
		o.more.Wait()
	}
	line, o.lines, o.writing = o.lines[0], o.lines[1:], true
	o.bytes -= len(line)
	return line, o.lost - o.told
}

func (o *Outlet) wrote(lost int64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.drop()
		return
	}
	o.told += lost
}
