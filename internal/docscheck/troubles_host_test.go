package docscheck_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/contract"
)

// ofTheHost need what a file system or a user of this machine has.
var ofTheHost = []trouble{
	{"immutable certificate", contract.CodeFilesystem, func(t *testing.T, h *host) outcome {
		h.scripted(goodToken)
		h.write("/etc/linux_patch_api/certs/server.pem", "old", 0o644)
		f, err := os.Open(h.path("/etc/linux_patch_api/certs/server.pem"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		was, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
		if err == nil {
			// Its bits and those of statx are the same.
			err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, was|unix.STATX_ATTR_IMMUTABLE)
		}
		if err != nil {
			t.Skipf("no file can be made immutable here: %v", err)
		}
		defer func() {
			if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, was); err != nil {
				t.Error(err)
			}
		}()
		return runs(h, 1)
	}},
	{"mounted certificate", contract.CodeFilesystem, func(t *testing.T, h *host) outcome {
		h.scripted(goodToken)
		h.write("/etc/linux_patch_api/certs/server.pem", "old", 0o644)
		cert := h.path("/etc/linux_patch_api/certs/server.pem")
		return h.mounted("mount --bind " + cert + " " + cert)
	}},
	{"full disk", contract.CodeFilesystem, func(t *testing.T, h *host) outcome {
		h.scripted(goodToken)
		h.write("/etc/linux_patch_api/certs/.keep", "", 0o600)
		return h.mounted("mount -t tmpfs -o size=256k,mode=755 tmpfs " + h.path("/etc/linux_patch_api/certs"))
	}},
	{"not root", contract.CodeFilesystem, func(t *testing.T, h *host) outcome {
		h.scripted(goodToken)
		above := filepath.Dir(h.path("/var/lib/linux_patch_enroll"))
		if err := os.MkdirAll(above, 0o755); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() != 0 {
			if err := os.Chmod(above, 0o555); err != nil {
				t.Fatal(err)
			}
			return runs(h, 1)
		}
		// Whichever user it is must get there, and read it.
		if err := os.Chmod(filepath.Dir(h.dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(h.path("/etc/linux_patch_api/config.yaml"), 0o644); err != nil {
			t.Fatal(err)
		}
		const nobody = 65534
		return h.program(exec.Command(bin.Path("enrollment"), "-"),
			&syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}})
	}},
}

// mounted runs the program where a mount is that no one else sees.
func (h *host) mounted(mount string) outcome {
	h.t.Helper()
	if os.Geteuid() != 0 {
		h.t.Skip("only root can mount: run the tests as root to provoke this")
	}
	try := exec.Command("true")
	try.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if err := try.Run(); err != nil {
		h.t.Skipf("no mount namespace here, as in a container without CAP_SYS_ADMIN: %v", err)
	}
	return h.program(exec.Command("sh", "-ec", mount+"; exec "+bin.Path("enrollment")+" -"),
		// A namespace of its own, made private: the mount ends with the process.
		&syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS})
}

// program runs the built program in place of the package.
func (h *host) program(cmd *exec.Cmd, as *syscall.SysProcAttr) outcome {
	h.t.Helper()
	raw, err := json.Marshal(h.options)
	if err != nil {
		h.t.Fatal(err)
	}
	cmd.Stdin, cmd.SysProcAttr = bytes.NewReader(raw), as
	out, err := cmd.Output()
	var o outcome
	if wrong := json.Unmarshal(out, &o); wrong != nil {
		h.t.Fatalf("%s: %v; no JSON object on standard output: %v: %s", cmd, err, wrong, out)
	}
	return o
}
