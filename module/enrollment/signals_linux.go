package main

import (
	"context"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// untilSignal is a context that a signal ends. It asks for signals once someone
// could wait for one, since Go starts two threads for them, which is a thirtieth of
// a run that finds nothing to do. Until then a signal ends the process itself,
// which has begun nothing that it would have to end.
type untilSignal struct {
	once  sync.Once
	armed context.Context
	stop  context.CancelFunc
}

func (u *untilSignal) context() context.Context {
	u.once.Do(func() {
		// SIGHUP is what a controller that went away leaves behind.
		u.armed, u.stop = signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	})
	return u.armed
}

// Deadline tells of none.
func (u *untilSignal) Deadline() (time.Time, bool) { return time.Time{}, false }

// Done is closed by a signal.
func (u *untilSignal) Done() <-chan struct{} { return u.context().Done() }

// Err says whether there was one.
func (u *untilSignal) Err() error { return u.context().Err() }

// Value finds what package context looks for in a context of its own.
func (u *untilSignal) Value(key any) any { return u.context().Value(key) }
