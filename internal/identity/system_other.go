//go:build !linux

package identity

import (
	"github.com/spf13/afero"

	"github.com/linux-patch/enroll/internal/contract"
)

// System returns a source that says that this system is not Linux.
func System(fs afero.Fs) Source {
	return Source{Fs: fs, Uname: func() (Uname, error) {
		return Uname{}, contract.Errorf(contract.CodeUnsupported, "this system is not Linux")
	}}
}
