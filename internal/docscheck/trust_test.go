package docscheck_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// TestTokenStaysWithItsManager: a host whose manager_url changes while it waits
// registers anew, and does not show its token to the other manager.
func TestTokenStaysWithItsManager(t *testing.T) {
	h := newHost(t)
	h.scripted(goodToken, answer{code: 202})
	if o := h.run(context.Background(), nil); o.State != string(contract.StatePending) {
		t.Fatalf("the host was to wait: got %s, want %v", o.Msg, string(contract.StatePending))
	}
	var asked []string
	h.observe = func(r *http.Request) { asked = append(asked, r.Method+" "+r.URL.Path) }
	h.scripted(answer{code: 202, body: strings.ReplaceAll(goodToken.body, "t0K", "0th")}, bundle(t, pkitest.NewCA(t)))
	if o := h.run(context.Background(), nil); o.State != string(contract.StateEnrolled) {
		t.Fatalf("the host was to enroll with the other manager: got %s, want %v", o.Msg, string(contract.StateEnrolled))
	}
	if len(asked) != 2 || asked[0] != "POST "+contract.EnrollPath || strings.Contains(strings.Join(asked, " "), "t0K") {
		t.Errorf("the other manager was asked: %q", asked)
	}
}
