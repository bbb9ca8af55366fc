package daemon

import (
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/converse"
	"github.com/linux-patch/enroll/internal/report"
)

// A set that the agent puts in place by itself serves once the manager is in the
// whitelist, which comes after it: until then no one would be let in. One that is
// placed by hand while the agent waits serves at once.
func TestTheAgentsOwnSetServesOnceTheWhitelistStands(t *testing.T) {
	for phase, atOnce := range map[converse.Phase]bool{converse.PhaseProvision: false, converse.PhaseWait: true, converse.PhasePoll: true} {
		h := newHost(t)
		h.write("whitelist.yaml", "entries: []\n")
		a := h.daemon("--enroll", "https://192.0.2.1").newAgent()
		t.Cleanup(func() { _ = a.end(func() { a.background.Wait() }) })
		a.state, a.enrolling = stateEnrolling, true
		a.reportEnrolling(func(converse.Progress) {}, converse.Progress{Phase: phase})
		h.install(h.leaf())
		if err := a.reload(t.Context()); err != nil || a.listener.listening() != atOnce {
			t.Errorf("%s: got %v, listening %v, want %v", phase, err, a.listener.listening(), atOnce)
		}
		h.write("whitelist.yaml", "entries: [127.0.0.1]\n")
		if err := a.afterEnrollment(t.Context(), &report.Result{State: contract.StateEnrolled, Msg: "enrolled"}); err != nil {
			t.Fatalf("%s: got %v, want no error", phase, err)
		}
		if _, err := ask(a.listener.address(), h.clientTLS()); err != nil {
			t.Errorf("%s: got %v, want a client of the whitelist let in", phase, err)
		}
	}
}
