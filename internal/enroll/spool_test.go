package enroll_test

import (
	"crypto/rand"
	"os"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/enroll"
	"github.com/linux-patch/enroll/internal/hostfs"
)

// A run that is killed between storing a pending answer and dropping it leaves
// a spool without a bundle. The next real run polls on, so check mode must not
// call that a failure.
func TestCheckModePassesOverASpooledPendingAnswer(t *testing.T) {
	r := newRig(t)
	r.manager.approved = false
	if res := r.run(nil, nil); res.State != contract.StatePending {
		t.Fatal(res.Msg)
	}
	h := hostfs.New(r.root, hostfs.Options{UID: os.Geteuid(), GID: os.Getegid(), Now: r.now, Random: rand.Reader})
	slot, err := h.PrepareSlot("/var/lib/linux_patch_enroll/spool", 4096)
	must(t, err)
	// The body is {"status":"pending"}, in base64 as JSON has it.
	must(t, slot.Store([]byte(`{"http_status":200,"url":"https://manager.example.com","body":"eyJzdGF0dXMiOiJwZW5kaW5nIn0="}`)))
	must(t, slot.Close())
	polls := r.manager.polls
	res := r.run(nil, func(p *enroll.Params) { p.Check = true })
	if res.Failed || !res.Changed || r.manager.polls != polls || r.read("/var/lib/linux_patch_enroll/spool") == "" {
		t.Errorf("check mode: %s, %d polls", res.Msg, r.manager.polls-polls)
	}
	r.manager.approved = true
	if res := r.run(nil, nil); res.State != contract.StateEnrolled {
		t.Errorf("the real run: %s", res.Msg)
	}
}
