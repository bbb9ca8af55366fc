package identity

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/linux-patch/enroll/internal/contract"
)

const machineIDHint = "run systemd-machine-id-setup (dbus-uuidgen --ensure=/etc/machine-id without systemd); " +
	"in an image that is to be cloned leave /etc/machine-id empty, so that each host gets its own at first boot"

// MachineID reads machine-id(5). Only where /etc/machine-id is missing does
// D-Bus's copy count: an image whose id was emptied to be cloned often keeps
// the old one there, and all clones would be one host.
func (s Source) MachineID() (string, error) {
	path := "/etc/machine-id"
	data, err := s.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		path = "/var/lib/dbus/machine-id"
		data, err = s.read(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", contract.Errorf(contract.CodeIdentity, "there is neither /etc/machine-id nor %s", path).WithHint(machineIDHint)
	}
	if err != nil {
		return "", contract.Errorf(contract.CodeIdentity, "machine-id: %w", err)
	}
	id := strings.ToLower(strings.TrimSpace(string(data)))
	var why string
	switch {
	case id == "":
		why = "is empty"
	case id == "uninitialized":
		why = "is not initialized yet"
	case len(id) != 32 || strings.Trim(id, "0123456789abcdef") != "":
		why = "does not hold 32 hexadecimal digits"
	case strings.Trim(id, "0") == "":
		why = "holds only zeros"
	default:
		return id, nil
	}
	return "", contract.Errorf(contract.CodeIdentity, "%s %s", path, why).WithHint(machineIDHint)
}
