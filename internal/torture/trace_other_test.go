//go:build !linux || !amd64

package torture

import "context"

// Run is not possible here.
func Run(context.Context, Command, Attack) (Ended, error) { return Ended{}, ErrUnsupported }

// Shim does nothing here.
func Shim() {}
