package deployed_test

import (
	"testing"

	"github.com/linux-patch/enroll/internal/deployed"
)

// A gateway's page is no word of the manager's: the token stays, and the next
// run goes on with it.
func TestField1_14_PagesOfAGatewayEndNoRequest(t *testing.T) {
	for _, dialect2 := range []bool{false, true} {
		for _, page := range deployed.Pages {
			name := page.Name + ", dialect 1"
			if dialect2 {
				name = page.Name + ", dialect 2"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := newSite(t, "127.0.0.1:0", "127.0.0.1")
				s.manager.Dialect2 = dialect2
				s.must("pending")
				s.must("pending")
				s.gateway.Say(page, page)
				for range 4 { // a run may ask more than once
					if s.gateway.Left() > 0 {
						r := s.module(nil)
						if r.Error.Code == "ENROLL_DENIED" || r.Error.Code == "ENROLL_TOKEN_UNKNOWN" || r.State == "denied" || r.State == "request_expired" {
							t.Fatalf("got a verdict by a page: %v", r)
						}
					}
				}
				s.approve()
				s.must("enrolled")
				if got := s.manager.Requests(); len(got) != 1 {
					t.Errorf("got %d requests, want the first alone", len(got))
				}
			})
		}
	}
}

// The agent waits on, whatever the gateway says meanwhile.
func TestField1_14_AgentOutlastsAGateway(t *testing.T) {
	for name, dialect2 := range map[string]bool{"dialect 1": false, "dialect 2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "127.0.0.1:0", "127.0.0.1")
			s.manager.Dialect2 = dialect2
			s.must("pending")
			s.must("pending")
			s.gateway.Say(deployed.Pages[0], deployed.Pages[2])
			a := s.startAgent()
			a.untilDone(func() bool { return s.gateway.Left() == 0 }, func() {})
			s.approve()
			a.until("listening")
		})
	}
}
