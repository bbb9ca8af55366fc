// Package frugal makes a short run of a program cheap. It is imported for its
// effect, and imports nothing but runtime, so that Go starts it before nearly all
// other packages.
package frugal

import "runtime"

// A run does one thing after another; further threads would only be started and
// woken. Once other packages have filled the second processor's caches, giving it
// up costs more than it saves.
var _ = runtime.GOMAXPROCS(1)

// The stack grows here, where there is next to nothing on it to be moved, and not
// five times later.
var _ = roomy(0)

// roomy needs a stack of the size that a run needs, and uses none of it where n
// is 0.
//
//go:noinline
func roomy(n int) byte {
	if n == 0 {
		return 0
	}
	var room [48 << 10]byte
	room[n]++
	return room[n-1]
}
