package enroll_test

import (
	"context"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/identity"
	"github.com/linux-patch/enroll/internal/options"
)

// A file of the state directory that can't be replaced was found only after
// the registration that needs it.
func TestStateFilesAreCheckedBeforeTheManagerIsAsked(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a file immutable")
	}
	r := newRig(t)
	must(t, os.MkdirAll(r.path("/var/lib/linux_patch_enroll"), 0o700))
	must(t, os.Chmod(r.path("/var/lib/linux_patch_enroll"), 0o700))
	r.write("/var/lib/linux_patch_enroll/spool", "", 0o600)
	f, err := os.Open(r.path("/var/lib/linux_patch_enroll/spool"))
	must(t, err)
	defer f.Close()
	const immutable = 0x10 // FS_IMMUTABLE_FL
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, immutable); err != nil {
		t.Skipf("no immutable files here: %v", err)
	}
	defer func() { must(t, unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0)) }()
	res := r.run(nil, nil)
	if !res.Failed || res.Error.Code != contract.CodeFilesystem || r.manager.posts != 0 {
		t.Errorf("%d registrations: %s", r.manager.posts, res.Msg)
	}
}

// On a host without /etc/services the port's name was not known, so that no
// route was found and the first address reported, whatever the route.
func TestTheRouteIsLookedUpByANumber(t *testing.T) {
	for url, want := range map[string]string{
		"https://manager.example.com":      "manager.example.com:443",
		"https://manager.example.com:8443": "manager.example.com:8443",
		"https://[2001:db8::1]/base":       "[2001:db8::1]:443",
		"http://127.0.0.1":                 "127.0.0.1:80",
	} {
		var asked string
		e := newRig(t).enroller(nil)
		e.Identity = gatherer(func(o identity.Options) { asked = o.Manager })
		p := options.DefaultParams()
		p.ManagerURL, p.Wait = url, false
		if res := e.Run(t.Context(), p); res.Failed {
			t.Fatal(res.Msg)
		}
		if asked != want {
			t.Errorf("%s: the route to %s was asked for, want %s", url, asked, want)
		}
	}
}

// gatherer sees how the host's identity is asked for.
type gatherer func(identity.Options)

func (g gatherer) Gather(ctx context.Context, o identity.Options) (identity.Host, []string, error) {
	g(o)
	return fixedIdentity{}.Gather(ctx, o)
}

func (g gatherer) MachineID() (string, error) { return fixedIdentity{}.MachineID() }
