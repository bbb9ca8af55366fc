package converse

import (
	"bytes"
	"fmt"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/hostfs"
)

// maxCAFile holds the CA bundle of any system.
const maxCAFile = 4 << 20

// ReadGiven reads a file that an option names and that this program only reads.
// It is a file with something in it: nothing else is what was meant.
func (c *Conversation) ReadGiven(option, path string, most int64) ([]byte, *contract.Error) {
	refuse := func(err error) *contract.Error {
		return contract.Errorf(contract.CodeInvalidArgument, "%s: %w", option, err)
	}
	info, err := c.Given.Stat(path)
	if err != nil {
		return nil, refuse(err)
	}
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, refuse(fmt.Errorf("%s is not a file of at most %d bytes", path, most))
	}
	raw, _, err := hostfs.ReadGiven(c.Given, path, most)
	if err == nil && len(bytes.TrimSpace(raw)) == 0 {
		err = fmt.Errorf("%s is empty", path)
	}
	if err != nil {
		return nil, refuse(err)
	}
	return raw, nil
}
