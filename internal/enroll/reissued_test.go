package enroll_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/linux-patch/enroll/internal/contract"
	"github.com/linux-patch/enroll/internal/options"
	"github.com/linux-patch/enroll/internal/pki/pkitest"
)

// reissue makes a new set as a manager's re-issue does.
func (r *rig) reissue(ca *pkitest.CA) []byte {
	r.t.Helper()
	now := time.Now()
	b := ca.Issue(r.t, append(r.manager.who, pkitest.Valid(now, now.Add(366*24*time.Hour)))...).Bundle(r.t)
	r.manager.keys = append(r.manager.keys, b.ServerKey)
	raw, err := json.Marshal(b)
	must(r.t, err)
	return raw
}

// A re-issued set replaces the old one, asks no manager, and its key is in no
// result. Check mode writes nothing of it.
func TestReissuedSetReplacesTheOldOne(t *testing.T) {
	r := newRig(t)
	if res := r.run(nil, nil); res.State != contract.StateEnrolled {
		t.Fatalf("got %s: %s", res.State, res.Msg)
	}
	before, polls := r.read("/etc/linux_patch_api/certs/server.pem"), r.manager.polls
	set := r.reissue(r.manager.ca)
	res := r.run(nil, func(p *options.Params) { p.Bundle, p.Check = set, true })
	if !res.Changed || r.read("/etc/linux_patch_api/certs/server.pem") != before {
		t.Errorf("got changed %t, want check mode to foresee it and write nothing", res.Changed)
	}
	res = r.run(nil, func(p *options.Params) { p.Bundle = set })
	if res.Failed || res.State != contract.StateEnrolled || r.manager.polls != polls || r.manager.posts != 1 {
		t.Errorf("got %s after %d polls: %s, want enrolled and no question", res.State, r.manager.polls-polls, res.Msg)
	}
	if wrong := r.end(); wrong != nil {
		t.Errorf("got %q", wrong)
	}
	raw, err := json.Marshal(res)
	must(t, err)
	if strings.Contains(string(raw), "BEGIN PRIVATE KEY") {
		t.Errorf("got the key in %s", raw)
	}
}

// A set of another CA is refused, and the old one stays.
func TestReissuedSetOfAnotherCAIsRefused(t *testing.T) {
	r := newRig(t)
	r.run(nil, nil)
	before := r.read("/etc/linux_patch_api/certs/server.pem")
	set := r.reissue(pkitest.NewCA(t))
	if res := r.run(nil, func(p *options.Params) { p.Bundle = set }); !res.Failed || res.Error.Code != contract.CodeBundleInvalid || r.read("/etc/linux_patch_api/certs/server.pem") != before {
		t.Errorf("got %s (%+v), want the other CA refused and the old set left", res.Msg, res.Error)
	}
}
