package deployed_test

import (
	"os"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/deployed"
)

// Keys that the deployed agent alone knows stay, no matter who enrolls the host.
func TestField1_2_KeysOfTheDeployedAgentStay(t *testing.T) {
	for _, p := range []side{{"module", bin.Path("enrollment"), false}, {"agent", bin.Path("linux_patch_api"), true}} {
		t.Run(p.name, func(t *testing.T) {
			s := newSite(t, "127.0.0.1:0", "127.0.0.1")
			before := s.read("etc/linux_patch_api/config.yaml")
			s.finish(p)
			if got := s.read("etc/linux_patch_api/config.yaml"); got != before {
				t.Errorf("got %s, want %s", got, before)
			}
		})
	}
}

// A host as the deployed installer leaves it is refused before any request, with
// the way out named.
func TestField1_13_HostOfTheDeployedInstaller(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	s := newSite(t, "127.0.0.1:0", "127.0.0.1")
	if err := os.RemoveAll(s.path("etc")); err != nil {
		t.Fatal(err)
	}
	const service = 1234
	if err := deployed.Install(s.dir, service, service); err != nil {
		t.Fatal(err)
	}
	r := s.module(nil)
	if !r.Failed || !strings.Contains(r.Error.Hint+r.Msg, "take_ownership") {
		t.Errorf("got %v (%s), want a refusal that names take_ownership", r, r.Error.Hint)
	}
	if got := s.gateway.Asked(); len(got) > 0 {
		t.Errorf("got requests %v, want none", got)
	}
}
